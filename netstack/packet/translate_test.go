package packet_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

// The ends that packets are translated to in these tests.
var (
	clientTo = map[uint8]netip.AddrPort{
		4: netip.MustParseAddrPort("10.7.0.1:40000"), 6: netip.MustParseAddrPort("[2001:db8:7::1]:40000"),
	}
	serverTo = map[uint8]netip.AddrPort{
		4: netip.MustParseAddrPort("10.7.0.2:8080"), 6: netip.MustParseAddrPort("[2001:db8:7::2]:8080"),
	}
)

// translate takes p to the ends of the other version.
func translate(p *packet.Packet) packet.Reason {
	other := 10 - p.Version
	from, to := clientTo[other], serverTo[other]
	src, dst := packet.AddrFrom(from.Addr()), packet.AddrFrom(to.Addr())
	return packet.Translate(p, &src, &dst, from.Port(), to.Port())
}

func TestTranslate(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{"TCP with all that its header says", "tcp 10.1.0.9:4000 > 192.0.2.10:80 FSRPAUEC seq 5 ack 6 win 7 ttl 9 tos 0x2e id 77 df len 100",
			"tcp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 FSRPAUEC seq 5 ack 6 win 7 ttl 9 tos 0x2e len 100"},
		{"and back: small enough for routers to fragment", "tcp [2001:db8::9]:4000 > [2001:db8::a]:80 SA seq 5 ack 6 ttl 9 tos 0x2e len 1220",
			"tcp 10.7.0.1:40000 > 10.7.0.2:8080 SA seq 5 ack 6 ttl 9 tos 0x2e id 63206 len 1220"},
		{"a byte more, and they must not", "tcp [2001:db8::9]:4000 > [2001:db8::a]:80 SA len 1221",
			"tcp 10.7.0.1:40000 > 10.7.0.2:8080 SA df len 1221"},
		{"a wrong checksum stays wrong", "tcp 10.1.0.9:4000 > 192.0.2.10:80 S badsum", "tcp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 S badsum"},
		{"IPv4 options are left away", "udp 10.1.0.9:4000 > 192.0.2.10:80 options 9404000001010101 len 9", "udp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 len 9"},
		{"40 bytes of them, so that the header does not grow", "udp 10.1.0.9:4000 > 192.0.2.10:80 options " + strings.Repeat("01", 40) + " len 9" + mac,
			"udp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 len 9" + mac},
		{"UDP without a checksum gets one", "udp 10.1.0.9:4000 > 192.0.2.10:80 nosum len 9", "udp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 len 9"},
		{"over IPv6 it need not have had one", "udp [2001:db8::9]:4000 > [2001:db8::a]:80 nosum len 1300", "udp 10.7.0.1:40000 > 10.7.0.2:8080 df nosum len 1300"},
		{"a partial checksum stays one", "tcp 10.1.0.9:4000 > 192.0.2.10:80 PA partial len 1400", "tcp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 PA partial len 1400"},
		{"in the other direction too", "udp [2001:db8::9]:4000 > [2001:db8::a]:80 partial len 1400", "udp 10.7.0.1:40000 > 10.7.0.2:8080 df partial len 1400"},
		{"a wrong partial checksum stays wrong", "tcp 10.1.0.9:4000 > 192.0.2.10:80 PA partial badsum len 14", "tcp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 PA partial badsum len 14"},
		{"a super-packet stays one", "tcp 10.1.0.9:4000 > 192.0.2.10:80 PA df gso 1428 len 60000", "tcp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 PA gso 1428 len 60000"},
		{"its segments decide about DF", "tcp [2001:db8::9]:4000 > [2001:db8::a]:80 PA gso 1428 len 60000", "tcp 10.7.0.1:40000 > 10.7.0.2:8080 PA df gso 1428 len 60000"},
		{"segments of 1,260 bytes may be fragmented", "tcp [2001:db8::9]:4000 > [2001:db8::a]:80 PA seq 7 gso 1220 len 5000", "tcp 10.7.0.1:40000 > 10.7.0.2:8080 PA seq 7 id 8691 gso 1220 len 5000"},
		{"segments of a byte more must not", "tcp [2001:db8::9]:4000 > [2001:db8::a]:80 PA gso 1221 len 5000", "tcp 10.7.0.1:40000 > 10.7.0.2:8080 PA df gso 1221 len 5000"},
		{"small ones may be fragmented", "udp [2001:db8::9]:4000 > [2001:db8::a]:80 gso 100 len 2000", "udp 10.7.0.1:40000 > 10.7.0.2:8080 id 300 gso 100 len 2000"},
		{"UDP's too", "udp 10.1.0.9:4000 > 192.0.2.10:80 gso 100 len 2000", "udp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 gso 100 len 2000"},

		{"a first fragment", "udp 10.1.0.9:4000 > 192.0.2.10:80 id 7 frag 0+ len 64", "udp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 id 7 frag 0+ len 64"},
		{"a fragment in the middle", "udp 10.1.0.9 > 192.0.2.10 id 7 frag 64+ len 64", "udp 2001:db8:7::1 > 2001:db8:7::2 id 7 frag 64+ len 64"},
		{"a last fragment", "tcp 10.1.0.9 > 192.0.2.10 id 7 df frag 1480 len 3", "tcp 2001:db8:7::1 > 2001:db8:7::2 id 7 frag 1480 len 3"},
		{"a first IPv6 fragment keeps half of its id", "tcp [2001:db8::9]:4000 > [2001:db8::a]:80 A id 65543 frag 0+ len 1300", "tcp 10.7.0.1:40000 > 10.7.0.2:8080 A id 7 frag 0+ len 1300"},
		{"a last IPv6 fragment", "udp 2001:db8::9 > 2001:db8::a id 7 frag 1480 len 3 mac 02:00:00:00:00:01>02:00:00:00:00:02", "udp 10.7.0.1 > 10.7.0.2 id 7 frag 1480 len 3 mac 02:00:00:00:00:01>02:00:00:00:00:02"},
		{"a fragment of ICMP cannot be: ICMPv6 sums the length", "icmp 10.1.0.9 > 192.0.2.10 echo id 7 seq 1 frag 0+ len 64", "untranslatable"},
		{"nor can a later one", "icmp 2001:db8::9 > 2001:db8::a frag 64 len 64", "untranslatable"},
		{"a first fragment without a UDP checksum cannot get one", "udp 10.1.0.9:4000 > 192.0.2.10:80 nosum frag 0+ len 64", "untranslatable"},
		{"IPv4 cannot count as far as an IPv6 fragment", "udp 2001:db8::9 > 2001:db8::a frag 65520 len 15", "too-big"},
		{"up to its limit it can", "udp 2001:db8::9 > 2001:db8::a frag 65504 len 11", "udp 10.7.0.1 > 10.7.0.2 frag 65504 len 11"},
		{"and one byte more it cannot", "udp 2001:db8::9 > 2001:db8::a frag 65504 len 12", "too-big"},

		{"a ping", "icmp 10.1.0.9 > 192.0.2.10 echo id 7 seq 1 len 56", "icmp 2001:db8:7::1 > 2001:db8:7::2 echo id 8080 seq 1 len 56"},
		{"an answer to one", "icmp 2001:db8::9 > 2001:db8::a echo-reply id 7 seq 1 len 1300", "icmp 10.7.0.1 > 10.7.0.2 echo-reply id 8080 seq 1 df len 1300"},
		{"a ping with a partial checksum", "icmp 2001:db8::9 > 2001:db8::a echo id 7 seq 1 partial len 1300", "icmp 10.7.0.1 > 10.7.0.2 echo id 8080 seq 1 df partial len 1300"},
		{"a ping with a wrong checksum", "icmp 10.1.0.9 > 192.0.2.10 echo id 7 seq 1 badsum", "icmp 2001:db8:7::1 > 2001:db8:7::2 echo id 8080 seq 1 badsum"},
		{"a timestamp request has no counterpart", "icmp 10.1.0.9 > 192.0.2.10 type 13 code 0 id 7 seq 1 len 12", "untranslatable"},
		{"nor a redirect", "icmp 10.9.0.1 > 10.1.0.9 redirect rest 0xa090002", "untranslatable"},
		{"nor neighbour discovery", "icmp fe80::1 > fe80::2 neighbour-advert fe80::1 router", "untranslatable"},
		{"nor source quench", "icmp 10.9.0.1 > 10.1.0.9 type 4 code 0 (" + udp4 + ")", "untranslatable"},

		{"another protocol is carried as it is", "ip 10.1.0.9 > 192.0.2.10 proto 47 ttl 3 len 24", "ip 2001:db8:7::1 > 2001:db8:7::2 proto 47 ttl 3 len 24"},
		{"so is nothing at all", "ip 2001:db8::9 > 2001:db8::a proto 59", "ip 10.7.0.1 > 10.7.0.2 proto 59"},
		{"ICMPv6 in IPv4 must not come to life", "ip 10.1.0.9 > 192.0.2.10 proto 58 len 24", "untranslatable"},
		{"nor must ICMP in IPv6", "ip 2001:db8::9 > 2001:db8::a proto 1 len 24", "untranslatable"},
		{"nor an extension header in IPv4", "ip 10.1.0.9 > 192.0.2.10 proto 43 len 24", "untranslatable"},
		{"what AH vouches for changes", "ip 10.1.0.9 > 192.0.2.10 proto 51 len 24", "untranslatable"},
		{"tags are kept", udp6 + mac + " vlan 5 vlan 6", "udp 10.7.0.1:40000 > 10.7.0.2:8080 id 45056 len 64" + mac + " vlan 5 vlan 6"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			if err := packet.Build(&p, tt.before); err != nil {
				t.Fatal(err)
			}
			judgeTranslation(t, &p, tt.after)
		})
	}
}

// judgeTranslation translates p, which must become the packet that want shows,
// or be left as it is for the reason want.
func judgeTranslation(t *testing.T, p *packet.Packet, want string) {
	t.Helper()
	before, bytesBefore := *p, bytes.Clone(p.Store)
	wrong := wrongSums(p)
	r := translate(p)
	if r != packet.OK {
		if r.String() != want {
			t.Errorf("%s, want %s", r, want)
		}
		same := p.Start == before.Start && p.End == before.End && p.L3 == before.L3 && p.L4 == before.L4 &&
			p.Version == before.Version && p.Offload == before.Offload && bytes.Equal(p.Store, bytesBefore)
		if !same {
			t.Errorf("refused, but it became %s", p)
		}
		return
	}
	if p.String() != want {
		t.Errorf("\n got %s\nwant %s", p, want)
	}
	reread(t, p)
	if n := wrongSums(p); n != wrong && p.Offload == (packet.Offload{}) {
		t.Errorf("%d checksums are wrong, were %d", n, wrong)
	}
}

// wrongSums counts the checksums of p that gopacket finds wrong.
func wrongSums(p *packet.Packet) (n int) {
	for _, sum := range packettest.Checksums(p.Bytes(), p.Link) {
		if sum.Error() != 0 {
			n++
		}
	}
	return n
}

// Extension headers go, unless they say something that must not be lost.
func TestTranslateExtensionHeaders(t *testing.T) {
	const plain = "udp 10.7.0.1:40000 > 10.7.0.2:8080 id 45056 len 64"
	tests := []struct {
		name string
		edit func([]byte) []byte
		want string
	}{
		{"options are left away", chainOf(packet.HOPOPTS, packet.DSTOPTS), plain},
		{"a routing header that has done its work as well", chainOf(packet.ROUTING), plain},
		{"one with segments left says where to", edits(chainOf(packet.ROUTING), setBytes(43, 1)), "untranslatable"},
		{"an authentication header", edits(chainOf(packet.AH), setBytes(41, 0)), "untranslatable"},
		{"an atomic fragment brings its id, and loses the upper half", edits(chainOf(packet.FRAGMENT), setBytes(44, 9, 9, 0, 7)), "udp 10.7.0.1:40000 > 10.7.0.2:8080 id 7 len 64"},
		{"options behind a fragment header are the datagram's", chainOf(packet.FRAGMENT, packet.DSTOPTS), "untranslatable"},
		{"in a first fragment too", edits(chainOf(packet.FRAGMENT, packet.DSTOPTS), setBytes(43, 1)), "untranslatable"},
		{"in a later one too", edits(chainOf(packet.FRAGMENT, packet.DSTOPTS), setBytes(42, 1)), "untranslatable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			judgeTranslation(t, parsed(t, tt.edit(bytesOf(t, udp6)), packet.LinkRaw), tt.want)
		})
	}
}

func TestTranslateRefusesWhatNoCallerMayAsk(t *testing.T) {
	a4, a6 := packet.AddrFrom(addr("10.7.0.1")), packet.AddrFrom(addr("2001:db8::7"))
	arp := append(append(bytes.Repeat([]byte{2}, 12), 8, 6), make([]byte, 28)...)
	tests := []struct {
		name     string
		p        *packet.Packet
		src, dst *packet.Addr
	}{
		{"an IPv4 source for what was IPv4", parsed(t, bytesOf(t, tcp4), packet.LinkRaw), &a4, &a6},
		{"an IPv4 destination for what was IPv4", parsed(t, bytesOf(t, tcp4), packet.LinkRaw), &a6, &a4},
		{"IPv6 ends for what was IPv6", parsed(t, bytesOf(t, tcp6), packet.LinkRaw), &a6, &a6},
		{"a frame that carries no IP", parsed(t, arp, packet.LinkEthernet), &a6, &a6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.p.String()
			if r := packet.Translate(tt.p, tt.src, tt.dst, 1, 2); r != packet.Rewriting || tt.p.String() != before {
				t.Errorf("%s, and became %s", r, tt.p)
			}
		})
	}
}

// The header grows by 20 bytes, in an error twice, with a fragment header once
// more by 8; with one byte of headroom less the packet is refused untouched.
func TestTranslateNeedsHeadroom(t *testing.T) {
	tests := []struct {
		text string
		need int
	}{
		{tcp4, 20},
		{tcp4 + mac, 20},
		{"udp 10.1.0.9:4000 > 192.0.2.10:80 options 01010101 len 9", 16},
		{"udp 10.1.0.9 > 192.0.2.10 frag 64+ len 64", 28},
		{"icmp 10.9.0.1 > 10.1.0.9 unreachable port (" + udp4 + ")", 40},
		{"icmp 10.9.0.1 > 10.1.0.9 unreachable port (udp 10.1.0.9:4000 > 10.2.0.2:80 frag 0+ len 64)", 48},
		{tcp6, 0},
	}
	for _, tt := range tests {
		for room := max(tt.need-1, 0); room <= tt.need; room++ {
			var whole packet.Packet
			if err := packet.Build(&whole, tt.text); err != nil {
				t.Fatal(err)
			}
			store := append(make([]byte, room), whole.Bytes()...)
			p := &packet.Packet{Store: store, Start: room, End: len(store)}
			if r := p.Parse(whole.Link); r != packet.OK {
				t.Fatal(r)
			}
			if r := translate(p); (r == packet.OK) != (room == tt.need) || r != packet.OK && r != packet.Rewriting {
				t.Errorf("%s with %d bytes of headroom: %s", tt.text, room, r)
			}
			if reread(t, p); room < tt.need && p.String() != whole.String() {
				t.Errorf("%s became %s", tt.text, p)
			}
		}
	}
}

// A datagram that was cut into fragments has a right checksum when its
// translated fragments are put together: the first one's has learnt the new
// pseudo-header of the whole.
func TestTranslatedFragmentsMakeTheDatagram(t *testing.T) {
	var p, scratch packet.Packet
	if err := packet.Build(&p, "udp 10.1.0.9:4000 > 192.0.2.10:80 id 99 len 3000"); err != nil {
		t.Fatal(err)
	}
	payload := bytes.Clone(p.PayloadBytes())
	var whole []byte
	n := 0
	r := packet.Fragment(&p, &scratch, 1500-28, func(f *packet.Packet) {
		if r := translate(f); r != packet.OK {
			t.Fatal(r)
		}
		if reread(t, f); int(f.FragOffset) != len(whole)-min(n, 1)*40 || f.FragID != 99 || f.IPLen() > 1500 {
			t.Errorf("fragment %d is %s", n, f)
		}
		if n == 0 { // its header, without the fragment header, is the whole's
			whole = append(whole, f.Store[f.L3:f.L3+40]...)
			whole[6] = packet.UDP
		}
		whole = append(whole, f.Store[f.L3+48:f.L3End]...)
		n++
	})
	if r != packet.OK || n != 3 {
		t.Fatalf("%s, %d fragments", r, n)
	}
	binary.BigEndian.PutUint16(whole[4:], uint16(len(whole)-40))
	d := parsed(t, whole, packet.LinkRaw)
	if d.String() != "udp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 len 3000" || !bytes.Equal(payload, d.PayloadBytes()) {
		t.Errorf("together they are %s", d)
	}
	if wrongSums(d) != 0 {
		t.Errorf("%v", packettest.Checksums(whole, packet.LinkRaw))
	}
}

// A translated super-packet is cut into right segments that carry its bytes.
func TestTranslatedSegments(t *testing.T) {
	for _, text := range []string{
		"tcp 10.1.0.9:4000 > 192.0.2.10:80 FPA seq 9 gso 1428 len 60000" + mac,
		"tcp [2001:db8::9]:4000 > [2001:db8::a]:80 FPA seq 9 gso 1000 len 10001" + mac + " vlan 9",
		"udp 10.1.0.9:4000 > 192.0.2.10:80 gso 333 len 1000",
		"udp [2001:db8::9]:4000 > [2001:db8::a]:80 gso 333 len 1000",
		"tcp [2001:db8::9]:4000 > [2001:db8::a]:80 PA partial len 333",
		"icmp 10.1.0.9 > 10.1.0.1 echo id 1 seq 2 partial len 33",
		"icmp 2001:db8::9 > 2001:db8::a echo id 1 seq 2 partial len 33",
		"icmp 2001:db8::1 > 2001:db8::9 unreachable port partial (" + udp6 + ")",
	} {
		var p, scratch packet.Packet
		if err := packet.Build(&p, text); err != nil {
			t.Fatal(err)
		}
		if text[:4] == "icmp" && p.Version == 4 { // nothing is in ICMP's partial sum over IPv4
			p.Store[p.L4+2], p.Store[p.L4+3] = 0, 0
		}
		want, got := bytes.Clone(p.PayloadBytes()), []byte(nil)
		if r := translate(&p); r != packet.OK {
			t.Fatal(r)
		}
		if r := p.Parse(p.Link); r != packet.OK {
			t.Fatal(r)
		}
		quotes := p.IsICMPError()
		packet.Segment(&p, &scratch, func(s *packet.Packet) {
			if wrongSums(s) != 0 {
				t.Errorf("%s: %s: %v", text, s, packettest.Checksums(s.Bytes(), s.Link))
			}
			got = append(got, s.PayloadBytes()...)
		})
		if !quotes && !bytes.Equal(got, want) {
			t.Errorf("%s: carries something else", text)
		}
	}
}

// A super-packet that lies about its length is told it.
func TestTranslateSuperPacketOfLengthZero(t *testing.T) {
	for _, text := range []string{
		"tcp 10.1.0.9:4000 > 192.0.2.10:80 A gso 1000 len 5000", "tcp [2001:db8::9]:4000 > [2001:db8::a]:80 A gso 1400 len 5000",
	} {
		var p packet.Packet
		if err := packet.Build(&p, text); err != nil {
			t.Fatal(err)
		}
		if p.Version == 4 {
			setBytes(2, 0, 0)(p.Bytes())
			fixIPv4(p.Bytes())
		} else {
			setBytes(4, 0, 0)(p.Bytes())
		}
		if r := p.Parse(packet.LinkRaw); r != packet.OK {
			t.Fatal(r)
		}
		want := map[uint8]string{
			4: "tcp [2001:db8:7::1]:40000 > [2001:db8:7::2]:8080 A gso 1000 len 5000",
			6: "tcp 10.7.0.1:40000 > 10.7.0.2:8080 A df gso 1400 len 5000",
		}[p.Version]
		if r := translate(&p); r != packet.OK || p.String() != want {
			t.Errorf("%s: %s, want %s", r, &p, want)
		}
	}
}

// There and back again L4 has the very bytes it had, but for the echo's name.
func TestTranslateThereAndBack(t *testing.T) {
	for _, text := range canonical {
		var p packet.Packet
		if err := packet.Build(&p, text); err != nil {
			t.Fatal(err)
		}
		if p.Version == 0 || p.IsICMPError() {
			continue
		}
		src, dst, sport, dport := p.SrcAddr(), p.DstAddr(), p.SrcPort, p.DstPort
		if src.Is4() != (p.Version == 4) || strings.Contains(text, "nosum") {
			continue
		}
		before := bytes.Clone(p.Store[p.L4:p.L3End])
		if translate(&p) != packet.OK {
			continue
		}
		if r := packet.Translate(&p, &src, &dst, sport, dport); r != packet.OK {
			t.Errorf("%s: back: %s", text, r)
		} else if after := p.Store[p.L4:p.L3End]; !bytes.Equal(before, after) {
			t.Errorf("%s\nL4 was %x\n    is %x", text, before, after)
		}
	}
}
