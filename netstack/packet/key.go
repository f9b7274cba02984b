package packet

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IP address in 16 bytes, IPv4 in its mapped form. It has no pointer
// (netip.Addr has one), so flow entries made of it cost the collector nothing.
type Addr [16]byte

// AddrFrom packs a; the zero netip.Addr becomes the zero Addr.
func AddrFrom(a netip.Addr) Addr {
	if !a.IsValid() {
		return Addr{}
	}
	return a.As16()
}

// Netip unpacks a, IPv4-mapped addresses to IPv4.
func (a Addr) Netip() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Is4 reports whether a is an IPv4 address.
func (a *Addr) Is4() bool {
	return binary.BigEndian.Uint64(a[:8]) == 0 && binary.BigEndian.Uint32(a[8:12]) == 0xffff
}

// V4 is the last four bytes in network order: the whole of an IPv4 address.
func (a *Addr) V4() uint32 { return binary.BigEndian.Uint32(a[12:]) }

// FlowKey names one direction of a flow. It is comparable and holds no pointer.
// For ICMP queries the ports are the identifier, twice.
type FlowKey struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16
	Proto, Version   uint8
}

// Reverse is the key of the other direction of the same packets, unrewritten.
func (k FlowKey) Reverse() FlowKey {
	k.Src, k.Dst = k.Dst, k.Src
	k.SrcPort, k.DstPort = k.DstPort, k.SrcPort
	return k
}

// Key fills k from a parsed packet. Without HasL4 its ports are 0: the key then
// names a pair of hosts, not a flow.
func (p *Packet) Key(k *FlowKey) {
	p.addrs(&k.Src, &k.Dst)
	k.SrcPort, k.DstPort = p.SrcPort, p.DstPort
	k.Proto, k.Version = p.Proto, p.Version
}

// addrs copies the packet's addresses, IPv4 in mapped form, zero if not IP.
func (p *Packet) addrs(src, dst *Addr) {
	switch p.Version {
	case 4:
		h := p.Store[p.L3 : p.L3+20]
		putV4(src, binary.BigEndian.Uint32(h[12:]))
		putV4(dst, binary.BigEndian.Uint32(h[16:]))
	case 6:
		h := p.Store[p.L3 : p.L3+40]
		*src, *dst = Addr(h[8:24]), Addr(h[24:40])
	default:
		*src, *dst = Addr{}, Addr{}
	}
}

// putV4 writes whole words, which are read as whole words again: a load that
// spans two younger stores would have to wait for both to reach the cache.
func putV4(a *Addr, v uint32) {
	binary.BigEndian.PutUint64(a[:8], 0)
	binary.BigEndian.PutUint64(a[8:], 0xffff<<32|uint64(v))
}
