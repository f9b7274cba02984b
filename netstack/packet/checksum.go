package packet

import (
	"encoding/binary"
	"math/bits"
)

// The Internet checksum's arithmetic, once. Sums are ones'-complement sums of
// big-endian 16-bit words; a checksum is the complement of a sum. 0 and 0xffff
// are the same number in this arithmetic, but not the same field in a header,
// so every function here returns 0 only where all of its input was 0: that is
// what a sender who sums from scratch would have written.

// Delta is what a rewrite does to the sums it changes: the new words minus the
// old ones. Addr is the share of the address, Port that of the port, apart
// because the IPv4 header checksum and the pseudo-header know only addresses.
// A flow computes it once and its packets add it. The zero Delta changes nothing.
type Delta struct{ Addr, Port uint16 }

// DeltaOf is the delta of replacing fromA by toA and fromPort by toPort. Both
// addresses must be of one family.
func DeltaOf(fromA, toA *Addr, fromPort, toPort uint16) Delta {
	return Delta{
		Addr: sub16(fold(sum(toA[:], 0)), fold(sum(fromA[:], 0))),
		Port: sub16(toPort, fromPort),
	}
}

// Plus is the delta of both changes: what one rewrite adjusts for two.
func (d Delta) Plus(e Delta) Delta {
	return Delta{Addr: add16(d.Addr, e.Addr), Port: add16(d.Port, e.Port)}
}

// Reverse is the delta of taking the replacement back.
func (d Delta) Reverse() Delta {
	return Delta{Addr: sub16(0, d.Addr), Port: sub16(0, d.Port)}
}

// add16 is ones'-complement addition.
func add16(a, b uint16) uint16 {
	s := uint32(a) + uint32(b)
	return uint16(s + s>>16)
}

// sub16 is ones'-complement subtraction. Equal operands give 0, never 0xffff,
// so that a delta of nothing leaves even an odd field as it is.
func sub16(a, b uint16) uint16 {
	if a == b {
		return 0
	}
	return add16(a, ^b)
}

// adjust applies delta d to the checksum in field: HC' = ~(~HC + ~m + m'),
// RFC 1624 equation 3. A checksum that was wrong stays wrong by as much.
func adjust(field []byte, d uint16) {
	c := binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, ^add16(^c, d))
}

// fold reduces what sum accumulated to 16 bits in network order.
func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	v := uint32(acc>>16) + uint32(acc&0xffff)
	v = v>>16 + v&0xffff
	return bits.ReverseBytes16(uint16(v))
}

// sum adds the words of b, a last odd byte padded with zero, to acc. The
// accumulator is in little-endian order, since the sum of swapped words is the
// swapped sum (RFC 1071 2.B) and swapping once in fold is cheaper than in every
// load. b must begin at an even offset of what is summed.
func sum(b []byte, acc uint64) uint64 {
	var carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(tail[:]), carry)
	}
	// No sum of two words and a carry is all ones and carries as well, so the
	// end-around carry ends here.
	return acc + carry
}

// sumWord adds one word in host order to acc.
func sumWord(w uint16, acc uint64) uint64 {
	return addCarry(acc, uint64(bits.ReverseBytes16(w)))
}

func addCarry(a, b uint64) uint64 {
	s, carry := bits.Add64(a, b, 0)
	return s + carry
}

// header20OK verifies the checksum of an IPv4 header without options: the sum
// of its words is a multiple of 65,535, in any grouping of the words and in
// either byte order (RFC 1071 2), and not 0 since a version is in it.
func header20OK(h *[20]byte) bool {
	acc := uint64(binary.LittleEndian.Uint32(h[0:])) + uint64(binary.LittleEndian.Uint32(h[4:])) +
		uint64(binary.LittleEndian.Uint32(h[8:])) + uint64(binary.LittleEndian.Uint32(h[12:])) +
		uint64(binary.LittleEndian.Uint32(h[16:]))
	return acc%0xffff == 0
}

// pseudo is the sum of the pseudo-header of p's addresses with an upper
// protocol and a length (RFC 9293 3.1, RFC 8200 8.1), in sum's order.
func (p *Packet) pseudo(proto uint8, length int) uint64 {
	var acc uint64
	switch p.Version {
	case 4:
		acc = sum(p.Store[p.L3+12:p.L3+20], 0)
	case 6:
		acc = sum(p.Store[p.L3+8:p.L3+40], 0)
	}
	acc = sumWord(uint16(length>>16), acc)
	acc = sumWord(uint16(length), acc)
	return sumWord(uint16(proto), acc)
}
