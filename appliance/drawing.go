package appliance

import (
	"cmp"
	"errors"
	"net/netip"
	"time"

	"weir/appliance/config"
	"weir/netstack"
	"weir/netstack/device"
	"weir/netstack/packet"
)

// drawing is a network that exists in a configuration only: a stack over
// devices that carry nothing. Its routes are known, the MACs of its stations
// are not: every one of them answers, with a MAC of zero.
type drawing struct {
	*netstack.Stack
	ports []port
	// bridged: which port a station is behind is learned, and no file knows it.
	bridged bool
}

// drawingOf is to be closed.
func drawingOf(cfg *config.Config) (drawing, error) {
	d := drawing{bridged: cfg.Topology == config.TopologyBridged}
	var devices []device.Device
	for _, p := range cfg.Ports {
		drawn := port{name: p.Name, mac: p.MAC, mtu: cmp.Or(p.MTU, 1500)} // a new device's
		if p.Kind == config.PortTAP {
			drawn.link = packet.LinkEthernet
		}
		d.ports = append(d.ports, drawn)
		devices = append(devices, drawnDevice{drawn})
	}
	var err error
	if d.Stack, err = netstack.New(stackConfig(cfg, devices)); err != nil {
		return drawing{}, err
	}
	if err := populate(d.Stack, cfg); err != nil {
		return drawing{}, errors.Join(err, d.Close())
	}
	return d, nil
}

// Generation implements director.Network; it is never 0.
func (d drawing) Generation() uint32 { return 1 }

// NextHop implements director.Network.
func (d drawing) NextHop(_ time.Duration, dst netip.Addr) (packet.Hop, packet.Reason) {
	return d.PeekHop(dst)
}

// PeekHop implements director.Network.
func (d drawing) PeekHop(dst netip.Addr) (packet.Hop, packet.Reason) {
	hop, why := d.Stack.PeekHop(dst)
	if why == packet.NeighbourWait {
		why = packet.OK
	}
	if d.bridged && why == packet.OK {
		hop.Port = packet.NoPort
	}
	return hop, why
}

// drawnDevice is what a device would be, and never one that is read.
type drawnDevice struct{ at port }

func (d drawnDevice) Name() string                   { return d.at.name }
func (d drawnDevice) Link() packet.Link              { return d.at.link }
func (d drawnDevice) MTU() int                       { return d.at.mtu }
func (d drawnDevice) MAC() packet.MAC                { return d.at.mac }
func (d drawnDevice) Features() device.Features      { return device.Features{} }
func (d drawnDevice) Queues() int                    { return 1 }
func (d drawnDevice) Read(int, *packet.Packet) error { return device.ErrClosed }
func (d drawnDevice) Write(*packet.Packet) error     { return device.ErrClosed }
func (d drawnDevice) Close() error                   { return nil }
