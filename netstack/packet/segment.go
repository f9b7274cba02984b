package packet

import "encoding/binary"

// Complete does in software the checksum that NeedsCsum left to the wire. The
// frame is then an ordinary one, however large: its Offload is empty and its
// lengths are its own. It trusts the partial sum: one that was wrong makes a
// checksum that is wrong by as much.
func (p *Packet) Complete() {
	if p.Offload.GSO != GSONone {
		p.setLengths(0, p.L3End-p.L4)
	}
	if p.Offload.NeedsCsum && p.l4sum != 0 {
		p.completed(p.Store[p.l4sum : p.l4sum+2])
	}
	p.Offload = Offload{}
}

// completed writes p's completed checksum to field, which need not be p's own.
func (p *Packet) completed(field []byte) {
	p.putSum(field, sum(p.Store[p.L4:p.L3End], 0))
}

// Segment gives emit, one after the other, the packets that p becomes on a
// wire that has no offloads: p itself, completed, if it is no super-packet;
// else its segments, each parsed and complete in scratch, valid until emit
// returns. p must be parsed and scratch's Store must not overlap p's.
func Segment(p, scratch *Packet, emit func(*Packet)) {
	if p.Offload.GSO == GSONone {
		p.Complete()
		emit(p)
		return
	}
	size := int(p.Offload.GSOSize)
	if len(scratch.Store) < p.Payload+size {
		scratch.Store = make([]byte, p.Payload+size)
	}
	for n, at := 0, p.Payload; at < p.L3End || n == 0; n, at = n+1, at+size {
		p.segment(scratch, n, p.Store[at:min(at+size, p.L3End)])
		emit(scratch)
	}
}

// segment makes s the n-th segment of the super-packet p, carrying data.
func (p *Packet) segment(s *Packet, n int, data []byte) {
	store := s.Store
	*s = *p
	s.Store = store
	copy(store[p.Start:], p.Store[p.Start:p.Payload])
	s.L3End = p.Payload + copy(store[p.Payload:], data)
	s.End = s.L3End
	if p.Proto == TCP {
		l4 := store[s.L4:s.Payload]
		binary.BigEndian.PutUint32(l4[4:], binary.BigEndian.Uint32(l4[4:])+uint32(n)*uint32(p.Offload.GSOSize))
		if p.Payload+(n+1)*int(p.Offload.GSOSize) < p.L3End {
			l4[13] &^= FIN | PSH
		}
		if n > 0 {
			l4[13] &^= CWR // told once, RFC 3168 6.1.2
		}
		s.Flags = l4[13]
	}
	s.setLengths(n, p.L3End-p.L4)
	s.Offload.GSO = GSONone
	s.Complete()
}

// setLengths makes all length fields of the n-th segment say how long it is,
// and its partial checksum with them. The length in the pseudo-header was l4,
// or in UDP what the length field had.
func (p *Packet) setLengths(n, l4 int) {
	p.setIPLength(n)
	was, is := uint16(l4), uint16(p.L3End-p.L4)
	if p.Proto == UDP {
		field := p.Store[p.L4+4 : p.L4+6]
		was = binary.BigEndian.Uint16(field)
		binary.BigEndian.PutUint16(field, is)
	}
	p.adjustL4(Delta{Addr: sub16(is, was)})
}

// setIPLength makes the IP header of the n-th segment say its length, and in
// IPv4 an id of its own, since a segment may be fragmented later.
func (p *Packet) setIPLength(n int) {
	if p.Version == 6 {
		binary.BigEndian.PutUint16(p.Store[p.L3+4:], uint16(p.L3End-p.L3-40))
		return
	}
	h := p.Store[p.L3 : p.L3+20]
	total, id := uint16(p.L3End-p.L3), binary.BigEndian.Uint16(h[4:])
	d := add16(sub16(total, binary.BigEndian.Uint16(h[2:])), sub16(id+uint16(n), id))
	binary.BigEndian.PutUint16(h[2:], total)
	binary.BigEndian.PutUint16(h[4:], id+uint16(n))
	adjust(h[10:12], d)
}
