package packet

import "net/netip"

// ICMPv6 types of neighbour discovery (RFC 4861 4).
const (
	RouterSolicit    = 133
	RouterAdvert     = 134
	NeighbourSolicit = 135
	NeighbourAdvert  = 136
)

// The link-layer address options, by the message that carries them.
const (
	optSourceLink = 1
	optTargetLink = 2
)

// NDP is a neighbour solicitation or advertisement. Link is the sender's MAC
// that its option tells, zero if it tells none; the flags are an advertisement's.
type NDP struct {
	Type                        uint8
	Router, Solicited, Override bool
	Target                      netip.Addr
	Link                        MAC
}

// NDP is the neighbour solicitation or advertisement in a parsed packet; not ok
// if it is none or fails the tests of RFC 4861 7.1. Among them are hop limit
// 255, which keeps strangers beyond a router out, and, unlike anywhere else in
// this package, the checksum: the message is read here and goes no further.
func (p *Packet) NDP() (n NDP, ok bool) {
	t := p.ICMPType()
	if p.Proto != ICMPv6 || t != NeighbourSolicit && t != NeighbourAdvert {
		return NDP{}, false
	}
	b := p.Store[p.L4:p.L3End]
	if p.TTL() != 255 || p.Frag || b[1] != 0 || len(b) < 24 || !p.checksumOK() {
		return NDP{}, false
	}
	n.Type = t
	n.Target = netip.AddrFrom16([16]byte(b[8:]))
	kind := uint8(optSourceLink)
	if t == NeighbourAdvert {
		n.Router, n.Solicited, n.Override = b[4]&0x80 != 0, b[4]&0x40 != 0, b[4]&0x20 != 0
		kind = optTargetLink
	}
	if n.Target.IsMulticast() || !n.link(b[24:], kind) {
		return NDP{}, false
	}
	src, dst := p.Src(), p.Dst()
	switch {
	case t == NeighbourAdvert && dst.IsMulticast() && n.Solicited:
		return NDP{}, false
	case t == NeighbourSolicit && src.IsUnspecified() && (!n.Link.IsZero() || !isSolicitedNode(dst)):
		return NDP{}, false
	}
	return n, true
}

// link takes the option kind out of the options b; false if they are malformed.
func (n *NDP) link(b []byte, kind uint8) bool {
	for len(b) > 0 {
		if len(b) < 8 || b[1] == 0 || int(b[1])*8 > len(b) {
			return false
		}
		if b[0] == kind && b[1] == 1 && b[2]&1 == 0 {
			n.Link = MAC(b[2:])
		}
		b = b[int(b[1])*8:]
	}
	return true
}

// checksumOK verifies the checksum of an ICMPv6 message that is read here.
func (p *Packet) checksumOK() bool {
	if p.Offload.NeedsCsum || p.Offload.DataValid {
		return true
	}
	return fold(sum(p.Store[p.L4:p.L3End], p.pseudo(ICMPv6, p.L3End-p.L4))) == 0xffff
}

// SolicitedNode is the group that answers for a (RFC 4291 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

func isSolicitedNode(a netip.Addr) bool { return a == SolicitedNode(a) }

// GroupMAC is the Ethernet group of an IPv6 group (RFC 2464 7).
func GroupMAC(a netip.Addr) MAC {
	b := a.As16()
	return MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// BuildNS makes out the Ethernet frame, parsed, of a neighbour solicitation for
// target, from the station mac with address src, to the groups that answer.
// An unspecified src asks whether the address is taken, and tells no MAC.
// false if an address is not IPv6.
func BuildNS(out *Packet, mac MAC, src, target netip.Addr) bool {
	n := NDP{Type: NeighbourSolicit, Target: target}
	if !src.IsUnspecified() {
		n.Link = mac
	}
	group := SolicitedNode(target)
	return n.build(out, mac, GroupMAC(group), src, group)
}

// BuildNA makes out the Ethernet frame, parsed, of a neighbour advertisement
// for n.Target at n.Link, from the station n.Link with address src to dst at
// dstMAC. Unsolicited ones go to ff02::1. false if an address is not IPv6.
func BuildNA(out *Packet, n *NDP, dstMAC MAC, src, dst netip.Addr) bool {
	a := *n
	a.Type = NeighbourAdvert
	return a.build(out, n.Link, dstMAC, src, dst)
}

func (n *NDP) build(out *Packet, mac, dstMAC MAC, src, dst netip.Addr) bool {
	for _, a := range [...]netip.Addr{src, dst, n.Target} {
		if !a.Is6() || a.Is4In6() {
			return false
		}
	}
	n.put(out.build(&header{version: 6, src: AddrFrom(src), dst: AddrFrom(dst), proto: ICMPv6, ttl: 255}, n.size()))
	if out.seal() != OK {
		return false
	}
	out.ether(mac, dstMAC, EtherIPv6)
	return true
}

// size is the length of the message with its option, in bytes.
func (n *NDP) size() int {
	if n.Link.IsZero() {
		return 24
	}
	return 32
}

// put writes the message into b, which is zeroed and size bytes long.
func (n *NDP) put(b []byte) {
	b[0] = n.Type
	option := byte(optSourceLink)
	if n.Type == NeighbourAdvert {
		option = optTargetLink
		b[4] = flag(n.Router, 0x80) | flag(n.Solicited, 0x40) | flag(n.Override, 0x20)
	}
	target := n.Target.As16()
	copy(b[8:], target[:])
	if !n.Link.IsZero() {
		b[24], b[25] = option, 1
		copy(b[26:], n.Link[:])
	}
}

func flag(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}
