package tunnel

import (
	"encoding/binary"
	"math/bits"

	"weir/netstack/packet"
)

// TCP options (RFC 9293 3.1).
const (
	optEnd = 0
	optNop = 1
	optMSS = 2
)

// ClampMSS lowers the MSS that p, a TCP SYN or SYN-ACK, offers to mss bytes,
// and reports whether it had to. The checksum follows incrementally, so a wrong
// one stays wrong. Any other packet, and any options, however broken, are an
// argument: what cannot be read is left alone. A SYN without the option keeps
// what that means, 536 or 1,220 bytes (RFC 9293 3.7.1).
func ClampMSS(p *packet.Packet, mss uint16) (lowered bool) {
	if p.Proto != packet.TCP || !p.HasL4 || p.Flags&packet.SYN == 0 {
		return false
	}
	for at := p.L4 + 20; at < p.Payload; {
		switch p.Store[at] {
		case optEnd:
			return lowered
		case optNop:
			at++
			continue
		}
		if at+2 > p.Payload {
			return lowered
		}
		size := int(p.Store[at+1])
		if size < 2 || at+size > p.Payload {
			return lowered
		}
		// More than one is against the rules; each is an offer all the same.
		if p.Store[at] == optMSS && size == 4 && clamp(p, at+2, mss) {
			lowered = true
		}
		at += size
	}
	return lowered
}

// clamp lowers the word at index at of p's Store to limit.
func clamp(p *packet.Packet, at int, limit uint16) bool {
	field := p.Store[at : at+2]
	was := binary.BigEndian.Uint16(field)
	if was <= limit {
		return false
	}
	binary.BigEndian.PutUint16(field, limit)
	if p.Offload.NeedsCsum {
		return true // a partial checksum has only the pseudo-header in it
	}
	if (at-p.L4)%2 != 0 {
		// At an odd offset its bytes lie in two words, in the other order.
		was, limit = bits.ReverseBytes16(was), bits.ReverseBytes16(limit)
	}
	check := p.Store[p.L4+16 : p.L4+18]
	// RFC 1624, equation 3.
	acc := uint64(^binary.BigEndian.Uint16(check)) + uint64(^was) + uint64(limit)
	binary.BigEndian.PutUint16(check, ^fold(acc))
	return true
}
