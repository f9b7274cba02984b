package packet_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

func TestQuote(t *testing.T) {
	const about = "icmp 10.9.0.1 > 10.1.0.9 unreachable port "
	const about6 = "icmp 2001:db8::1 > 2001:db8::9 unreachable port "
	tests := []struct {
		name string
		text string
		edit func([]byte) []byte
		want packet.Reason
	}{
		{"a whole packet", about + "(tcp 10.1.0.9:4000 > 10.2.0.2:80 S)", unchanged, packet.OK},
		{"the first 8 bytes of TCP are enough", about + "cut 28 (tcp 10.1.0.9:4000 > 10.2.0.2:80 S)", unchanged, packet.OK},
		{"7 bytes are not", about + "cut 27 (tcp 10.1.0.9:4000 > 10.2.0.2:80 S)", unchanged, packet.ICMPQuote},
		{"IPv4 options of the quoted packet are stepped over", about + "cut 36 (udp 10.1.0.9:4000 > 10.2.0.2:80 options 0101010101010101 len 50)", unchanged, packet.OK},
		{"an IPv4 header that is cut", about + "cut 19 (tcp 10.1.0.9:4000 > 10.2.0.2:80 S)", unchanged, packet.ICMPQuote},
		{"no quote at all", about, unchanged, packet.ICMPQuote},
		{"a quoted echo", about + "(icmp 10.1.0.9 > 10.2.0.2 echo id 7 seq 1)", unchanged, packet.OK},
		{"a quoted ICMP error has no identifier but is there", about + "(icmp 10.1.0.9 > 10.2.0.2 time-exceeded)", unchanged, packet.OK},
		{"a quoted protocol without ports", about + "(ip 10.1.0.9 > 10.2.0.2 proto 47 len 20)", unchanged, packet.ICMPQuote},
		{"a quoted first fragment has ports", about + "(udp 10.1.0.9:4000 > 10.2.0.2:80 frag 0+ len 64)", unchanged, packet.OK},
		{"a quoted later fragment has not", about + "(udp 10.1.0.9 > 10.2.0.2 frag 64 len 64)", unchanged, packet.ICMPQuote},
		{"a quoted header of version 6", about + "(udp 10.1.0.9:4000 > 10.2.0.2:80)", setBytes(28, 0x65), packet.ICMPQuote},
		{"a quoted header of 4 words", about + "(udp 10.1.0.9:4000 > 10.2.0.2:80)", setBytes(28, 0x44), packet.ICMPQuote},
		{"a quoted header longer than the quote", about + "(udp 10.1.0.9:4000 > 10.2.0.2:80)", setBytes(28, 0x4f), packet.ICMPQuote},
		{"a quoted total length below the header", about + "(udp 10.1.0.9:4000 > 10.2.0.2:80)", setBytes(30, 0, 10), packet.ICMPQuote},
		{"a quoted header checksum that a router has spoilt", about + "(udp 10.1.0.9:4000 > 10.2.0.2:80)", setBytes(38, 1, 2), packet.OK},
		{"a ping quotes nothing", ping, unchanged, packet.ICMPQuote},
		{"a redirect is no error", "icmp 10.9.0.1 > 10.1.0.9 redirect", unchanged, packet.ICMPQuote},
		{"a TCP packet quotes nothing", tcp4, unchanged, packet.ICMPQuote},

		{"a whole IPv6 packet", about6 + "(tcp [2001:db8::9]:4000 > [2001:db8::2]:80 S)", unchanged, packet.OK},
		{"the first 8 bytes of TCP over IPv6", about6 + "cut 48 (tcp [2001:db8::9]:4000 > [2001:db8::2]:80 S)", unchanged, packet.OK},
		{"an IPv6 header that is cut", about6 + "cut 39 (tcp [2001:db8::9]:4000 > [2001:db8::2]:80 S)", unchanged, packet.ICMPQuote},
		{"a cut first IPv6 fragment", about6 + "cut 57 (udp [2001:db8::9]:4000 > [2001:db8::2]:80 frag 0+ len 64)", unchanged, packet.OK},
		{"a later IPv6 fragment", about6 + "(udp 2001:db8::9 > 2001:db8::2 frag 64 len 64)", unchanged, packet.ICMPQuote},
		{"a quoted type 0 routing header", about6 + "(ip 2001:db8::9 > 2001:db8::2 proto 99 len 24)", setBytes(54, 43), packet.ICMPQuote},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, tt.edit(bytesOf(t, tt.text)), packet.LinkRaw)
			var q packet.Packet
			if got := p.Quote(&q); got != tt.want {
				t.Fatalf("%s, want %s", got, tt.want)
			}
			if tt.want == packet.OK && (!q.HasL4 || q.Version != p.Version || q.Src() != p.Dst()) {
				t.Errorf("the quote is %s", &q)
			}
		})
	}
}

// A quote that is cut behind its L4 checksum has that checksum follow, as the
// whole packet would show, although nobody can verify it there.
func TestCutQuoteKeepsItsChecksum(t *testing.T) {
	for _, quoted := range []string{
		"tcp 10.1.0.9:4000 > 10.2.0.2:80 PA seq 7 len 100",
		"udp 10.1.0.9:4000 > 10.2.0.2:53 len 100",
		"icmp 10.1.0.9 > 10.2.0.2 echo id 7 seq 1 len 100",
	} {
		for cut := 28; cut <= 60; cut++ {
			var e packet.Packet
			if err := packet.Build(&e, "icmp 10.9.0.1 > 10.1.0.9 time-exceeded ("+quoted+")"); err != nil {
				t.Fatal(err)
			}
			whole := bytes.Clone(e.PayloadBytes())
			short := e.Bytes()[:28+cut]
			binary.BigEndian.PutUint16(short[2:], uint16(len(short)))
			fixIPv4(short)
			p := parsed(t, short, packet.LinkRaw)
			var q packet.Packet
			if r := p.Quote(&q); r != packet.OK {
				t.Fatal(r)
			}
			vip := packet.AddrFrom(e.Src())
			p.RewriteQuotedDst(&q, &vip, 8080)

			copy(whole, p.PayloadBytes())
			wrong := 0
			for _, sum := range packettest.Checksums(whole, packet.LinkRaw) {
				if sum.Error() != 0 {
					wrong++
				}
			}
			reaches := cut >= 28 && quoted[0] != 't' || cut >= 38
			if right := wrong == 0; right != reaches {
				t.Errorf("%s cut at %d: %d checksums are wrong", quoted, cut, wrong)
			}
			if got := parsed(t, whole, packet.LinkRaw); got.Dst() != e.Src() {
				t.Errorf("%s cut at %d: became %s", quoted, cut, got)
			}
		}
	}
}

func TestRaiseMTU(t *testing.T) {
	tests := []struct {
		name, before, after string
	}{
		{"an IPv4 MTU below 576 is raised", "icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 68", "icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 576"},
		{"0, from a router that knows none, as well", "icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 0", "icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 576"},
		{"575 is raised", "icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 575", "icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 576"},
		{"576 is kept", "icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 576", ""},
		{"an unreachable port announces none", "icmp 10.9.0.1 > 10.1.0.9 unreachable port rest 5", ""},
		{"nor does a ping", "icmp 10.9.0.1 > 10.1.0.9 echo id 0 seq 5", ""},
		{"an IPv6 MTU below 1,280 is raised", "icmp 2001:db8::1 > 2001:db8::9 too-big mtu 1279", "icmp 2001:db8::1 > 2001:db8::9 too-big mtu 1280"},
		{"1,280 is kept", "icmp 2001:db8::1 > 2001:db8::9 too-big mtu 1280", ""},
		{"so is one that IPv4 could not say", "icmp 2001:db8::1 > 2001:db8::9 type 2 code 0 rest 0x10001", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, bytesOf(t, tt.before), packet.LinkRaw)
			before := p.String()
			want := tt.after
			if want == "" {
				want = before
			}
			if raised := p.RaiseMTU(); raised != (want != before) || p.String() != want {
				t.Errorf("%v, %s; want %s", raised, p, want)
			}
			for _, sum := range packettest.Checksums(p.Bytes(), packet.LinkRaw) {
				if sum.Error() != 0 {
					t.Errorf("%v", sum)
				}
			}
		})
	}
}
