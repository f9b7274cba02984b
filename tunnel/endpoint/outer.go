package endpoint

import (
	"encoding/binary"

	"weir/netstack/packet"
)

// Lengths of headers, in bytes.
const (
	ip4Len = 20
	ip6Len = 40
	udpLen = 8
)

// outer is what a socket tells of a packet beside the bytes it carries.
type outer struct {
	src, dst     packet.Addr
	proto        uint8
	tos          uint8
	sport, dport uint16 // of proto UDP
}

// wrap gives p, which is what a socket has read to Store[Start:End], the outer
// header back that the kernel has taken off, in front of it and in its plainest
// form, so that tunnel.Decap judges every packet by the same code. Checksums
// of the outer UDP header, and whatever stood between the headers, the kernel
// has judged.
func (o *outer) wrap(p *packet.Packet) {
	if o.proto == packet.UDP {
		u := p.Store[p.Start-udpLen : p.Start]
		binary.BigEndian.PutUint16(u, o.sport)
		binary.BigEndian.PutUint16(u[2:], o.dport)
		binary.BigEndian.PutUint16(u[4:], uint16(udpLen+p.End-p.Start))
		u[6], u[7] = 0, 0
		p.Start -= udpLen
	}
	size := p.End - p.Start
	if o.src.Is4() {
		h := p.Store[p.Start-ip4Len : p.Start]
		*(*[ip4Len]byte)(h) = [ip4Len]byte{0: 0x45, 1: o.tos, 8: 64, 9: o.proto}
		binary.BigEndian.PutUint16(h[2:], uint16(ip4Len+size))
		copy(h[12:], o.src[12:])
		copy(h[16:], o.dst[12:])
		binary.BigEndian.PutUint16(h[10:], ^fold(words(h)))
		p.Start -= ip4Len
		return
	}
	h := p.Store[p.Start-ip6Len : p.Start]
	*(*[8]byte)(h) = [8]byte{6: o.proto, 7: 64}
	binary.BigEndian.PutUint32(h, 6<<28|uint32(o.tos)<<20)
	binary.BigEndian.PutUint16(h[4:], uint16(size))
	copy(h[8:], o.src[:])
	copy(h[24:], o.dst[:])
	p.Start -= ip6Len
}

// words is the sum of the 16-bit words of b, whose length is even and that of
// headers: no more than some thousand bytes.
func words(b []byte) (acc uint32) {
	for i := 0; i+1 < len(b); i += 2 {
		acc += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return acc
}

// fold reduces a sum of words to 16 bits with the carries put back in.
func fold(acc uint32) uint16 {
	acc = acc>>16 + acc&0xffff
	return uint16(acc>>16 + acc&0xffff)
}
