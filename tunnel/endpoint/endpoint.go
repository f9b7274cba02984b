// Package endpoint is the real server's end of weir's tunnels, in userspace,
// for kernels that have no tunnel devices of their own: tunnel packets in
// through sockets, what was inside out of a TUN, into the same kernel.
//
// Package tunnel judges every packet; here are the sockets, the device and the
// settings of the host.
package endpoint

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"weir/tunnel"
)

// DefaultDevice is the name of the TUN where a Config has none.
const DefaultDevice = "weir-decap"

// Config says what an Endpoint takes, and from whom.
type Config struct {
	// Device is the name of the TUN, up to 15 characters; "" is DefaultDevice.
	Device string
	// MTU of the TUN in bytes; 0 is 1500. Larger packets are delivered too.
	MTU int
	// VIPs are the inner destinations that are delivered: one at least.
	VIPs []netip.Addr
	// Directors are the outer sources that are believed. None means the
	// networks that the host's interfaces are in, but not the host itself.
	Directors []netip.Prefix
	// Types are the formats that are opened; none means all.
	Types []tunnel.Type
	// GUEPort and VXLANPort are UDP ports; 0 is the format's own.
	GUEPort, VXLANPort uint16
	// VNI is the VXLAN network, 24 bits.
	VNI uint32
	// NoSetup leaves the host alone: its administrator has put the VIPs on lo
	// and seen to ARP and the reverse path filter. Only the TUN is made, with
	// the settings of its own that the host permits.
	NoSetup bool
	Log     *slog.Logger
}

// complete fills in what is left open, or says what cannot be.
func (c *Config) complete() error {
	if c.Device == "" {
		c.Device = DefaultDevice
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Types) == 0 {
		c.Types = tunnel.Types
	}
	if c.GUEPort == 0 {
		c.GUEPort = tunnel.PortGUE
	}
	if c.VXLANPort == 0 {
		c.VXLANPort = tunnel.PortVXLAN
	}
	vips := make([]netip.Addr, 0, len(c.VIPs))
	for _, a := range c.VIPs {
		if a.IsLoopback() || a.IsLinkLocalUnicast() {
			return fmt.Errorf("VIP %s: clients cannot reach such an address", a)
		}
		vips = append(vips, a.Unmap())
	}
	c.VIPs = vips
	if len(c.VIPs) > maxVIPs {
		return fmt.Errorf("%d VIPs: %d at most", len(c.VIPs), maxVIPs)
	}
	// What an Endpoint will do with addresses of the host is tried here with
	// none, so that faults of c are found before anything is touched.
	trial := c.decap(host{nets: []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}})
	_, err := tunnel.NewDecap(trial)
	return err
}

// maxVIPs bounds what is put on lo.
const maxVIPs = 1024

// host is what an Endpoint must know about the addresses of its host.
type host struct {
	own  []netip.Addr   // of all interfaces
	nets []netip.Prefix // that interfaces are in: no single addresses, no link-local ones
}

func (h host) equal(g host) bool { return slices.Equal(h.own, g.own) && slices.Equal(h.nets, g.nets) }

// decap is the far end of tunnels on a host with these addresses.
func (c *Config) decap(h host) tunnel.DecapConfig {
	d := tunnel.DecapConfig{
		Directors: c.Directors, VIPs: c.VIPs, Types: c.Types,
		GUEPort: c.GUEPort, VXLANPort: c.VXLANPort, VNI: c.VNI,
	}
	if len(d.Directors) == 0 {
		d.Directors = h.nets
	}
	vip := map[netip.Addr]bool{}
	for _, a := range c.VIPs {
		vip[a] = true
	}
	for _, a := range h.own {
		if !vip[a] {
			d.Own = append(d.Own, a)
		}
	}
	return d
}

// errNoDirectors is for a host whose interfaces are in no network.
var errNoDirectors = errors.New("this host's interfaces are in no network that directors could be in: name them with --director")
