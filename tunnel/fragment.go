package tunnel

import (
	"encoding/binary"

	"weir/netstack/packet"
)

// fragmentLen is the length of an IPv6 fragment header, in bytes.
const fragmentLen = 8

// Fragment gives emit, one after the other, the fragments of at most mtu bytes
// that the outer packet p becomes, each parsed in scratch and valid until emit
// returns; p itself if it fits. p must have come out of Push, and may have been
// given a link header since. scratch's Store must not overlap p's.
//
// The far end puts them together before it opens the tunnel (RFC 2473 7.2).
// TooBig, and nothing emitted, if p has DF or mtu leaves no room; Rewriting if
// it carries a kept Offload.
func (e *Encap) Fragment(p, scratch *packet.Packet, mtu int, emit func(*packet.Packet)) packet.Reason {
	if o := &p.Offload; o.NeedsCsum && int(o.CsumStart) != p.L4 { // every kept one
		return packet.Rewriting
	}
	if p.Version == 4 || p.IPLen() <= mtu {
		return packet.Fragment(p, scratch, mtu, emit)
	}
	room := (mtu - ip6Len - fragmentLen) &^ 7
	if room < 8 {
		return packet.TooBig
	}
	p.Complete()
	if need := p.L3 + ip6Len + fragmentLen + room; len(scratch.Store) < need {
		scratch.Store = make([]byte, need)
	}
	id := e.id.Add(1)
	carried := p.L3 + ip6Len
	for at := carried; at < p.L3End; at += room {
		data := p.Store[at:min(at+room, p.L3End)]
		word := uint16(at - carried)
		if at+room < p.L3End {
			word |= 1
		}
		fragment6(p, scratch, data, word, id)
		emit(scratch)
	}
	return packet.OK
}

// fragment6 makes s the fragment of p that carries data; word is its offset and
// the bit that says that more follow (RFC 8200 4.5).
func fragment6(p, s *packet.Packet, data []byte, word uint16, id uint32) {
	copy(s.Store[p.Start:], p.Store[p.Start:p.L3+ip6Len])
	h := s.Store[p.L3:]
	f := h[ip6Len:]
	binary.BigEndian.PutUint16(h[4:], uint16(fragmentLen+len(data)))
	f[0], f[1] = h[6], 0
	h[6] = packet.FRAGMENT
	binary.BigEndian.PutUint16(f[2:], word)
	binary.BigEndian.PutUint32(f[4:], id)
	s.Start, s.Offload = p.Start, packet.Offload{}
	s.End = p.L3 + ip6Len + fragmentLen + copy(f[fragmentLen:], data)
	s.Parse(p.Link)
}
