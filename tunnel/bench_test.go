package tunnel_test

import (
	"testing"

	"weir/netstack/packet"
	"weir/tunnel"
)

// Nothing on the way of a packet allocates, in either direction.
func TestNoAllocations(t *testing.T) {
	emit := func(*packet.Packet) {}
	d := anyDecap(t)
	for _, c := range combinations() {
		config := c.config()
		config.MayFragment = true
		e := newEncap(t, config)
		frame := build(t, c.text())
		super := build(t, "tcp 198.51.100.9:4000 > 192.0.2.10:80 A gso 1000 len 4500")
		store := append([]byte(nil), frame.Store...)
		scratch, pieces := new(packet.Packet), new(packet.Packet)
		scratch.Store = make([]byte, packet.Headroom+packet.MaxFrame)
		pieces.Store = make([]byte, packet.Headroom+packet.MaxFrame)
		p := new(packet.Packet)
		allocs := testing.AllocsPerRun(50, func() {
			*p = *frame
			copy(p.Store, store)
			tunnel.ClampMSS(p, e.MSS(p.Version, 1500))
			if e.Push(p, hash) != packet.OK || e.Fragment(p, pieces, 80, emit) != packet.OK || d.Pop(p) != packet.OK {
				panic("refused")
			}
			*p = *super
			if e.PushSegments(p, scratch, hash, emit) != packet.OK {
				panic("the super-packet is refused")
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", c, allocs)
		}
	}
}

// size is a full frame's payload: the benchmarks copy nothing of it.
const size = " len 1400"

func benchText(c combination) string {
	if c.inner == 6 {
		return "tcp [2001:db8:9::9]:4000 > [2001:db8:f::10]:80 A" + size
	}
	return "tcp 198.51.100.9:4000 > 192.0.2.10:80 A" + size
}

func BenchmarkPush(b *testing.B) {
	for _, c := range combinations() {
		b.Run(c.String(), func(b *testing.B) {
			e := newEncap(b, c.config())
			frame := build(b, benchText(c))
			p := *frame
			b.ReportAllocs()
			for b.Loop() {
				p = *frame
				if e.Push(&p, hash) != packet.OK {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkPushPartial adds the checksum that a sender with offload has left.
func BenchmarkPushPartial(b *testing.B) {
	e := newEncap(b, combination{tunnel.IPIP, 4, 4}.config())
	frame := build(b, "tcp 198.51.100.9:4000 > 192.0.2.10:80 A partial"+size)
	p := *frame
	b.SetBytes(1400)
	for b.Loop() {
		p = *frame
		if e.Push(&p, hash) != packet.OK {
			b.Fatal("refused")
		}
	}
}

// BenchmarkPushSegments is a whole super-packet into ipip, copies and checksums
// included.
func BenchmarkPushSegments(b *testing.B) {
	e := newEncap(b, combination{tunnel.IPIP, 4, 4}.config())
	frame := build(b, "tcp 198.51.100.9:4000 > 192.0.2.10:80 A gso 1400 len 63000")
	scratch := &packet.Packet{Store: make([]byte, packet.Headroom+packet.MaxFrame)}
	p := *frame
	b.SetBytes(63000)
	b.ReportAllocs()
	for b.Loop() {
		p = *frame
		e.PushSegments(&p, scratch, hash, func(*packet.Packet) {})
	}
}

func BenchmarkPop(b *testing.B) {
	d := anyDecap(b)
	for _, c := range combinations() {
		b.Run(c.String(), func(b *testing.B) {
			outer := raw(b, pushed(b, c, benchText(c)))
			p := *outer
			b.ReportAllocs()
			for b.Loop() {
				p = *outer
				if d.Pop(&p) != packet.OK {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkPopStranger is what a flood of refused packets costs.
func BenchmarkPopStranger(b *testing.B) {
	d := anyDecap(b)
	p := build(b, "ip 10.2.0.3 > 10.2.0.2 proto 4 len 1400")
	for b.Loop() {
		if d.Pop(p) != packet.TunnelStranger {
			b.Fatal("believed")
		}
	}
}

func BenchmarkClampMSS(b *testing.B) {
	p := raw(b, syn(4, packet.SYN, concat(sackOK, timestamp, mss(1460))))
	for b.Loop() {
		tunnel.ClampMSS(p, 1400)
		p.Store[p.Payload-3], p.Store[p.Payload-4] = 0xff, 0x05
	}
}
