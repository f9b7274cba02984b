package packet_test

import (
	"testing"

	"weir/netstack/packet"
)

// wayOfAPacket is everything that the data path does with a packet of a flow.
func wayOfAPacket(p *packet.Packet, frame packet.Packet, hop *packet.Hop, to *packet.Addr, d packet.Delta) {
	var k packet.FlowKey
	p.Start, p.End, p.Offload = frame.Start, frame.End, frame.Offload
	if p.Parse(frame.Link) != packet.OK {
		panic("the packet is refused")
	}
	p.Key(&k)
	_ = p.Martian()
	p.RewriteDst(to, 8080, d)
	p.DecTTL()
	p.SetHop(hop)
}

// Nothing on the way of a packet allocates, whatever the packet is.
func TestNoAllocations(t *testing.T) {
	hop := packet.Hop{Link: packet.LinkEthernet, Src: ours, Dst: theirs}
	for _, text := range canonical {
		var frame, scratch, out, q packet.Packet
		if err := packet.Build(&frame, text); err != nil {
			t.Fatal(err)
		}
		p := frame
		p.Store = append([]byte(nil), frame.Store...)
		scratch.Store = make([]byte, packet.Headroom+packet.MaxFrame)
		out.Store = make([]byte, packet.Headroom+2000)
		to, from := frame.SrcAddr(), frame.DstAddr()
		d := packet.DeltaOf(&from, &to, frame.DstPort, 8080)
		v := packet.Verdict{Answer: packet.AnswerTimeExceeded}
		emit := func(*packet.Packet) {}
		allocs := testing.AllocsPerRun(20, func() {
			copy(p.Store, frame.Store)
			wayOfAPacket(&p, frame, &hop, &to, d)
			if p.Quote(&q) == packet.OK {
				p.RewriteQuotedDst(&q, &to, 80)
				p.RaiseMTU()
			}
			packet.BuildError(&out, &p, v, p.Dst())
			packet.Segment(&p, &scratch, emit)
			packet.Fragment(&p, &scratch, 576, emit)
			_, _ = p.ARP()
			_, _ = p.NDP()
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", text, allocs)
		}
	}
}

// Nor does a translation, nor its refusal.
func TestTranslateAllocatesNothing(t *testing.T) {
	for _, text := range canonical {
		var frame packet.Packet
		if err := packet.Build(&frame, text); err != nil {
			t.Fatal(err)
		}
		p := frame
		p.Store = append([]byte(nil), frame.Store...)
		store := p.Store
		allocs := testing.AllocsPerRun(20, func() {
			p = frame
			p.Store = store
			copy(p.Store, frame.Store)
			translate(&p)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", text, allocs)
		}
	}
}

func benchParse(b *testing.B, text string) {
	var p packet.Packet
	if err := packet.Build(&p, text); err != nil {
		b.Fatal(err)
	}
	link := p.Link
	b.ReportAllocs()
	for b.Loop() {
		if p.Parse(link) != packet.OK {
			b.Fatal("refused")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"tcp4", "tcp 10.1.0.9:4000 > 192.0.2.10:80 A len 40"},
		{"tcp4-ethernet", "tcp 10.1.0.9:4000 > 192.0.2.10:80 A len 40" + mac},
		{"tcp4-super", "tcp 10.1.0.9:4000 > 192.0.2.10:80 A gso 1448 len 60000"},
		{"udp4", udp4},
		{"tcp6", tcp6},
		{"tcp6-ethernet-tagged", tcp6 + mac + " vlan 5"},
		{"icmp4-error", "icmp 10.9.0.1 > 10.1.0.9 unreachable port (" + udp4 + ")"},
	} {
		b.Run(bm.name, func(b *testing.B) { benchParse(b, bm.text) })
	}
}

func BenchmarkKey(b *testing.B) {
	for _, text := range []string{tcp4, tcp6} {
		p := parsed(b, bytesOf(b, text), packet.LinkRaw)
		b.Run(text[:10], func(b *testing.B) {
			var k packet.FlowKey
			for b.Loop() {
				p.Key(&k)
			}
		})
	}
}

func BenchmarkRewriteDst(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"tcp4", tcp4}, {"udp4", udp4}, {"tcp6", tcp6}, {"icmp4", ping},
		{"tcp4-partial", "tcp 10.1.0.9:4000 > 192.0.2.10:80 A gso 1448 len 60000"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			var p packet.Packet
			if err := packet.Build(&p, bm.text); err != nil {
				b.Fatal(err)
			}
			from, to := p.DstAddr(), p.SrcAddr()
			d := packet.DeltaOf(&from, &to, p.DstPort, 8080)
			b.ReportAllocs()
			for b.Loop() {
				p.RewriteDst(&to, 8080, d)
			}
		})
	}
}

// BenchmarkWay is the share of this package in a forwarded packet.
func BenchmarkWay(b *testing.B) {
	var frame packet.Packet
	if err := packet.Build(&frame, "tcp 10.1.0.9:4000 > 192.0.2.10:80 A ttl 255 len 40"+mac); err != nil {
		b.Fatal(err)
	}
	p := frame
	headers := append([]byte(nil), frame.Bytes()[:54]...)
	from, to := frame.DstAddr(), packet.AddrFrom(addr("10.2.0.2"))
	d := packet.DeltaOf(&from, &to, frame.DstPort, 8080)
	hop := packet.Hop{Link: packet.LinkEthernet, Src: ours, Dst: theirs}
	b.ReportAllocs()
	for b.Loop() {
		copy(frame.Bytes(), headers)
		wayOfAPacket(&p, frame, &hop, &to, d)
	}
}

// BenchmarkComplete is a software checksum over 60,000 bytes.
func BenchmarkComplete(b *testing.B) {
	var frame packet.Packet
	if err := packet.Build(&frame, "tcp 10.1.0.9:4000 > 192.0.2.10:80 A partial len 60000"); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(60000)
	for b.Loop() {
		p := frame
		p.Complete()
	}
}

// BenchmarkTranslate takes a packet to the other IP version and back: two
// translations each time, the second of what the first has made.
func BenchmarkTranslate(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"tcp4", "tcp 10.1.0.9:4000 > 192.0.2.10:80 A len 1400" + mac},
		{"tcp6", "tcp [2001:db8::9]:4000 > [2001:db8::a]:80 A len 1400" + mac},
		{"tcp6-without-df", "tcp [2001:db8::9]:4000 > [2001:db8::a]:80 A len 40" + mac},
		{"tcp4-super", "tcp 10.1.0.9:4000 > 192.0.2.10:80 A gso 1428 len 60000"},
		{"icmp4-error", "icmp 10.9.0.1 > 10.1.0.9 unreachable port (" + udp4 + ")"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			var p packet.Packet
			if err := packet.Build(&p, bm.text); err != nil {
				b.Fatal(err)
			}
			src, dst, sport, dport := p.SrcAddr(), p.DstAddr(), p.SrcPort, p.DstPort
			other := 10 - p.Version
			from, to := packet.AddrFrom(clientTo[other].Addr()), packet.AddrFrom(serverTo[other].Addr())
			b.ReportAllocs()
			for b.Loop() {
				if packet.Translate(&p, &from, &to, 40000, 8080) != packet.OK ||
					packet.Translate(&p, &src, &dst, sport, dport) != packet.OK {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkTranslateUnsummed is the one translation that must look at the
// payload: UDP without a checksum.
func BenchmarkTranslateUnsummed(b *testing.B) {
	var frame packet.Packet
	if err := packet.Build(&frame, "udp 10.1.0.9:4000 > 192.0.2.10:53 nosum len 1400"); err != nil {
		b.Fatal(err)
	}
	headers := append([]byte(nil), frame.Bytes()[:28]...)
	b.SetBytes(1400)
	for b.Loop() {
		p := frame
		copy(p.Bytes(), headers)
		if translate(&p) != packet.OK {
			b.Fatal("refused")
		}
	}
}
