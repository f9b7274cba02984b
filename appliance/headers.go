package appliance

import (
	"encoding/binary"
	"fmt"

	"weir/appliance/control"
	"weir/netstack/packet"
)

// unknown stands for a MAC that nobody has told.
const unknown = "unknown"

// header is a field of a packet and its value.
type header struct{ field, value string }

// headers are the fields of p that a load balancer may change, from the outside
// in; of an ICMP error also those of the packet that it quotes.
func headers(p *packet.Packet) []header {
	var list []header
	if p.Link == packet.LinkEthernet {
		list = append(list, header{"source MAC", macText(p.SrcMAC())}, header{"destination MAC", macText(p.DstMAC())})
	}
	list = append(list, network3(p)...)
	list = append(list, transport(p, "")...)
	var q packet.Packet
	if p.IsICMPError() && p.Quote(&q) == packet.OK {
		list = append(list, header{"quoted source IP", q.Src().String()}, header{"quoted destination IP", q.Dst().String()})
		list = append(list, transport(&q, "quoted ")...)
	}
	return list
}

func macText(m packet.MAC) string {
	if m.IsZero() {
		return unknown
	}
	return m.String()
}

func network3(p *packet.Packet) []header {
	list := []header{{"source IP", p.Src().String()}, {"destination IP", p.Dst().String()}}
	if p.Version == 6 {
		return append(list, header{"hop limit", fmt.Sprint(p.TTL())})
	}
	return append(list, header{"TTL", fmt.Sprint(p.TTL())}, header{"IP checksum", hex16(p.Store[p.L3+10:])})
}

// checksums are the places of the L4 checksums, in bytes from L4's start.
var checksums = map[uint8]struct {
	name string
	at   int
}{packet.TCP: {"TCP", 16}, packet.UDP: {"UDP", 6}, packet.ICMP: {"ICMP", 2}, packet.ICMPv6: {"ICMPv6", 2}}

func transport(p *packet.Packet, prefix string) []header {
	if !p.HasL4 {
		return nil
	}
	var list []header
	if p.Proto == packet.TCP || p.Proto == packet.UDP {
		list = append(list, header{prefix + "source port", fmt.Sprint(p.SrcPort)}, header{prefix + "destination port", fmt.Sprint(p.DstPort)})
	}
	if c, ok := checksums[p.Proto]; ok && p.L4+c.at+2 <= p.L3End { // a quote may end before
		list = append(list, header{prefix + c.name + " checksum", hex16(p.Store[p.L4+c.at:])})
	}
	return list
}

func hex16(b []byte) string { return fmt.Sprintf("0x%04x", binary.BigEndian.Uint16(b)) }

// compare puts the fields before and after side by side. Those that only one
// side has, because the link changed, have "" on the other; after is nil for a
// packet that does not leave.
func compare(before, after []header) []control.Header {
	list := []control.Header{}
	left := map[string]string{}
	for _, h := range after {
		left[h.field] = h.value
	}
	had := map[string]bool{}
	for _, h := range before {
		had[h.field] = true
		a := left[h.field]
		list = append(list, control.Header{Field: h.field, Before: h.value, After: a, Changed: after != nil && a != h.value})
	}
	for _, h := range after {
		if !had[h.field] {
			list = append(list, control.Header{Field: h.field, After: h.value, Changed: true})
		}
	}
	return list
}
