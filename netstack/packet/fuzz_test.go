package packet_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"weir/netstack/packet"
)

// touch calls every accessor of p, which Parse may have refused.
func touch(p *packet.Packet) {
	var k packet.FlowKey
	p.Key(&k)
	_, _ = p.SrcMAC(), p.DstMAC()
	_, _, _, _ = p.Src(), p.Dst(), p.SrcAddr(), p.DstAddr()
	_, _, _, _, _ = p.TTL(), p.TOS(), p.DF(), p.IPID(), p.IPLen()
	_, _, _ = p.Seq(), p.Ack(), p.Window()
	_, _, _ = p.ICMPType(), p.ICMPCode(), p.ICMPRest()
	_, _, _ = p.IsICMPError(), p.IsICMPQuery(), p.IsRedirect()
	_, _ = p.IsEchoRequest(), p.IsEchoReply()
	_, _, _ = p.VLANID(), p.PayloadBytes(), p.Martian()
	_, _ = p.ARP()
	_, _ = p.NDP()
	_ = p.String()
}

// twist does every rewrite that there is.
func twist(p *packet.Packet) {
	var other packet.Addr
	if p.Version == 6 {
		other = packet.Addr{0: 0x20, 1: 1, 15: 9}
	} else {
		other = packet.Addr{10: 0xff, 11: 0xff, 12: 192, 15: 1}
	}
	src, dst := p.SrcAddr(), p.DstAddr()
	p.RewriteSrc(&other, 1234, packet.DeltaOf(&src, &other, p.SrcPort, 1234))
	p.RewriteDst(&other, 1234, packet.DeltaOf(&dst, &other, p.DstPort, 1234))
	var q packet.Packet
	if p.Quote(&q) == packet.OK {
		touch(&q)
		p.RewriteQuotedSrc(&q, &other, 4321)
		p.RewriteQuotedDst(&q, &other, 4321)
		touch(&q)
	}
	p.RaiseMTU()
	p.DecTTL()
	p.SetTOS(0x12)
	p.SetMACs(ours, theirs)
}

// Any bytes are a reason or a packet; either way no accessor and no rewrite
// panics, and a packet that Parse took it takes again after every rewrite.
func FuzzParse(f *testing.F) {
	for _, text := range canonical {
		var p packet.Packet
		if err := packet.Build(&p, text); err != nil {
			f.Fatal(err)
		}
		o := p.Offload
		f.Add(bytes.Clone(p.Bytes()), p.Link == packet.LinkEthernet, o.NeedsCsum, byte(o.GSO), o.GSOSize,
			max(int(o.CsumStart)-p.Start, 0), o.CsumOffset)
	}
	f.Fuzz(func(t *testing.T, frame []byte, ethernet, partial bool, gso byte, size uint16, start int, offset uint16) {
		if len(frame) > packet.MaxFrame {
			return
		}
		p := new(packet.Packet)
		p.Load(frame)
		p.Offload = packet.Offload{
			NeedsCsum: partial, GSO: packet.GSO(gso), GSOSize: size,
			CsumStart: uint16(packet.Headroom + start), CsumOffset: offset,
		}
		link := packet.LinkRaw
		if ethernet {
			link = packet.LinkEthernet
		}
		r := p.Parse(link)
		touch(p)
		twist(p)
		if r != packet.OK {
			return
		}
		if again := p.Parse(link); again != packet.OK {
			t.Fatalf("after the rewrites: %s", again)
		}
		emitAll(t, p)
	})
}

// emitAll makes everything of p that this package makes of packets.
func emitAll(t *testing.T, p *packet.Packet) {
	var out, scratch packet.Packet
	for answer := packet.AnswerNone; answer <= packet.AnswerNetUnreachable; answer++ {
		for _, from := range []netip.Addr{addr("10.0.0.1"), addr("2001:db8::1"), {}} {
			v := packet.Verdict{Answer: answer}
			v.MTU = 1400
			if packet.BuildError(&out, p, v, from) {
				reread(t, &out)
			}
		}
	}
	bytesOut := 0
	if p.Offload.GSO == packet.GSONone || p.Offload.GSOSize > 100 {
		packet.Segment(p, &scratch, func(s *packet.Packet) {
			reread(t, s)
			bytesOut += len(s.PayloadBytes())
		})
		if want := len(p.PayloadBytes()); bytesOut != want {
			t.Fatalf("segments of %d bytes in all, want %d", bytesOut, want)
		}
	}
	p.Complete()
	packet.Fragment(p, &scratch, 576, func(s *packet.Packet) { touch(s) })
	for _, link := range []packet.Link{packet.LinkEthernet, packet.LinkRaw, packet.LinkEthernet} {
		p.SetHop(&packet.Hop{Link: link, Src: ours, Dst: theirs})
		touch(p)
	}
	reread(t, p)
}

// reread parses the bytes of p anew and holds them against what p says it is.
func reread(t *testing.T, p *packet.Packet) {
	again := packet.Packet{Store: p.Store, Start: p.Start, End: p.End, Offload: p.Offload}
	if r := again.Parse(p.Link); r != packet.OK {
		t.Fatalf("%s is refused: %s", p, r)
	}
	if again.String() != p.String() {
		t.Fatalf("%s is read as %s", p, &again)
	}
}

// What Build takes, String gives back in a form that Build takes as the same.
func FuzzText(f *testing.F) {
	for _, text := range canonical {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p, again packet.Packet
		if packet.Build(&p, text) != nil {
			return
		}
		said := p.String()
		if err := packet.Build(&again, said); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if again.String() != said {
			t.Fatalf("%q is\n%s, and that is\n%s", text, said, &again)
		}
	})
}

// An ICMP error with any bytes for a quote: rewriting the quote changes the
// checksum by what it changed in the bytes, so that it stays right or as wrong.
func FuzzQuote(f *testing.F) {
	for _, text := range canonical {
		f.Add(bytesOf(f, text), uint16(0x1234), uint16(80))
	}
	f.Fuzz(func(t *testing.T, quote []byte, checksum, port uint16) {
		if len(quote) > 2000 {
			return
		}
		text, to := "icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 1400", addr("192.0.2.10")
		if len(quote) > 0 && quote[0]>>4 == 6 {
			text, to = "icmp 2001:db8::1 > 2001:db8::9 too-big mtu 1400", addr("2001:db8::1:a")
		}
		b := append(bytesOf(t, text), quote...)
		l4 := 20
		if to.Is6() {
			l4 = 40
			binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		} else {
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			fixIPv4(b)
		}
		binary.BigEndian.PutUint16(b[l4+2:], checksum)
		p := parsed(t, b, packet.LinkRaw)
		before := plainSum(p.Bytes()[l4:])
		var q packet.Packet
		if p.Quote(&q) != packet.OK {
			return
		}
		addr := packet.AddrFrom(to)
		p.RewriteQuotedSrc(&q, &addr, port)
		p.RewriteQuotedDst(&q, &addr, port)
		if q.Src() != to || q.Dst() != to || q.DstPort != port && q.SrcPort+q.DstPort != 0 {
			t.Fatalf("the quote is %s", &q)
		}
		if after := plainSum(p.Bytes()[l4:]); after%0xffff != before%0xffff {
			t.Fatalf("the sum was %#x, is %#x", before, after)
		}
		touch(&q)
		touch(p)
	})
}

// plainSum is the sum of b's words, the slow way.
func plainSum(b []byte) (sum uint32) {
	for i, x := range b {
		if i%2 == 0 {
			sum += uint32(x) << 8
		} else {
			sum += uint32(x)
		}
	}
	return sum
}
