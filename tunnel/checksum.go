package tunnel

import (
	"encoding/binary"
	"math/bits"
)

// sum adds the big-endian words of b, a last odd byte padded with zero (RFC
// 1071), 64 bits at a time with the carry put back in. What it returns is below
// 2^33, so that callers may add some of them. b must begin at an even offset of
// what is summed.
func sum(b []byte) uint64 {
	var acc, carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) > 0 {
		var word [8]byte
		b = b[copy(word[:], b):]
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(word[:]), carry)
	}
	return acc>>32 + acc&0xffffffff + carry
}

// fold reduces a sum to its 16 bits.
func fold(acc uint64) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}
