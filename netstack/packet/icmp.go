package packet

import (
	"encoding/binary"
	"net/netip"
)

// The largest ICMP errors: RFC 1812 4.3.2.3 and RFC 4443 2.4(c), whole packets.
const (
	maxError4 = 576
	maxError6 = 1280
)

// errorTTL is the TTL or hop limit of the errors that weir sends.
const errorTTL = 64

// BuildError makes out the ICMP or ICMPv6 error that v.Answer asks for about
// of, sent from src: a raw, parsed IP packet, to be given to SetHop. It quotes
// as much of of as the standards allow. false, and out undefined, where no
// error may be sent: about errors, groups, broadcasts, later fragments and
// senders that are no single host (RFC 1122 3.2.2, RFC 4443 2.4(e)), or if src
// is not of of's family. How often errors are sent is not judged here.
func BuildError(out, of *Packet, v Verdict, src netip.Addr) bool {
	src = src.Unmap()
	if !of.mayBeAnswered(v.Answer) || src.Is4() != (of.Version == 4) || !src.IsValid() {
		return false
	}
	kind, rest, ok := errorOf(of.Version, v)
	if !ok {
		return false
	}
	h := header{version: of.Version, src: AddrFrom(src), dst: of.SrcAddr(), ttl: errorTTL}
	largest := maxError6 - 40 - 8
	if of.Version == 4 {
		// Precedence "internetwork control", RFC 1812 4.3.2.5.
		h.proto, h.tos, h.frag = ICMP, 0xc0, flagDF
		largest = maxError4 - 20 - 8
	} else {
		h.proto = ICMPv6
	}
	quote := min(of.IPLen(), largest)
	b := out.build(&h, 8+quote)
	binary.BigEndian.PutUint16(b, kind)
	binary.BigEndian.PutUint32(b[4:], rest)
	copy(b[8:], of.Store[of.L3:of.L3+quote])
	if at := of.l4sum - of.L3; of.Offload.NeedsCsum && at+2 <= quote {
		of.completed(b[8+at:]) // a partial checksum is nothing to show around
	}
	return out.seal() == OK
}

// errorOf is the type and code, as one word, and the second word of the error.
func errorOf(version uint8, v Verdict) (kind uint16, rest uint32, ok bool) {
	type words struct{ v4, v6 uint16 }
	var w words
	switch v.Answer {
	case AnswerTimeExceeded:
		w = words{icmp4TimeExceeded << 8, icmp6TimeExceeded << 8}
	case AnswerTooBig:
		w = words{icmp4Unreachable<<8 | 4, icmp6TooBig << 8}
		rest = uint32(v.MTU)
	case AnswerPortUnreachable:
		w = words{icmp4Unreachable<<8 | 3, icmp6Unreachable<<8 | 4}
	case AnswerHostUnreachable:
		w = words{icmp4Unreachable<<8 | 1, icmp6Unreachable<<8 | 3}
	case AnswerNetUnreachable:
		w = words{icmp4Unreachable << 8, icmp6Unreachable << 8}
	default:
		return 0, 0, false
	}
	if version == 4 {
		return w.v4, rest, true
	}
	return w.v6, rest, true
}

// mayBeAnswered holds the packet against the standards' list of what an error
// must never be about.
func (p *Packet) mayBeAnswered(a Answer) bool {
	if p.DstMAC().IsMulticast() && !(p.Version == 6 && a == AnswerTooBig) {
		return false
	}
	switch p.Version {
	case 4:
		if p.FragOffset != 0 || p.Proto == ICMP && !p.IsICMPQuery() {
			return false
		}
		h := p.Store[p.L3 : p.L3+20]
		src, dst := h[12], h[16]
		return src != 0 && src != 127 && src < 224 && dst < 224
	case 6:
		if p.Proto == ICMPv6 && p.FragOffset == 0 && (!p.HasL4 || p.IsICMPError() || p.IsRedirect()) {
			return false
		}
		h := p.Store[p.L3 : p.L3+40]
		// Path MTU discovery works for groups as well: RFC 4443 2.4(e.3).
		group := h[24] == 0xff && a != AnswerTooBig
		return !group && h[8] != 0xff && !offWire6((*[16]byte)(h[8:]))
	}
	return false
}
