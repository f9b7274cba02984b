package hostile

import "slices"

var fragmentClasses = []Class{
	simple("never-ending", "pieces of datagrams whose first piece never comes", GivenUp, func(k *kit) []byte {
		return k.piece(udp, k.number, 1480, k.turn(2) == 0, k.fill(16+k.i%90*16))
	}),
	{"overlap", "pieces that overlap before the first comes, and then the first", []Fate{"fragment-overlap"}, func(k *kit) {
		id := k.number
		k.ip("fragment-overlap", k.piece(udp, id, 64, true, k.fill(64)))
		k.ip("fragment-overlap", k.piece(udp, id, 96, true, k.fill(64)))
		k.ip("fragment-overlap", k.piece(udp, id, 0, true, k.first(id, 64, 200)))
	}},
	{"teardrop", "a last piece that lies within the first", []Fate{Forwarded, "fragment-overlap"}, func(k *kit) {
		id := k.number
		k.ip(Forwarded, k.piece(udp, id, 0, true, k.first(id, 64, 200)))
		k.ip("fragment-overlap", k.piece(udp, id, 24, false, k.fill(24)))
	}},
	{"tiny", "a first piece that cuts the TCP header, or one at byte 8 that would change its flags", []Fate{"tiny-fragment"}, func(k *kit) {
		whole := segment(k.strangePort(), k.stage.TCP, syn, nil)
		switch k.turn(3) {
		case 0:
			k.ip("tiny-fragment", k.piece(tcp, k.number, 0, true, whole[:8]))
		case 1:
			k.ip("tiny-fragment", k.piece(tcp, k.number, 0, true, whole[:16]))
		default:
			k.ip("tiny-fragment", k.piece(tcp, k.number, 8, true, k.fill(16)))
		}
	}},
	simple("ping-of-death", "a piece that would end beyond 65,535 bytes", "bad-fragment", func(k *kit) []byte {
		proto := []uint8{k.icmpProto(), udp}[k.turn(2)]
		return k.piece(proto, k.number, 65528, false, k.fill(1000))
	}),
	simple("bad-piece", "a piece but the last that is no multiple of 8 bytes, or an empty one", "bad-fragment", func(k *kit) []byte {
		size := []int{17, 20, 23, 0}[k.turn(4)]
		return k.piece(udp, k.number, 64, true, k.fill(size))
	}),
	only4(Class{"df-pieces", "pieces of a good datagram that say they must not be fragmented", []Fate{Forwarded}, func(k *kit) {
		first := k.first(k.number, 40, 56)
		last := k.markOf(1)
		whole := k.sealed(header{proto: udp}, slices.Concat(first, last))
		id := uint16(k.number)
		k.ip(Forwarded, k.packet(header{proto: udp, id: id, frag: 0x6000}, whole[:40]))
		k.ip(Forwarded, k.packet(header{proto: udp, id: id, frag: 0x4005}, whole[40:]))
	}}),
}

// PingPiece is a frame with a later piece of a ping to a VIP that never comes
// whole: the one kind of fragment that weir's own stack puts together.
func (g *Generator) PingPiece(i int) []byte {
	k := &kit{Generator: g, i: i, six: i % 2}
	k.ip(GivenUp, k.piece(k.icmpProto(), k.number, 1448, true, k.fill(16+i%90*16)))
	return k.frames[0].Data
}

// first is the first piece of a datagram to the UDP service: size bytes of what
// its length says.
func (k *kit) first(id uint32, size, length int) []byte {
	b := datagram(k.openPort(), k.stage.UDP, k.fill(size-8))
	b[4], b[5] = byte(length>>8), byte(length)
	b[6], b[7] = byte(id>>8)|1, byte(id) // some checksum, but not none
	return b
}
