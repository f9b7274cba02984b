package tunnel

import "encoding/binary"

// sum adds the big-endian words of b, a last odd byte padded with zero. It
// accumulates 32 bits at a time, so that no carry is lost in less than 16 GiB;
// b must begin at an even offset of what is summed (RFC 1071).
func sum(b []byte) (acc uint64) {
	for len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		acc += v>>32 + v&0xffffffff
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		v := binary.BigEndian.Uint64(tail[:])
		acc += v>>32 + v&0xffffffff
	}
	return acc
}

// fold reduces a sum to its 16 bits.
func fold(acc uint64) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}
