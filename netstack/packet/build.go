package packet

import "encoding/binary"

// header is what the builders of this package put into an IP header.
type header struct {
	version  uint8
	src, dst Addr
	proto    uint8
	ttl, tos uint8
	id, frag uint16 // IPv4 only; frag is the whole word with DF and MF
	options  []byte // IPv4 only
}

// The flags in the fragment word of an IPv4 header.
const (
	flagDF = 0x4000
	flagMF = 0x2000
)

// begin makes p an empty raw frame with the usual headroom and room for size
// bytes, in new storage only if the old is too small.
func (p *Packet) begin(size int) {
	if len(p.Store) < Headroom+size {
		p.Store = make([]byte, Headroom+max(size, 2048))
	}
	p.Reset(p.Store)
	p.End = p.Start + size
}

// len is the length of the IP header itself, in bytes.
func (h *header) len() int {
	if h.version == 6 {
		return 40
	}
	return 20 + len(h.options)
}

// put writes the header to the start of b, for size bytes to follow.
func (h *header) put(b []byte, size int) {
	if h.version == 6 {
		binary.BigEndian.PutUint32(b, 6<<28|uint32(h.tos)<<20)
		binary.BigEndian.PutUint16(b[4:], uint16(size))
		b[6], b[7] = h.proto, h.ttl
		copy(b[8:], h.src[:])
		copy(b[24:], h.dst[:])
		return
	}
	b = b[:h.len()]
	b[0], b[1] = byte(0x40|len(b)/4), h.tos
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+size))
	binary.BigEndian.PutUint16(b[4:], h.id)
	binary.BigEndian.PutUint16(b[6:], h.frag)
	b[8], b[9] = h.ttl, h.proto
	b[10], b[11] = 0, 0
	copy(b[12:], h.src[12:])
	copy(b[16:], h.dst[12:])
	copy(b[20:], h.options)
	binary.BigEndian.PutUint16(b[10:], ^fold(sum(b, 0)))
}

// build makes p a raw IP packet of header h around an L4 of size bytes, which
// it returns zeroed, to be filled in. seal must follow.
func (p *Packet) build(h *header, size int) (l4 []byte) {
	p.begin(h.len() + size)
	b := p.Bytes()
	h.put(b, size)
	l4 = b[h.len():]
	clear(l4)
	return l4
}

// seal parses what build began and sums its L4. The reason is OK unless the
// builder was asked for something that cannot be.
func (p *Packet) seal() Reason {
	r := p.Parse(LinkRaw)
	if r == OK {
		p.sumL4()
	}
	return r
}

// sumL4 writes the L4 checksum from scratch. Only builders may: to packets that
// came from elsewhere it would lend a correctness they may not have.
func (p *Packet) sumL4() {
	if p.l4sum == 0 {
		return
	}
	field := p.Store[p.l4sum : p.l4sum+2]
	field[0], field[1] = 0, 0
	var acc uint64
	if p.Proto != ICMP {
		acc = p.pseudo(p.Proto, p.L3End-p.L4)
	}
	p.putSum(field, sum(p.Store[p.L4:p.L3End], acc))
}

// putSum writes the complement of acc, for UDP never as 0 (RFC 768).
func (p *Packet) putSum(field []byte, acc uint64) {
	c := ^fold(acc)
	if c == 0 && p.Proto == UDP {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(field, c)
}

// ether puts an Ethernet header of EtherType type in front of the raw frame.
func (p *Packet) ether(src, dst MAC, etherType uint16) {
	p.reserve(14)
	p.Start = p.L3 - 14
	p.Link, p.EtherType = LinkEthernet, etherType
	b := p.Store[p.Start : p.Start+14]
	copy(b, dst[:])
	copy(b[6:], src[:])
	binary.BigEndian.PutUint16(b[12:], etherType)
}
