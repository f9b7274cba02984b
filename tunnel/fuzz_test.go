package tunnel_test

import (
	"bytes"
	"net/netip"
	"testing"

	"weir/netstack/packet"
	"weir/tunnel"
)

// believer opens tunnels from everybody, to see as much as possible of what is
// inside.
func believer(t testing.TB) *tunnel.Decap {
	return newDecap(t, tunnel.DecapConfig{
		Directors: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
	})
}

// Any outer packet is a reason or a packet that may be delivered; a reason
// leaves it as it was.
func FuzzPop(f *testing.F) {
	for _, c := range combinations() {
		f.Add(pushed(f, c, c.text()), false)
	}
	f.Add(nested(f, 60), false)
	f.Add(ipip4(4, bytesOf(f, "tcp 192.0.2.10:1 > 192.0.2.10:80 S")), false)
	f.Add(bytesOf(f, tcp4+" mac 02:00:00:00:00:01>02:00:00:00:00:02 vlan 5"), true)
	d := believer(f)
	f.Fuzz(func(t *testing.T, frame []byte, ethernet bool) {
		if len(frame) > packet.MaxFrame {
			return
		}
		p := new(packet.Packet)
		p.Load(frame)
		link := packet.LinkRaw
		if ethernet {
			link = packet.LinkEthernet
		}
		if p.Parse(link) != packet.OK {
			return
		}
		was := *p
		if r := d.Pop(p); r != packet.OK {
			if !sameState(p, &was) || !bytes.Equal(p.Bytes(), frame) {
				t.Fatalf("%s: %s was %s", r, p, &was)
			}
			return
		}
		deliverable(t, p)
		if p.Start <= was.L3 || p.End > was.L3End || !bytes.Contains(frame, p.PayloadBytes()) {
			t.Fatalf("%d to %d came out of %d to %d", p.Start, p.End, was.L3, was.L3End)
		}
		if r := d.Pop(p); r != packet.NotTunnel {
			t.Fatalf("what came out is a tunnel again: %s", r)
		}
	})
}

// deliverable holds what came out of a tunnel against the rules of row 8: for a
// VIP, from nobody who cannot be, and no tunnel again.
func deliverable(t *testing.T, p *packet.Packet) {
	if dst := p.Dst(); dst != vip4 && dst != vip6 {
		t.Fatalf("%s is for no VIP", p)
	}
	if src := p.Src(); src == vip4 || src == vip6 || p.Martian() != packet.OK {
		t.Fatalf("%s is from nobody", p)
	}
	if p.Proto == packet.IPIP || p.Proto == packet.IPv6 || p.Proto == packet.GRE {
		t.Fatalf("%s is a tunnel", p)
	}
	if again := raw(t, p.Bytes()); again.String() != p.String() || again.End != again.L3End {
		t.Fatalf("%s is read as %s", p, again)
	}
}

// Whatever the packet inside is, it goes in, is a packet again and comes out as
// it was, or is refused.
func FuzzPush(f *testing.F) {
	for _, text := range []string{tcp4, tcp6, "udp 198.51.100.9 > 192.0.2.10 frag 1480+ len 80",
		"icmp 198.51.100.9 > 192.0.2.10 frag-needed mtu 1400 (tcp 192.0.2.10:80 > 198.51.100.9:4000 A df len 1460)"} {
		f.Add(bytesOf(f, text), uint32(hash), uint8(0))
	}
	all := combinations()
	var encaps []*tunnel.Encap
	for _, c := range all {
		encaps = append(encaps, newEncap(f, c.config()))
	}
	d := believer(f)
	f.Fuzz(func(t *testing.T, inner []byte, flowHash uint32, which uint8) {
		p := new(packet.Packet)
		if p.Load(inner); p.Parse(packet.LinkRaw) != packet.OK {
			return
		}
		inner = inner[:p.IPLen()]
		if encaps[int(which)%len(all)].Push(p, flowHash) != packet.OK {
			return
		}
		p.Complete()
		out := raw(t, p.Bytes())
		if d.Pop(out) == packet.OK && !bytes.Equal(out.Bytes(), inner) {
			t.Fatalf("%x came out, %x went in", out.Bytes(), inner)
		}
	})
}

// Any TCP header: what is lowered is lowered once, nothing else changes, and
// the checksum is as right or wrong as it was.
func FuzzClampMSS(f *testing.F) {
	for _, options := range [][]byte{mss(1460), concat(nop, mss(1460)), concat(sackOK, timestamp, mss(9000)), {2, 4}, {8, 0}, {2, 6, 1, 2, 3, 4}} {
		f.Add(syn(4, packet.SYN, options), uint16(1400))
		f.Add(syn(6, packet.SYN|packet.ACK, options), uint16(1220))
	}
	f.Fuzz(func(t *testing.T, frame []byte, limit uint16) {
		if len(frame) > packet.MaxFrame {
			return
		}
		p := new(packet.Packet)
		if p.Load(frame); p.Parse(packet.LinkRaw) != packet.OK {
			return
		}
		lowered := tunnel.ClampMSS(p, limit)
		if same := bytes.Equal(p.Bytes(), frame); same == lowered {
			t.Fatalf("lowered: %v, but bytes unchanged: %v", lowered, same)
		}
		if !lowered {
			return
		}
		segment := frame[p.L4-p.Start : p.L3End-p.Start]
		if was, is := wordSum(segment), wordSum(p.Store[p.L4:p.L3End]); was%0xffff != is%0xffff {
			t.Fatalf("the sum is %#x, was %#x", is, was)
		}
		raw(t, p.Bytes())
		if tunnel.ClampMSS(p, limit) {
			t.Fatal("lowered twice")
		}
	})
}

// wordSum is the sum of b's words, the slow way.
func wordSum(b []byte) (sum uint32) {
	for i, x := range b {
		sum += uint32(x) << (8 * (1 - i%2))
	}
	return sum
}
