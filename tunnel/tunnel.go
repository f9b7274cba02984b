// Package tunnel puts a packet into an outer packet and takes it out again:
// IP-in-IP, GRE, GUE and VXLAN between all pairs of IP versions, and the
// arithmetic of what still fits. It is pure: bytes in, bytes out, no clock, no
// I/O, no lock, no allocation on the way of a packet.
//
// The packet inside is never touched by Encap, not even its TTL. Decap changes
// only the ECN bits of what it takes out, where RFC 6040 says so.
package tunnel

import (
	"errors"
	"fmt"
	"net/netip"

	"weir/netstack/packet"
)

// Type is an encapsulation format.
type Type uint8

const (
	IPIP  Type = iota // an IP header alone: RFC 2003, 2473, 4213
	GRE               // RFC 2784, no key, no sequence number
	GUE               // draft-ietf-intarea-gue, variant 0, no extensions
	VXLAN             // RFC 7348
)

// Types are all formats.
var Types = []Type{IPIP, GRE, GUE, VXLAN}

var typeNames = [...]string{IPIP: "ipip", GRE: "gre", GUE: "gue", VXLAN: "vxlan"}

// String is the format's word in a configuration.
func (t Type) String() string {
	if int(t) >= len(typeNames) {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return typeNames[t]
}

// ParseType reads the word that String writes.
func ParseType(word string) (Type, error) {
	for t, name := range typeNames {
		if name == word {
			return Type(t), nil
		}
	}
	return 0, fmt.Errorf("tunnel type %q: it is none of ipip, gre, gue, vxlan", word)
}

// UDP reports whether the format rides in UDP, and so has a port.
func (t Type) UDP() bool { return t == GUE || t == VXLAN }

// The ports that IANA has given to the formats in UDP.
const (
	PortGUE   = 6080
	PortVXLAN = 4789
)

// DefaultPort is the port of a format in UDP, 0 of the others.
func (t Type) DefaultPort() uint16 {
	switch t {
	case GUE:
		return PortGUE
	case VXLAN:
		return PortVXLAN
	}
	return 0
}

// DefaultTTL is the outer TTL or hop limit where a Config has none.
const DefaultTTL = 64

// maxVNI is the largest VXLAN network identifier: 24 bits.
const maxVNI = 1<<24 - 1

// Config describes one tunnel, from a director to a real server.
type Config struct {
	Type Type
	// Src and Dst are the outer addresses, DIP and RIP, of one family.
	Src, Dst netip.Addr
	// Port is the outer destination port of GUE and VXLAN; 0 is the format's own.
	Port uint16
	// VNI is the VXLAN network, 24 bits.
	VNI uint32
	// InnerSrcMAC and InnerDstMAC stand in the Ethernet header inside VXLAN;
	// zero is the MACOf of the outer address.
	InnerSrcMAC, InnerDstMAC packet.MAC
	// TTL is the outer TTL or hop limit; 0 is DefaultTTL.
	TTL uint8
	// MayFragment leaves DF out of every outer IPv4 header, so that Fragment
	// and routers may cut it. Else DF is copied from inside, and set around
	// IPv6.
	MayFragment bool
	// ZeroChecksum6 sends UDP over IPv6 without checksum (RFC 6935). The far
	// end must have been told: Linux's vxlan wants udp6zerocsumrx.
	ZeroChecksum6 bool
	// KeepOffload leaves the Offload of the packet inside as it is: a partial
	// checksum in every format, a super-packet in those in UDP. Its CsumStart
	// then points into the inner packet, so whoever writes the frame must know
	// tunnels: packet.Complete and packet.Segment do not.
	KeepOffload bool
}

// complete fills in what is left open, or says what cannot be.
func (c *Config) complete() error {
	if int(c.Type) >= len(typeNames) {
		return fmt.Errorf("type %d is unknown", c.Type)
	}
	if err := c.completeAddrs(); err != nil {
		return err
	}
	switch {
	case c.Port != 0 && !c.Type.UDP():
		return fmt.Errorf("port %d: %s has no ports, only gue and vxlan have", c.Port, c.Type)
	case c.Type != VXLAN && (c.VNI != 0 || !c.InnerSrcMAC.IsZero() || !c.InnerDstMAC.IsZero()):
		return fmt.Errorf("a VNI or inner MACs: %s has none, only vxlan has", c.Type)
	case c.VNI > maxVNI:
		return fmt.Errorf("VNI %d: it has 24 bits, so at most %d", c.VNI, maxVNI)
	case c.KeepOffload && c.Type.UDP() && c.Src.Is6() && !c.ZeroChecksum6:
		return errors.New("KeepOffload needs ZeroChecksum6 over IPv6: an outer checksum would cover the unfinished inner one")
	}
	if c.Port == 0 {
		c.Port = c.Type.DefaultPort()
	}
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	return c.completeMACs()
}

func (c *Config) completeAddrs() error {
	c.Src, c.Dst = c.Src.Unmap(), c.Dst.Unmap()
	for _, a := range [...]netip.Addr{c.Src, c.Dst} {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return fmt.Errorf("outer address %s: it must be one host's, without a zone", a)
		}
	}
	if c.Src.Is4() != c.Dst.Is4() {
		return fmt.Errorf("outer addresses %s and %s: they must be of one family", c.Src, c.Dst)
	}
	if c.Src == c.Dst {
		return fmt.Errorf("outer addresses: both are %s", c.Src)
	}
	return nil
}

func (c *Config) completeMACs() error {
	if c.Type != VXLAN {
		return nil
	}
	if c.InnerSrcMAC.IsZero() {
		c.InnerSrcMAC = MACOf(c.Src)
	}
	if c.InnerDstMAC.IsZero() {
		c.InnerDstMAC = MACOf(c.Dst)
	}
	for _, m := range [...]packet.MAC{c.InnerSrcMAC, c.InnerDstMAC} {
		if m.IsMulticast() {
			return fmt.Errorf("inner MAC %s: it is a group's, and must be one station's", m)
		}
	}
	return nil
}

// MACOf is the MAC that a tunnel end is given inside VXLAN if nobody says
// another: 02:00 and the last four bytes of its outer address, so that it can
// be written down without asking: `ip link add ... address 02:00:0a:02:00:02`.
func MACOf(a netip.Addr) packet.MAC {
	b := packet.AddrFrom(a)
	return packet.MAC{0x02, 0x00, b[12], b[13], b[14], b[15]}
}
