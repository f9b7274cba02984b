package packet

import "encoding/binary"

// Fragment gives emit, one after the other, the IPv4 fragments of at most mtu
// bytes that p becomes, each parsed in scratch and valid until emit returns; p
// itself, completed, if it fits. p may be a fragment. TooBig, and nothing
// emitted, if p must not be fragmented: DF, IPv6, a super-packet, or an mtu
// that leaves no room. scratch's Store must not overlap p's.
func Fragment(p, scratch *Packet, mtu int, emit func(*Packet)) Reason {
	if p.Version == 0 || p.Offload.GSO != GSONone {
		return TooBig
	}
	if p.IPLen() <= mtu {
		p.Complete()
		emit(p)
		return OK
	}
	if p.DF() || mtu < p.ipHeaderLen()+8 {
		return TooBig
	}
	p.Complete()
	if len(scratch.Store) < p.L3+mtu {
		scratch.Store = make([]byte, p.L3+mtu)
	}
	first := p.L3 + p.ipHeaderLen()
	for at := first; at < p.L3End; {
		header := p.fragmentHeader(scratch.Store[p.Start:], at == first)
		size := p.L3End - at
		if size > mtu-header {
			size = (mtu - header) &^ 7
		}
		p.fragment(scratch, header, at-first, p.Store[at:at+size])
		emit(scratch)
		at += size
	}
	return OK
}

// ipHeaderLen is the length of the IPv4 header with its options, in bytes.
func (p *Packet) ipHeaderLen() int { return int(p.Store[p.L3]&15) * 4 }

// fragmentHeader copies to b what stands in front of a fragment's data and
// returns the length of its IP header: later fragments carry only the options
// that have their copy bit set (RFC 791 3.1).
func (p *Packet) fragmentHeader(b []byte, first bool) int {
	options := p.L3 + 20
	end := p.L3 + p.ipHeaderLen()
	if first {
		copy(b, p.Store[p.Start:end])
		return end - p.L3
	}
	link := p.L3 - p.Start
	copy(b, p.Store[p.Start:options])
	n := link + 20
	for options < end && p.Store[options] != optEnd {
		size := 1
		if p.Store[options] != optNop {
			size = int(p.Store[options+1])
			if p.Store[options]&0x80 != 0 {
				n += copy(b[n:], p.Store[options:options+size])
			}
		}
		options += size
	}
	for ; (n-link)%4 != 0; n++ {
		b[n] = optEnd
	}
	return n - link
}

// fragment makes s, whose headers are in place, the fragment of p that carries
// data, offset bytes into what p carries.
func (p *Packet) fragment(s *Packet, header, offset int, data []byte) {
	s.Start, s.Offload = p.Start, Offload{}
	s.End = p.L3 + header + copy(s.Store[p.L3+header:], data)
	h := s.Store[p.L3 : p.L3+header]
	word := binary.BigEndian.Uint16(h[6:])&0x8000 | (p.FragOffset+uint16(offset))>>3
	if p.MoreFrags || p.L3+p.ipHeaderLen()+offset+len(data) < p.L3End {
		word |= flagMF
	}
	h[0] = 0x40 | byte(header/4)
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[2:], uint16(s.End-p.L3))
	binary.BigEndian.PutUint16(h[6:], word)
	binary.BigEndian.PutUint16(h[10:], ^fold(sum(h, 0)))
	// An mtu near the minimum can cut through a long L4 header; the receiver
	// may call that tiny, but it is what was asked for.
	s.Parse(p.Link)
}
