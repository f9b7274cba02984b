package packet_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

// The errors of either version, about a packet that came from the VIP's side,
// and the start of what translate makes of them.
const (
	error4 = "icmp 10.9.0.1 > 10.1.0.9 "
	error6 = "icmp 2001:db8::1 > 2001:db8::9 "
	to4    = "icmp 10.7.0.1 > 10.7.0.2 "
	to6    = "icmp 2001:db8:7::1 > 2001:db8:7::2 "
)

// What every type and code becomes: the tables of RFC 7915 4.2 and 5.2, written
// out. Rows are "type code rest"; - is no error of the other version.
func TestTranslateErrorTypes(t *testing.T) {
	const quote4, quoteTo6 = " (udp 10.1.0.9:4000 > 10.2.0.2:53 len 64)", " (udp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 len 64)"
	const quote6, quoteTo4 = " (udp [2001:db8::9]:4000 > [2001:db8::2]:53 len 64)", " (udp 10.7.0.2:8080 > 10.7.0.1:40000 id 45064 len 64)"
	tests := []struct{ four, six, back string }{
		// IPv4 to IPv6, and what that is in IPv4, if it is something else.
		{"unreachable net", "unreachable net", "unreachable host"},
		{"unreachable host", "unreachable net", ""},
		{"unreachable protocol", "type 4 code 1 rest 0x6", ""},
		{"unreachable port", "unreachable port", ""},
		{"frag-needed mtu 1400", "too-big mtu 1420", ""},
		{"frag-needed mtu 1260", "too-big mtu 1280", ""},
		{"frag-needed mtu 68", "too-big mtu 1280", "frag-needed mtu 1260"},
		{"frag-needed mtu 0", "too-big mtu 1280", "frag-needed mtu 1260"},
		{"frag-needed mtu 65535", "too-big rest 0x10013", ""},
		{"type 3 code 5", "unreachable net", "unreachable host"},
		{"type 3 code 6", "unreachable net", "unreachable host"},
		{"type 3 code 7", "unreachable net", "unreachable host"},
		{"type 3 code 8", "unreachable net", "unreachable host"},
		{"type 3 code 9", "unreachable admin", "type 3 code 10"},
		{"type 3 code 10", "unreachable admin", ""},
		{"type 3 code 11", "unreachable net", "unreachable host"},
		{"type 3 code 12", "unreachable net", "unreachable host"},
		{"unreachable admin", "unreachable admin", "type 3 code 10"},
		{"type 3 code 14", "-", ""},
		{"type 3 code 15", "unreachable admin", "type 3 code 10"},
		{"type 3 code 16", "-", ""},
		{"time-exceeded", "time-exceeded", ""},
		{"time-exceeded reassembly", "time-exceeded reassembly", ""},
		{"type 4 code 0", "-", ""},
		{"parameter-problem", "parameter-problem", ""},
		{"type 12 code 1 rest 0x1000000", "-", ""},
		{"type 12 code 2 rest 0x8000000", "parameter-problem rest 0x7", "parameter-problem rest 0x8000000"},
		{"parameter-problem rest 0x1000000", "parameter-problem rest 0x1", ""},
		{"parameter-problem rest 0x2000000", "parameter-problem rest 0x4", ""},
		{"parameter-problem rest 0x3000000", "parameter-problem rest 0x4", "parameter-problem rest 0x2000000"},
		{"parameter-problem rest 0x4000000", "-", ""},
		{"parameter-problem rest 0x7000000", "-", ""},
		{"parameter-problem rest 0x8000000", "parameter-problem rest 0x7", ""},
		{"parameter-problem rest 0x9000000", "parameter-problem rest 0x6", ""},
		{"parameter-problem rest 0xa000000", "-", ""},
		{"parameter-problem rest 0xb000000", "-", ""},
		{"parameter-problem rest 0xc000000", "parameter-problem rest 0x8", ""},
		{"parameter-problem rest 0xf000000", "parameter-problem rest 0x8", "parameter-problem rest 0xc000000"},
		{"parameter-problem rest 0x10000000", "parameter-problem rest 0x18", ""},
		{"parameter-problem rest 0x13000000", "parameter-problem rest 0x18", "parameter-problem rest 0x10000000"},
		{"parameter-problem rest 0x14000000", "-", ""},
		// IPv6 to IPv4.
		{"", "type 1 code 2", "unreachable host"},
		{"", "unreachable host", "unreachable host"},
		{"", "type 1 code 5", "-"},
		{"", "too-big mtu 0", "frag-needed mtu 68"},
		{"", "too-big rest 0xffffffff", "frag-needed mtu 65535"},
		{"", "type 4 code 2", "-"},
		{"", "parameter-problem rest 0x2", "-"},
		{"", "parameter-problem rest 0x3", "-"},
		{"", "parameter-problem rest 0x5", "parameter-problem rest 0x2000000"},
		{"", "parameter-problem rest 0x17", "parameter-problem rest 0xc000000"},
		{"", "parameter-problem rest 0x27", "parameter-problem rest 0x10000000"},
		{"", "parameter-problem rest 0x28", "-"},
		{"", "parameter-problem rest 0x80000000", "-"},
		{"", "type 100 code 0", "-"},
	}
	for _, tt := range tests {
		if tt.four != "" {
			want := "untranslatable"
			if tt.six != "-" {
				want = to6 + tt.six + quoteTo6
			}
			t.Run("4 to 6 "+tt.four, func(t *testing.T) { judgeTranslation(t, built(t, error4+tt.four+quote4), want) })
		}
		if tt.six == "-" {
			continue
		}
		back := tt.back
		if back == "" {
			back = tt.four
		}
		t.Run("6 to 4 "+tt.six, func(t *testing.T) {
			p := built(t, error6+tt.six+quote6)
			if back == "-" {
				judgeTranslation(t, p, "untranslatable")
				return
			}
			judgeTranslation(t, p, to4+back+" ipid "+fmt.Sprint(binary.BigEndian.Uint16(p.Store[p.L4+2:]))+quoteTo4)
		})
	}
}

// built is the packet that text describes.
func built(t *testing.T, text string) *packet.Packet {
	t.Helper()
	p := new(packet.Packet)
	if err := packet.Build(p, text); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTranslateQuote(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{"of TCP, cut to what the oldest standard asks for", error4 + "frag-needed mtu 1400 cut 28 (tcp 10.1.0.9:4000 > 10.2.0.2:80 seq 5 df len 1460)",
			to6 + "too-big mtu 1420 cut 48 (tcp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 seq 5 len 1460)"},
		{"an old router's MTU is guessed from the packet's size", error4 + "frag-needed mtu 0 cut 28 (tcp 10.1.0.9:4000 > 10.2.0.2:80 df len 1460)",
			to6 + "too-big mtu 1492 cut 48 (tcp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 len 1460)"},
		{"of just that size is not what fits", error4 + "frag-needed mtu 0 cut 28 (tcp 10.1.0.9:4000 > 10.2.0.2:80 df len 1452)",
			to6 + "too-big mtu 1280 cut 48 (tcp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 len 1452)"},
		{"with tags", error4 + "time-exceeded (tcp 10.1.0.9:4000 > 10.2.0.2:80 SA ttl 0)" + mac + " vlan 7",
			to6 + "time-exceeded (tcp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 SA ttl 0)" + mac + " vlan 7"},
		{"of a ping", error4 + "unreachable port (icmp 10.1.0.9 > 10.2.0.2 echo id 7 seq 1 len 9)",
			to6 + "unreachable port (icmp 2001:db8:7::2 > 2001:db8:7::1 echo id 40000 seq 1 len 9)"},
		{"of a ping, cut, in IPv6", error6 + "too-big mtu 1300 cut 100 (icmp 2001:db8::9 > 2001:db8::2 echo id 7 seq 1 len 1400)",
			to4 + "frag-needed mtu 1280 ipid 6521 cut 80 (icmp 10.7.0.2 > 10.7.0.1 echo id 40000 seq 1 df len 1400)"},
		{"with options, which are left away", error4 + "unreachable port (udp 10.1.0.9:4000 > 10.2.0.2:80 options 0101010101010101 len 50)",
			to6 + "unreachable port (udp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 len 50)"},
		{"of a first fragment", error4 + "time-exceeded reassembly cut 28 (udp 10.1.0.9:4000 > 10.2.0.2:80 id 7 frag 0+ len 64)",
			to6 + "time-exceeded reassembly cut 56 (udp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 id 7 frag 0+ len 64)"},
		{"of a first IPv6 fragment, whose MTU counts one header more", error6 + "too-big mtu 1400 cut 100 (udp [2001:db8::9]:4000 > [2001:db8::2]:80 id 7 frag 0+ len 1400)",
			to4 + "frag-needed mtu 1372 ipid 53916 cut 72 (udp 10.7.0.2:8080 > 10.7.0.1:40000 id 7 frag 0+ len 1400)"},
		{"of UDP without a checksum stays without: not all of it may be there", error4 + "unreachable port (udp 10.1.0.9:4000 > 10.2.0.2:80 nosum len 50)",
			to6 + "unreachable port (udp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 nosum len 50)"},
		{"with a wrong checksum outside and one inside", error4 + "unreachable port badsum (udp 10.1.0.9:4000 > 10.2.0.2:80 badsum len 50)",
			to6 + "unreachable port badsum (udp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 badsum len 50)"},
		{"that is larger than an IPv6 error may be is cut", error4 + "time-exceeded (tcp 10.1.0.9:4000 > 10.2.0.2:80 A df len 1460)",
			to6 + "time-exceeded cut 1232 (tcp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 A len 1460)"},
		{"that is larger than an IPv4 error may be is cut", error6 + "time-exceeded cut 1232 (tcp [2001:db8::9]:4000 > [2001:db8::2]:80 A len 1440)",
			to4 + "time-exceeded ipid 36886 cut 548 (tcp 10.7.0.2:8080 > 10.7.0.1:40000 A df len 1440)"},
		{"of a later fragment is nobody's", error4 + "time-exceeded (udp 10.1.0.9 > 10.2.0.2 frag 64 len 64)", "icmp-bad-quote"},
		{"of an error: there is no end to it", error4 + "time-exceeded (icmp 10.1.0.9 > 10.2.0.2 time-exceeded)", "icmp-bad-quote"},
		{"of a timestamp request, which is never translated", error4 + "time-exceeded (icmp 10.1.0.9 > 10.2.0.2 type 13 code 0 id 7 seq 1)", "icmp-bad-quote"},
		{"of a fragmented ping, which is neither", error4 + "time-exceeded (icmp 10.1.0.9 > 10.2.0.2 echo id 7 seq 1 frag 0+ len 64)", "icmp-bad-quote"},
		{"that is missing", error4 + "time-exceeded", "icmp-bad-quote"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { judgeTranslation(t, built(t, tt.before), tt.after) })
	}
}

// Extensions behind the quote (RFC 4884) are cut off, and their length is told
// no more; a length that no extended message can have is not believed.
func TestTranslateCutsExtensions(t *testing.T) {
	tests := []struct {
		name, text   string
		at           int // of the length in the ICMP message
		length, left int // left of the quote: IP header and what it carries
	}{
		{"128 bytes, counted in words of 4", error4 + "time-exceeded (udp 10.1.0.9:4000 > 10.2.0.2:53 len 300)", 5, 32, 128 + 20},
		{"128 bytes, counted in words of 8", error6 + "time-exceeded (udp [2001:db8::9]:4000 > [2001:db8::2]:53 len 300)", 4, 16, 128 - 20},
		{"in the other error that can have them", error6 + "unreachable port (udp [2001:db8::9]:4000 > [2001:db8::2]:53 len 300)", 4, 16, 128 - 20},
		{"less than 128", error4 + "time-exceeded (udp 10.1.0.9:4000 > 10.2.0.2:53 len 300)", 5, 31, 328 + 20},
		{"more than there is", error4 + "time-exceeded (udp 10.1.0.9:4000 > 10.2.0.2:53 len 300)", 5, 255, 328 + 20},
		{"in a message that has none", error6 + "too-big mtu 1400 (udp [2001:db8::9]:4000 > [2001:db8::2]:53 len 300)", 4, 16, 348 - 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := built(t, tt.text)
			field := p.Store[p.L4+2 : p.L4+4]
			sum := uint32(^binary.BigEndian.Uint16(field)) + uint32(tt.length)<<(8*(1-tt.at&1))
			binary.BigEndian.PutUint16(field, ^uint16(sum+sum>>16))
			p.Store[p.L4+tt.at] += byte(tt.length)
			if wrongSums(p) != 0 {
				t.Fatal("the test made a wrong packet")
			}
			mtu := p.ICMPType() == 2
			if r := translate(p); r != packet.OK {
				t.Fatal(r)
			}
			if got := len(p.PayloadBytes()); got != tt.left {
				t.Errorf("%d bytes of the quote are left, want %d", got, tt.left)
			}
			if p.ICMPRest() != 0 && !mtu {
				t.Errorf("the second word is %#x", p.ICMPRest())
			}
			if wrongSums(p) != 0 {
				t.Errorf("%v", packettest.Checksums(p.Bytes(), p.Link))
			}
		})
	}
}

// What a quote has behind the end of its packet is no part of it.
func TestTranslateCutsBehindTheQuote(t *testing.T) {
	b := append(bytesOf(t, error4+"time-exceeded ("+udp4+")"), bytes.Repeat([]byte{0}, 12)...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	fixIPv4(b)
	want := to6 + "time-exceeded (udp [2001:db8:7::2]:8080 > [2001:db8:7::1]:40000 len 64)"
	p := parsed(t, b, packet.LinkRaw)
	judgeTranslation(t, p, want)
	if n := len(p.PayloadBytes()); n != 40+8+64 {
		t.Errorf("the quote has %d bytes", n)
	}
}

// Extension headers may fill the least length of an extended message's quote;
// the ports behind them are kept all the same.
func TestTranslateKeepsPortsBehindLongHeaders(t *testing.T) {
	quote := edits(chainOf(packet.DSTOPTS), setBytes(41, 16))(bytesOf(t, udp6))
	quote = append(quote[:48:48], append(make([]byte, 16*8), quote[48:]...)...)
	binary.BigEndian.PutUint16(quote[4:], uint16(len(quote)-40))
	b := append(bytesOf(t, error6+"time-exceeded"), quote...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	b[44] = 16 // words of 8 bytes
	p := parsed(t, b, packet.LinkRaw)
	if r := translate(p); r != packet.OK {
		t.Fatal(r)
	}
	const want = "time-exceeded ipid 41281 badsum cut 40 (udp 10.7.0.2:8080 > 10.7.0.1:40000 id 45056 len 64)"
	if p.String() != to4+want {
		t.Errorf("became %s", p)
	}
}

// What is there of a cut quote's checksum is what the whole would have.
func TestTranslatedCutQuoteKeepsItsChecksum(t *testing.T) {
	for _, quoted := range []string{
		"tcp 10.1.0.9:4000 > 10.2.0.2:80 PA seq 7 len 100",
		"udp 10.1.0.9:4000 > 10.2.0.2:53 len 100",
		"icmp 10.1.0.9 > 10.2.0.2 echo id 7 seq 1 len 100",
		"tcp [2001:db8::9]:4000 > [2001:db8::2]:80 PA seq 7 len 100",
		"icmp 2001:db8::9 > 2001:db8::2 echo id 7 seq 1 len 100",
	} {
		outer := error4
		if strings.Contains(quoted, "2001") {
			outer = error6
		}
		whole := built(t, outer+"time-exceeded ("+quoted+")")
		if r := translate(whole); r != packet.OK {
			t.Fatal(r)
		}
		header := len(built(t, quoted).Bytes()) - 100
		for cut := header; cut < header+100; cut += 7 {
			p := built(t, fmt.Sprintf("%stime-exceeded cut %d (%s)", outer, cut, quoted))
			if r := translate(p); r != packet.OK {
				t.Fatal(r)
			}
			if !bytes.HasPrefix(whole.PayloadBytes(), p.PayloadBytes()) || wrongSums(p) != 0 {
				t.Errorf("%s cut at %d became %s", quoted, cut, p)
			}
		}
	}
}
