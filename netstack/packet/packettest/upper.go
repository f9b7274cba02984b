package packettest

import (
	"encoding/binary"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// upper makes what an IP packet carries, and says which protocol it is.
func (g *generator) upper(ip gopacket.NetworkLayer, icmp layers.IPProtocol, outer bool) ([]byte, layers.IPProtocol) {
	kinds := 3 // a quoted packet has ports or an identifier
	if outer {
		kinds = 6
		g.l4 = true
	}
	switch g.IntN(kinds) {
	case 0:
		return g.tcp(ip), layers.IPProtocolTCP
	case 1:
		return g.udp(ip), layers.IPProtocolUDP
	case 2:
		return g.query(ip), icmp
	case 3, 4:
		return g.icmpError(ip), icmp
	}
	g.say("GRE")
	g.l4 = false
	return append([]byte{0, 0, 0x08, 0}, g.bytes(30)...), layers.IPProtocolGRE
}

// spoil makes the L4 checksum of a packet wrong now and then.
func (g *generator) spoil(b []byte, at int) []byte {
	if g.oneIn(5) {
		g.say("wrong checksum")
		binary.BigEndian.PutUint16(b[at:], uint16(g.Uint32()))
	}
	return b
}

func (g *generator) tcp(ip gopacket.NetworkLayer) []byte {
	g.say("TCP")
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(g.Uint32()), DstPort: layers.TCPPort(g.Uint32()), Seq: g.Uint32(), Ack: g.Uint32(),
		Window: uint16(g.Uint32()), SYN: g.oneIn(2), ACK: g.oneIn(2), PSH: g.oneIn(2), FIN: g.oneIn(4), CWR: g.oneIn(4),
	}
	if g.oneIn(2) {
		tcp.Options = []layers.TCPOption{
			{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: g.bytes(2)},
			{OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: g.bytes(8)},
		}
	}
	tcp.SetNetworkLayerForChecksum(ip)
	return g.spoil(write(tcp, gopacket.Payload(g.bytes(g.IntN(100)))), 16)
}

func (g *generator) udp(ip gopacket.NetworkLayer) []byte {
	g.say("UDP")
	udp := &layers.UDP{SrcPort: layers.UDPPort(g.Uint32()), DstPort: layers.UDPPort(g.Uint32())}
	udp.SetNetworkLayerForChecksum(ip)
	b := write(udp, gopacket.Payload(g.bytes(g.IntN(100))))
	if b[6] == 0 && b[7] == 0 {
		b[6], b[7] = 0xff, 0xff
	}
	if g.oneIn(6) {
		g.say("no checksum")
		b[6], b[7] = 0, 0
		return b
	}
	b = g.spoil(b, 6)
	if g.oneIn(8) {
		g.say("bytes behind the datagram")
		b = append(b, g.bytes(1+g.IntN(12))...)
	}
	return b
}

// query makes an echo request or reply.
func (g *generator) query(ip gopacket.NetworkLayer) []byte {
	g.say("ICMP query")
	data := g.bytes(g.IntN(60))
	if v6, ok := ip.(*layers.IPv6); ok {
		return g.icmpv6(v6, uint8(128+g.IntN(2)), 0, g.bytes(4), data)
	}
	types := []uint8{0, 8, 13, 14, 17, 18}
	return g.icmpv4(types[g.IntN(len(types))], 0, g.bytes(4), data)
}

func (g *generator) icmpv4(kind, code uint8, rest, data []byte) []byte {
	return g.spoil(write(&layers.ICMPv4{
		TypeCode: layers.CreateICMPv4TypeCode(kind, code),
		Id:       binary.BigEndian.Uint16(rest), Seq: binary.BigEndian.Uint16(rest[2:]),
	}, gopacket.Payload(data)), 2)
}

func (g *generator) icmpv6(ip *layers.IPv6, kind, code uint8, rest, data []byte) []byte {
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, code)}
	icmp.SetNetworkLayerForChecksum(ip)
	return g.spoil(write(icmp, gopacket.Payload(append(rest, data...))), 2)
}

// icmpError makes an ICMP error that quotes a packet with ports, all of it or
// as much as the oldest standard asks for.
func (g *generator) icmpError(ip gopacket.NetworkLayer) []byte {
	g.say("ICMP error")
	g.quotes = true
	l4, quotes := g.l4, g.quotes
	quote := g.ipPacket(false)
	g.l4, g.quotes = l4, quotes
	if g.oneIn(3) {
		g.say("cut quote")
		quote = quote[:max(len(quote)-g.IntN(60), quotedHeader(quote)+8)]
	}
	if v6, ok := ip.(*layers.IPv6); ok {
		return g.icmpv6(v6, uint8(1+g.IntN(4)), uint8(g.IntN(6)), []byte{0, 0, 5, 0}, quote)
	}
	types := []uint8{3, 4, 11, 12}
	return g.icmpv4(types[g.IntN(len(types))], uint8(g.IntN(5)), []byte{0, 0, 5, 0}, quote)
}

// quotedHeader is the length of everything before the quoted L4 header.
func quotedHeader(b []byte) int {
	if b[0]>>4 == 4 {
		return int(b[0]&15) * 4
	}
	at, next := 40, b[6]
	for {
		switch next {
		case 44:
			next, at = b[at], at+8
		case 60:
			next, at = b[at], at+int(b[at+1])*8+8
		case 51:
			next, at = b[at], at+int(b[at+1])*4+8
		default:
			return at
		}
	}
}
