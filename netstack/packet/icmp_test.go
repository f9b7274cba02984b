package packet_test

import (
	"net/netip"
	"strings"
	"testing"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

func TestBuildError(t *testing.T) {
	tooBig := packet.Verdict{Answer: packet.AnswerTooBig, Exit: packet.Exit{MTU: 1400}}
	expired := packet.Verdict{Answer: packet.AnswerTimeExceeded}
	port := packet.Verdict{Answer: packet.AnswerPortUnreachable}
	host := packet.Verdict{Answer: packet.AnswerHostUnreachable}
	net := packet.Verdict{Answer: packet.AnswerNetUnreachable}
	const from4, from6 = "10.9.0.1", "2001:db8::1"
	tests := []struct {
		name string
		of   string
		v    packet.Verdict
		from string
		want string // "": none may be sent
	}{
		{"time exceeded", "udp 10.1.0.9:1 > 10.2.0.2:2 ttl 1 len 5", expired, from4,
			"icmp 10.9.0.1 > 10.1.0.9 time-exceeded tos 0xc0 df (udp 10.1.0.9:1 > 10.2.0.2:2 ttl 1 len 5)"},
		{"too big", "tcp 10.1.0.9:1 > 10.2.0.2:2 A df len 40", tooBig, from4,
			"icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 1400 tos 0xc0 df (tcp 10.1.0.9:1 > 10.2.0.2:2 A df len 40)"},
		{"a quote ends at 576 bytes in all", "tcp 10.1.0.9:1 > 10.2.0.2:2 A df len 1460", tooBig, from4,
			"icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 1400 tos 0xc0 df cut 548 (tcp 10.1.0.9:1 > 10.2.0.2:2 A df len 1460)"},
		{"port unreachable", udp4, port, from4, "icmp 10.9.0.1 > 10.1.0.9 unreachable port tos 0xc0 df (" + udp4 + ")"},
		{"host unreachable", udp4, host, from4, "icmp 10.9.0.1 > 10.1.0.9 unreachable host tos 0xc0 df (" + udp4 + ")"},
		{"net unreachable", udp4, net, from4, "icmp 10.9.0.1 > 10.1.0.9 unreachable net tos 0xc0 df (" + udp4 + ")"},
		{"a ping is answered", ping, expired, from4, "icmp 10.9.0.1 > 10.1.0.9 time-exceeded tos 0xc0 df (" + ping + ")"},
		{"a checksum left to the wire is completed in the quote", "tcp 10.1.0.9:1 > 10.2.0.2:2 A partial len 100", expired, from4,
			"icmp 10.9.0.1 > 10.1.0.9 time-exceeded tos 0xc0 df (tcp 10.1.0.9:1 > 10.2.0.2:2 A len 100)"},
		{"a checksum that is wrong stays so in the quote", "tcp 10.1.0.9:1 > 10.2.0.2:2 A badsum len 100", expired, from4,
			"icmp 10.9.0.1 > 10.1.0.9 time-exceeded tos 0xc0 df (tcp 10.1.0.9:1 > 10.2.0.2:2 A badsum len 100)"},
		{"padding is not quoted", "udp 10.1.0.9:1 > 10.2.0.2:2 len 1" + mac, expired, from4,
			"icmp 10.9.0.1 > 10.1.0.9 time-exceeded tos 0xc0 df (udp 10.1.0.9:1 > 10.2.0.2:2 len 1)"},

		{"an error is not answered", "icmp 10.1.0.9 > 10.2.0.2 unreachable port (" + udp4 + ")", expired, from4, ""},
		{"a redirect is not answered", "icmp 10.1.0.9 > 10.2.0.2 redirect", expired, from4, ""},
		{"an ICMP message of unknown type may be an error", "icmp 10.1.0.9 > 10.2.0.2 type 77 code 0", expired, from4, ""},
		{"a later fragment is not answered", "udp 10.1.0.9 > 10.2.0.2 frag 64 len 64", expired, from4, ""},
		{"a first fragment is", "udp 10.1.0.9:1 > 10.2.0.2:2 frag 0+ id 9 len 64", expired, from4,
			"icmp 10.9.0.1 > 10.1.0.9 time-exceeded tos 0xc0 df (udp 10.1.0.9:1 > 10.2.0.2:2 id 9 frag 0+ len 64)"},
		{"a packet to a group is not answered", "udp 10.1.0.9:1 > 224.0.0.5:2", expired, from4, ""},
		{"a packet to everybody is not answered", "udp 10.1.0.9:1 > 255.255.255.255:2", expired, from4, ""},
		{"a frame to a group is not answered", "udp 10.1.0.9:1 > 10.2.0.2:2 mac 02:00:00:00:00:01>ff:ff:ff:ff:ff:ff", expired, from4, ""},
		{"nobody at 0.0.0.0 is answered", "udp 0.0.0.0:1 > 10.2.0.2:2", expired, from4, ""},
		{"nobody at 127.0.0.1 is answered", "udp 127.0.0.1:1 > 10.2.0.2:2", expired, from4, ""},
		{"a group as sender is not answered", "udp 224.0.0.1:1 > 10.2.0.2:2", expired, from4, ""},
		{"an IPv6 address cannot send it", udp4, expired, from6, ""},
		{"no answer, no packet", udp4, packet.Verdict{}, from4, ""},

		{"time exceeded over IPv6", udp6, expired, from6, "icmp 2001:db8::1 > 2001:db8::9 time-exceeded (" + udp6 + ")"},
		{"too big over IPv6, 1,280 bytes in all", "udp [2001:db8::9]:1 > [2001:db8::2]:2 len 1400", tooBig, from6,
			"icmp 2001:db8::1 > 2001:db8::9 too-big mtu 1400 cut 1232 (udp [2001:db8::9]:1 > [2001:db8::2]:2 len 1400)"},
		{"port unreachable over IPv6", udp6, port, from6, "icmp 2001:db8::1 > 2001:db8::9 unreachable port (" + udp6 + ")"},
		{"host unreachable over IPv6", udp6, host, from6, "icmp 2001:db8::1 > 2001:db8::9 unreachable host (" + udp6 + ")"},
		{"net unreachable over IPv6", udp6, net, from6, "icmp 2001:db8::1 > 2001:db8::9 unreachable net (" + udp6 + ")"},
		{"an ICMPv6 error is not answered", "icmp 2001:db8::9 > 2001:db8::2 too-big mtu 1400", expired, from6, ""},
		{"a packet to an IPv6 group is not answered", "udp [2001:db8::9]:1 > [ff02::1]:2", expired, from6, ""},
		{"unless it is too big", "udp [2001:db8::9]:1 > [ff0e::1]:2 mac 02:00:00:00:00:01>33:33:00:00:00:01", tooBig, from6,
			"icmp 2001:db8::1 > 2001:db8::9 too-big mtu 1400 (udp [2001:db8::9]:1 > [ff0e::1]:2)"},
		{"nobody at :: is answered", "udp [::]:1 > [2001:db8::2]:2", expired, from6, ""},
		{"an IPv6 group as sender is not answered", "udp [ff02::1]:1 > [2001:db8::2]:2", expired, from6, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var of, out packet.Packet
			if err := packet.Build(&of, tt.of); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(tt.name, "padding") {
				copy(of.Store[of.End:], "padding")
				of.End += 7
				of.Parse(of.Link)
			}
			before := of.String()
			sent := packet.BuildError(&out, &of, tt.v, netip.MustParseAddr(tt.from))
			if sent != (tt.want != "") {
				t.Fatalf("sent: %v", sent)
			}
			if of.String() != before {
				t.Errorf("the packet itself became %s", &of)
			}
			if !sent {
				return
			}
			if got := out.String(); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
			for _, sum := range packettest.Checksums(out.Bytes(), packet.LinkRaw) {
				if sum.Error() != 0 && !strings.Contains(tt.of, "badsum") {
					t.Errorf("%v", sum)
				}
			}
			if out.Start < 14 {
				t.Errorf("no room for a link header in front of %d", out.Start)
			}
		})
	}
}
