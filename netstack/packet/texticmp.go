package packet

import (
	"strconv"
)

// icmpKind is an ICMP type and code as one word, type<<8 | code.
type icmpKind int32

// noKind stands for a message that one of the versions does not have.
const noKind icmpKind = -1

// icmpNames are the messages that the text form has names for, by version; it
// writes all others as type N code N. What a name lacks its code tells.
var icmpNames = [...]struct {
	name   string
	v4, v6 icmpKind
}{
	{"echo", icmp4Echo << 8, icmp6Echo << 8},
	{"echo-reply", icmp4EchoReply << 8, icmp6EchoReply << 8},
	{"unreachable net", icmp4Unreachable << 8, icmp6Unreachable << 8},
	{"unreachable host", icmp4Unreachable<<8 | 1, icmp6Unreachable<<8 | 3},
	{"unreachable protocol", icmp4Unreachable<<8 | 2, noKind},
	{"unreachable port", icmp4Unreachable<<8 | 3, icmp6Unreachable<<8 | 4},
	{"unreachable admin", icmp4Unreachable<<8 | 13, icmp6Unreachable<<8 | 1},
	{"frag-needed", icmp4Unreachable<<8 | 4, noKind},
	{"too-big", noKind, icmp6TooBig << 8},
	{"time-exceeded", icmp4TimeExceeded << 8, icmp6TimeExceeded << 8},
	{"time-exceeded reassembly", icmp4TimeExceeded<<8 | 1, icmp6TimeExceeded<<8 | 1},
	{"parameter-problem", icmp4Parameter << 8, icmp6Parameter << 8},
	{"redirect", icmp4Redirect<<8 | 1, icmp6Redirect << 8},
	{"neighbour-solicit", noKind, NeighbourSolicit << 8},
	{"neighbour-advert", noKind, NeighbourAdvert << 8},
}

// icmpNamed finds a message by its name; kind is noKind if this version lacks it.
func icmpNamed(name string, version uint8) (kind icmpKind, known bool) {
	for _, n := range icmpNames {
		if n.name == name {
			if version == 4 {
				return n.v4, true
			}
			return n.v6, true
		}
	}
	return noKind, false
}

// hasMTU reports whether the message announces an MTU.
func (k icmpKind) hasMTU(version uint8) bool {
	if version == 4 {
		return k == icmp4Unreachable<<8|4
	}
	return k == icmp6TooBig<<8
}

// textICMP writes what an ICMP or ICMPv6 header says.
func (p *Packet) textICMP(b []byte) []byte {
	if n, ok := p.NDP(); ok {
		return n.text(b)
	}
	kind := icmpKind(p.ICMPType())<<8 | icmpKind(p.ICMPCode())
	b = p.textKind(b, kind)
	rest := p.ICMPRest()
	switch {
	case p.IsICMPQuery():
		b = textNumber(b, "id", rest>>16)
		b = textNumber(b, "seq", rest&0xffff)
	case kind.hasMTU(p.Version) && rest <= 0xffff:
		b = textNumber(b, "mtu", rest)
	case rest != 0:
		b = append(b, " rest 0x"...)
		b = strconv.AppendUint(b, uint64(rest), 16)
	}
	return b
}

func (p *Packet) textKind(b []byte, kind icmpKind) []byte {
	for _, n := range icmpNames {
		neighbour := kind>>8 == NeighbourSolicit || kind>>8 == NeighbourAdvert
		if p.Version == 4 && n.v4 == kind || p.Version == 6 && n.v6 == kind && !neighbour {
			return append(append(b, ' '), n.name...)
		}
	}
	b = textNumber(b, "type", uint32(kind>>8))
	return textNumber(b, "code", uint32(kind&0xff))
}

// text writes a neighbour message.
func (n *NDP) text(b []byte) []byte {
	name := " neighbour-solicit "
	if n.Type == NeighbourAdvert {
		name = " neighbour-advert "
	}
	b = n.Target.AppendTo(append(b, name...))
	for _, f := range []struct {
		on   bool
		word string
	}{{n.Router, " router"}, {n.Solicited, " solicited"}, {n.Override, " override"}} {
		if f.on {
			b = append(b, f.word...)
		}
	}
	if !n.Link.IsZero() {
		b = append(append(b, " link "...), n.Link.String()...)
	}
	return b
}
