package hostile

import (
	"encoding/binary"
	"slices"

	"weir/netstack/packet"
)

var linkClasses = []Class{
	simple("runt", "the frame ends within the IP header", "truncated", func(k *kit) []byte {
		whole := k.packet(header{proto: tcp}, k.syn(header{}, k.strangePort()))
		return whole[:1+k.turn(19+20*k.six)]
	}),
	{"vlan", "a good SYN behind one VLAN tag or two", []Fate{"vlan-tagged"}, func(k *kit) {
		good := k.packet(header{proto: tcp}, k.syn(header{}, k.strangePort()))
		tag := binary.BigEndian.AppendUint16([]byte{0, 5}, etherType[k.six])
		kind := uint16(0x8100)
		if k.turn(2) == 1 {
			kind, tag = 0x88a8, slices.Concat([]byte{0, 6, 0x81, 0x00}, tag)
		}
		k.frame("vlan-tagged", k.ether(kind, slices.Concat(tag, good)))
	}},
	{"ethertype", "an EtherType that is neither IP nor ARP, or an 802.3 length", []Fate{"unknown-ethertype"}, func(k *kit) {
		kinds := []uint16{0x88cc, 0x8864, 0x8847, 0x9000, 0x1234, 0xffff, 0x0600, 0x05dc, 0x0042, 0}
		good := k.packet(header{proto: tcp}, k.syn(header{}, k.strangePort()))
		k.frame("unknown-ethertype", k.ether(kinds[k.turn(len(kinds))], good))
	}},
	{"unicast-in-group", "a good SYN to one station in a frame to all or to many", []Fate{"martian"}, func(k *kit) {
		to := []packet.MAC{packet.Broadcast, {0x01, 0, 0x5e, 1, 2, 3}, {0x33, 0x33, 0, 0, 0, 1}}[k.turn(3)]
		good := k.packet(header{proto: tcp}, k.syn(header{}, k.strangePort()))
		k.frame("martian", frame(to, k.stage.From, etherType[k.six], good))
	}},
	{"foreign-mac", "a good SYN in a frame to a station that nobody knows, which switches flood", []Fate{"foreign-mac"}, func(k *kit) {
		to := packet.MAC{0x02, 0, 0x77, 0, byte(k.i >> 8), byte(k.i)}
		good := k.packet(header{proto: tcp}, k.syn(header{}, k.strangePort()))
		k.frame("foreign-mac", frame(to, k.stage.From, etherType[k.six], good))
	}},
	{"arp", "an ARP message cut short, with wrong lengths or kinds, or from no station", []Fate{"unknown-ethertype"}, func(k *kit) {
		k.frame("unknown-ethertype", k.ether(0x0806, k.badARP()))
	}},
	only6(simple("ndp", "neighbour discovery from beyond a router, with a wrong checksum, code, target or option", "martian", (*kit).badNDP)),
}

// badARP is a request for weir's first address, spoilt.
func (k *kit) badARP() []byte {
	src, dst := k.stage.Src[0].As4(), k.stage.Own[0][0].As4()
	b := slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, 1}, k.stage.From[:], src[:], make([]byte, 6), dst[:])
	spoil := []func(){
		func() { b = b[:8] },
		func() { b = b[:20] },
		func() { b = b[:27] },
		func() { b[1] = 6 },
		func() { b[2], b[3] = 0x86, 0xdd },
		func() { b[4] = 0 },
		func() { b[4] = 8 },
		func() { b[5] = 16 },
		func() { b[5] = 255 },
		func() { b[7] = 0 },
		func() { b[7] = 99 },
		func() { clear(b[8:14]) },
		func() { b[8] |= 1 },
		func() { b[14] = 224 },
		func() { copy(b[14:], "\xff\xff\xff\xff") },
	}
	spoil[k.turn(len(spoil))]()
	return b
}

// badNDP is a solicitation for weir's first address, spoilt.
func (k *kit) badNDP() []byte {
	own := k.stage.Own[1][0]
	h := header{proto: icmp6, dst: own, ttl: 255}
	target := own.As16()
	link := append([]byte{1, 1}, k.stage.From[:]...)
	body, code, sum := target[:], uint8(0), uint8(0)
	spoil := []func(){
		func() { h.ttl = 254 },
		func() { h.ttl = 64 },
		func() { code = 1 },
		func() { sum = 1 },
		func() { link[1] = 0 },
		func() { link[1] = 2 },
		func() { link = link[:5] },
		func() { body, link = body[:15], nil },
		func() { body[0] = 0xff },
	}
	spoil[k.turn(len(spoil))]()
	m := k.message(h, 135, code, 0, slices.Concat(body, link))
	m[3] ^= sum
	return k.packet(h, m)
}
