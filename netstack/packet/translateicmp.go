package packet

import "encoding/binary"

// translateError is Translate of an ICMP error, c being its header: the quoted
// packet is translated as well, L4 of which stays where it is.
//
// What could change is the whole message, so it is summed before and after, and
// the checksum learns the difference.
func (p *Packet) translateError(c *crossing, e *ends) Reason {
	var q Packet
	if r := p.Quote(&q); r != OK {
		return r
	}
	back := e.reversed()
	inner, r := q.crossing(&back)
	if r != OK {
		return ICMPQuote
	}
	kind, rest, ok := p.crossError(&q, &inner)
	if !ok {
		return Untranslatable
	}
	inner.settle(&q)
	l4 := q.L4 - inner.size() - 8
	if !p.hasRoom(l4 - c.size()) {
		return Rewriting
	}
	was := fold(sum(p.Store[p.L4:p.L3End], 0))
	if !q.crossL4(&inner, &back) {
		return ICMPQuote // about ICMP that is not echo: never translated, so not ours
	}
	end := p.quoteEnd(&q, inner.size())
	c.length = end - l4
	c.settle(p)
	pseudo, checksum := p.pseudoDelta(c), binary.BigEndian.Uint16(p.Store[p.l4sum:])

	p.moveLink(l4 - c.size())
	c.put(p.Store[p.L3:l4])
	b := p.Store[l4:end]
	binary.BigEndian.PutUint16(b, kind)
	binary.BigEndian.PutUint16(b[2:], checksum)
	binary.BigEndian.PutUint32(b[4:], rest)
	inner.put(b[8:])
	p.L4, p.l4sum, p.L3End = l4, l4+2, end
	p.adjustL4(Delta{Addr: pseudo, Port: sub16(fold(sum(b, 0)), was)})
	return p.arrive()
}

// leastExtended is the least length, in bytes, of the quote in a message that
// has extensions behind it (RFC 4884 4).
const leastExtended = 128

// quoteEnd is where what is kept of the quote q ends, when its IP header takes
// size bytes. Extensions (RFC 4884) are cut off, as is what makes the message
// larger than its version allows.
func (p *Packet) quoteEnd(q *Packet, size int) int {
	end := q.L3End
	if n := p.originalLength(); n >= leastExtended {
		end = min(end, max(p.Payload+n, q.L4+20))
	}
	if p.Version == 4 {
		return min(end, q.L4+maxError6-40-8-size)
	}
	return min(end, q.L4+maxError4-20-8-size)
}

// originalLength is the length, in bytes, that an error with extensions gives
// its quote; without any it is 0. In ICMPv6 only two errors can have them.
func (p *Packet) originalLength() int {
	b := p.Store[p.L4 : p.L4+8]
	switch {
	case p.Version == 4:
		return int(b[5]) * 4
	case p.Version == 6 && (b[0] == icmp6Unreachable || b[0] == icmp6TimeExceeded):
		return int(b[4]) * 8
	}
	return 0
}

// crossError is type and code, as one word, and the second word of the error p
// about q in the other version. Not ok: there is no such error.
func (p *Packet) crossError(q *Packet, inner *crossing) (kind uint16, rest uint32, ok bool) {
	kind, rest = uint16(p.ICMPType())<<8|uint16(p.ICMPCode()), p.ICMPRest()
	if p.Version == 4 {
		return errorTo6(kind, rest, q.claimed())
	}
	return errorTo4(kind, rest, inner.fragment)
}

// none stands in the tables below for what has no counterpart.
const none = 0xff

// unreachable6 are the codes of ICMPv6 unreachables for IPv4's (RFC 7915 4.2).
// 2 and 4 become other messages.
var unreachable6 = [16]uint8{0, 0, none, 4, none, 0, 0, 0, 0, 1, 1, 0, 0, 1, none, 1}

// unreachable4 are the codes of IPv4's unreachables for ICMPv6's (5.2).
var unreachable4 = [5]uint8{1, 10, 1, 1, 3}

// pointer6 is where in an IPv6 header a field of the IPv4 header lies that is
// at the index (figure 3).
var pointer6 = [20]uint8{
	0, 1, 4, 4, none, none, none, none, 7, 6, none, none, 8, 8, 8, 8, 24, 24, 24, 24,
}

// pointer4 is pointer6 the other way (figure 6), but for the addresses.
var pointer4 = [8]uint8{0, 1, none, none, 2, 2, 9, 8}

// errorTo6 turns an ICMPv4 error about a packet of total bytes (RFC 7915 4.2).
func errorTo6(kind uint16, rest uint32, total int) (uint16, uint32, bool) {
	code := uint8(kind)
	switch kind >> 8 {
	case icmp4Unreachable:
		switch {
		case code == 2: // the protocol; the pointer is at the next header
			return icmp6Parameter<<8 | 1, 6, true
		case code == 4:
			return icmp6TooBig << 8, mtuTo6(rest&0xffff, total), true
		case code < 16 && unreachable6[code] != none:
			return icmp6Unreachable<<8 | uint16(unreachable6[code]), 0, true
		}
	case icmp4TimeExceeded:
		return icmp6TimeExceeded<<8 | uint16(code), 0, true
	case icmp4Parameter:
		at := rest >> 24
		if (code == 0 || code == 2) && at < 20 && pointer6[at] != none {
			return icmp6Parameter << 8, uint32(pointer6[at]), true
		}
	}
	return 0, 0, false
}

// plateaus are likely path MTUs (RFC 1191 7), no smaller than IPv6 allows.
var plateaus = [...]uint32{32000, 17914, 8166, 4352, 2002, 1492}

// mtuTo6 is the MTU in IPv6 of a path that has mtu in IPv4, never less than
// 1,280. 0 is an old router's, which does not tell: then it is the next plateau
// below the total bytes of the packet that did not fit.
func mtuTo6(mtu uint32, total int) uint32 {
	if mtu != 0 {
		return max(mtu+20, 1280)
	}
	for _, plateau := range plateaus {
		if int(plateau) < total {
			return plateau
		}
	}
	return 1280
}

// errorTo4 turns an ICMPv6 error (RFC 7915 5.2), which may be about a packet
// with a fragment header.
func errorTo4(kind uint16, rest uint32, fragment bool) (uint16, uint32, bool) {
	code := uint8(kind)
	switch kind >> 8 {
	case icmp6Unreachable:
		if int(code) < len(unreachable4) {
			return icmp4Unreachable<<8 | uint16(unreachable4[code]), 0, true
		}
	case icmp6TooBig:
		longer := uint32(20)
		if fragment {
			longer += 8
		}
		// Never below the least that RFC 791 allows: 0 would mean something.
		return icmp4Unreachable<<8 | 4, min(max(rest, 68+longer)-longer, 0xffff), true
	case icmp6TimeExceeded:
		return icmp4TimeExceeded<<8 | uint16(code), 0, true
	case icmp6Parameter:
		switch {
		case code == 1: // the next header
			return icmp4Unreachable<<8 | 2, 0, true
		case code == 0 && rest < 8 && pointer4[rest] != none:
			return icmp4Parameter << 8, uint32(pointer4[rest]) << 24, true
		case code == 0 && rest >= 8 && rest < 40:
			return icmp4Parameter << 8, (12 + (rest-8)/16*4) << 24, true
		}
	}
	return 0, 0, false
}
