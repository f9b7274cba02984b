package tunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"weir/netstack/packet"
)

// DecapConfig says what a real server takes out of tunnels.
type DecapConfig struct {
	// Directors are the outer sources that are believed. None is an error:
	// whoever wants to believe everybody says 0.0.0.0/0 and ::/0.
	Directors []netip.Prefix
	// VIPs are the inner destinations that are delivered.
	VIPs []netip.Addr
	// Own are the real server's addresses. If there are any, an outer packet
	// to another address is NotTunnel; and no inner packet may come from one.
	Own []netip.Addr
	// Types are the formats to be opened; none means all of them.
	Types []Type
	// GUEPort and VXLANPort are the outer destination ports; 0 is the format's own.
	GUEPort, VXLANPort uint16
	// VNI is the VXLAN network that is taken, 24 bits.
	VNI uint32
}

// Decap is the far end of tunnels. It does not change, so any number of
// goroutines may use it.
type Decap struct {
	opens      [len(typeNames)]bool
	gue, vxlan uint16
	vni        uint32
	ownOnly    bool
	directors  []prefix
	// known holds what the addresses are that packets are judged by.
	known map[packet.Addr]role
}

type role uint8

const (
	isVIP role = 1 << iota
	isOwn
)

// prefix is a netip.Prefix as two masked halves of a packet.Addr.
type prefix struct{ addr, mask [2]uint64 }

func halves(a *packet.Addr) [2]uint64 {
	return [2]uint64{binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:])}
}

func (f *prefix) contains(a *packet.Addr) bool {
	h := halves(a)
	return h[0]&f.mask[0] == f.addr[0] && h[1]&f.mask[1] == f.addr[1]
}

func prefixOf(p netip.Prefix) prefix {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	var f prefix
	for i := range f.mask {
		n := min(max(bits-64*i, 0), 64)
		f.mask[i] = ^uint64(0) << (64 - n)
	}
	a := packet.AddrFrom(p.Addr())
	f.addr = halves(&a)
	for i := range f.addr {
		f.addr[i] &= f.mask[i]
	}
	return f
}

// NewDecap prepares a far end. The error is one line and names the field that
// cannot be.
func NewDecap(c DecapConfig) (*Decap, error) {
	d := &Decap{
		gue: c.GUEPort, vxlan: c.VXLANPort, vni: c.VNI,
		ownOnly: len(c.Own) > 0, known: map[packet.Addr]role{},
	}
	if d.gue == 0 {
		d.gue = PortGUE
	}
	if d.vxlan == 0 {
		d.vxlan = PortVXLAN
	}
	if err := d.take(c); err != nil {
		return nil, fmt.Errorf("tunnel end: %w", err)
	}
	return d, nil
}

func (d *Decap) take(c DecapConfig) error {
	switch {
	case len(c.Directors) == 0:
		return errors.New("no director: name the addresses that packets may come from")
	case len(c.VIPs) == 0:
		return errors.New("no VIP: name the addresses that packets may go to")
	case c.VNI > maxVNI:
		return fmt.Errorf("VNI %d: it has 24 bits, so at most %d", c.VNI, maxVNI)
	case d.gue == d.vxlan:
		return fmt.Errorf("port %d: gue and vxlan cannot share it", d.gue)
	}
	for _, p := range c.Directors {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("director %s: not an IPv4 or IPv6 prefix", p)
		}
		d.directors = append(d.directors, prefixOf(p))
	}
	types := c.Types
	if len(types) == 0 {
		types = Types
	}
	for _, t := range types {
		if int(t) >= len(d.opens) {
			return fmt.Errorf("type %d is unknown", t)
		}
		d.opens[t] = true
	}
	if err := d.know("VIP", c.VIPs, isVIP); err != nil {
		return err
	}
	return d.know("own address", c.Own, isOwn)
}

func (d *Decap) know(what string, addrs []netip.Addr, r role) error {
	for _, a := range addrs {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return fmt.Errorf("%s %s: it must be one host's, without a zone", what, a)
		}
		key := packet.AddrFrom(a.Unmap())
		if d.known[key]&^r != 0 {
			return fmt.Errorf("address %s: it is both a VIP and the real server's own", a)
		}
		d.known[key] |= r
	}
	return nil
}

// believes reports whether a is a director's address.
func (d *Decap) believes(a *packet.Addr) bool {
	for i := range d.directors {
		if d.directors[i].contains(a) {
			return true
		}
	}
	return false
}
