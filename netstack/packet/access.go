package packet

import (
	"encoding/binary"
	"net/netip"
)

// SrcMAC is the Ethernet source, zero on LinkRaw.
func (p *Packet) SrcMAC() (m MAC) {
	if p.hasMACs() {
		copy(m[:], p.Store[p.Start+6:])
	}
	return m
}

// DstMAC is the Ethernet destination, zero on LinkRaw.
func (p *Packet) DstMAC() (m MAC) {
	if p.hasMACs() {
		copy(m[:], p.Store[p.Start:])
	}
	return m
}

// hasMACs is true where an Ethernet header has been proven: L3 lies behind it.
func (p *Packet) hasMACs() bool { return p.Link == LinkEthernet && p.L3-p.Start >= 14 }

// VLANID is the 12-bit identifier of the outer tag, 0 without one.
func (p *Packet) VLANID() uint16 {
	if !p.VLAN {
		return 0
	}
	return binary.BigEndian.Uint16(p.Store[p.Start+14:]) & 0xfff
}

// SrcAddr is the IP source, zero if not IP.
func (p *Packet) SrcAddr() (a Addr) {
	var other Addr
	p.addrs(&a, &other)
	return a
}

// DstAddr is the IP destination, zero if not IP.
func (p *Packet) DstAddr() (a Addr) {
	var other Addr
	p.addrs(&other, &a)
	return a
}

// Src is the IP source, the invalid netip.Addr if not IP.
func (p *Packet) Src() netip.Addr { return p.addr(0) }

// Dst is the IP destination, the invalid netip.Addr if not IP.
func (p *Packet) Dst() netip.Addr { return p.addr(1) }

// addr keeps an IPv6 packet's mapped address an IPv6 one: it is a martian, and
// must not look like the IPv4 host it names.
func (p *Packet) addr(i int) netip.Addr {
	switch p.Version {
	case 4:
		return netip.AddrFrom4([4]byte(p.Store[p.L3+12+4*i:]))
	case 6:
		return netip.AddrFrom16([16]byte(p.Store[p.L3+8+16*i:]))
	}
	return netip.Addr{}
}

// IPLen is the length of the IP packet in bytes, header included, link padding
// excluded; 0 if not IP.
func (p *Packet) IPLen() int {
	if p.Version == 0 {
		return 0
	}
	return p.L3End - p.L3
}

// PayloadBytes is what L4 carries, or what the IP header carries if there is no L4.
func (p *Packet) PayloadBytes() []byte { return p.Store[p.Payload:p.L3End] }

// TTL is the time to live or the hop limit, 0 if not IP.
func (p *Packet) TTL() uint8 {
	switch p.Version {
	case 4:
		return p.Store[p.L3+8]
	case 6:
		return p.Store[p.L3+7]
	}
	return 0
}

// TOS is the type of service or the traffic class, 0 if not IP.
func (p *Packet) TOS() uint8 {
	switch p.Version {
	case 4:
		return p.Store[p.L3+1]
	case 6:
		return uint8(binary.BigEndian.Uint16(p.Store[p.L3:]) >> 4)
	}
	return 0
}

// DF reports whether routers must not fragment the packet: IPv6 never is.
func (p *Packet) DF() bool {
	return p.Version == 6 || p.Version == 4 && p.Store[p.L3+6]&0x40 != 0
}

// IPID is the IPv4 identification field, 0 in IPv6.
func (p *Packet) IPID() uint16 {
	if p.Version != 4 {
		return 0
	}
	return binary.BigEndian.Uint16(p.Store[p.L3+4:])
}

// tcp is the fixed TCP header, nil if the packet has none or, being a quote,
// not all of it.
func (p *Packet) tcp() []byte {
	if p.Proto != TCP || !p.HasL4 || p.L4+20 > p.L3End {
		return nil
	}
	return p.Store[p.L4 : p.L4+20]
}

// Seq is the TCP sequence number, 0 without TCP. It is within the first 8
// bytes, so that even the shortest quote has it.
func (p *Packet) Seq() uint32 {
	if p.Proto != TCP || !p.HasL4 {
		return 0
	}
	return binary.BigEndian.Uint32(p.Store[p.L4+4:])
}

// Ack is the TCP acknowledgement number, 0 without TCP.
func (p *Packet) Ack() uint32 {
	if h := p.tcp(); h != nil {
		return binary.BigEndian.Uint32(h[8:])
	}
	return 0
}

// Window is the TCP window field, unscaled, 0 without TCP.
func (p *Packet) Window() uint16 {
	if h := p.tcp(); h != nil {
		return binary.BigEndian.Uint16(h[14:])
	}
	return 0
}

// isICMP reports whether an ICMP or ICMPv6 header is there.
func (p *Packet) isICMP() bool {
	return (p.Proto == ICMP || p.Proto == ICMPv6) && p.HasL4
}

// ICMPType is the type of an ICMP or ICMPv6 message, 0 of anything else: ask
// IsEchoReply and not this for an IPv4 echo reply, whose type is 0.
func (p *Packet) ICMPType() uint8 {
	if !p.isICMP() {
		return 0
	}
	return p.Store[p.L4]
}

// ICMPCode is the code of an ICMP or ICMPv6 message, else 0.
func (p *Packet) ICMPCode() uint8 {
	if !p.isICMP() {
		return 0
	}
	return p.Store[p.L4+1]
}

// ICMPRest is bytes 4 to 7 of an ICMP or ICMPv6 message, else 0: identifier and
// sequence number of an echo, the MTU of a packet-too-big.
func (p *Packet) ICMPRest() uint32 {
	if !p.isICMP() {
		return 0
	}
	return binary.BigEndian.Uint32(p.Store[p.L4+4:])
}

// ICMP message types.
const (
	icmp4EchoReply    = 0
	icmp4Unreachable  = 3
	icmp4Quench       = 4
	icmp4Redirect     = 5
	icmp4Echo         = 8
	icmp4TimeExceeded = 11
	icmp4Parameter    = 12
	icmp4Timestamp    = 13
	icmp4MaskReply    = 18

	icmp6Unreachable  = 1
	icmp6TooBig       = 2
	icmp6TimeExceeded = 3
	icmp6Parameter    = 4
	icmp6Echo         = 128
	icmp6EchoReply    = 129
	icmp6Redirect     = 137
)

// IsICMPError reports whether the packet is an ICMP message that quotes another
// packet: any IPv4 error but not a redirect, any ICMPv6 type below 128 (RFC
// 4443 2.1).
func (p *Packet) IsICMPError() bool {
	if !p.isICMP() {
		return false
	}
	return isError(p.Version, p.Store[p.L4])
}

func isError(version, icmpType uint8) bool {
	if version == 6 {
		return icmpType < 128
	}
	return icmpType == icmp4Unreachable || icmpType == icmp4Quench ||
		icmpType == icmp4TimeExceeded || icmpType == icmp4Parameter
}

// IsRedirect reports whether the packet is an ICMP or ICMPv6 redirect.
func (p *Packet) IsRedirect() bool {
	return p.isICMP() && (p.Proto == ICMP && p.Store[p.L4] == icmp4Redirect ||
		p.Proto == ICMPv6 && p.Store[p.L4] == icmp6Redirect)
}

// IsICMPQuery reports whether the packet is an ICMP or ICMPv6 query or its
// answer, whose bytes 4 and 5 are an identifier: echo, and over IPv4 timestamp,
// information and mask (RFC 5508 1).
func (p *Packet) IsICMPQuery() bool {
	if !p.isICMP() {
		return false
	}
	return isQuery(p.Version, p.Store[p.L4])
}

func isQuery(version, icmpType uint8) bool {
	if version == 6 {
		return icmpType == icmp6Echo || icmpType == icmp6EchoReply
	}
	return icmpType == icmp4EchoReply || icmpType == icmp4Echo ||
		icmpType >= icmp4Timestamp && icmpType <= icmp4MaskReply
}

// IsEchoRequest reports whether the packet is a ping.
func (p *Packet) IsEchoRequest() bool {
	return p.isICMP() && (p.Proto == ICMP && p.Store[p.L4] == icmp4Echo ||
		p.Proto == ICMPv6 && p.Store[p.L4] == icmp6Echo)
}

// IsEchoReply reports whether the packet answers a ping.
func (p *Packet) IsEchoReply() bool {
	return p.isICMP() && (p.Proto == ICMP && p.Store[p.L4] == icmp4EchoReply ||
		p.Proto == ICMPv6 && p.Store[p.L4] == icmp6EchoReply)
}

// IsNDP reports whether the packet is one of neighbour discovery's messages,
// redirects not among them (RFC 4861).
func (p *Packet) IsNDP() bool {
	return p.isICMP() && p.Proto == ICMPv6 && p.Store[p.L4] >= 133 && p.Store[p.L4] <= 136
}

// Segments is the number of packets that the frame is on a wire: 1, or what a
// super-packet will be cut into.
func (p *Packet) Segments() int {
	size := int(p.Offload.GSOSize)
	if p.Offload.GSO == GSONone || size == 0 {
		return 1
	}
	return max(1, (p.L3End-p.Payload+size-1)/size)
}
