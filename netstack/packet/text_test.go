package packet_test

import (
	"bytes"
	"strings"
	"testing"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

// Every line here is what String says of the packet that Build makes of it.
var canonical = []string{
	"tcp 10.1.0.9:4000 > 192.0.2.10:80 S",
	"tcp 10.1.0.9:4000 > 192.0.2.10:80 -",
	"tcp 10.1.0.9:4000 > 192.0.2.10:80 FSRPAUEC seq 4294967295 ack 4294967294 win 0 ttl 0 tos 0xff id 65535 df badsum len 3",
	"tcp [2001:db8::9]:4000 > [2001:db8::a]:80 SA seq 1 ack 2 win 512 ttl 255 tos 0x10 len 1440",
	"tcp [::ffff:10.0.0.1]:4000 > [2001:db8::a]:80 S",
	"tcp 10.1.0.9:4000 > 192.0.2.10:80 PA partial len 100",
	"tcp 10.1.0.9:4000 > 192.0.2.10:80 PA partial badsum len 100",
	"tcp 10.1.0.9:4000 > 192.0.2.10:80 PA gso 1448 len 60000",
	"tcp [2001:db8::9]:4000 > [2001:db8::a]:80 PA gso 1440 len 60000",
	"udp 10.1.0.9:4000 > 192.0.2.10:53",
	"udp 10.1.0.9:4000 > 192.0.2.10:53 nosum len 64",
	"udp 10.1.0.9:4000 > 192.0.2.10:53 gso 100 len 640",
	"udp 10.1.0.9:4000 > 192.0.2.10:53 options 94040000 len 64",
	"udp 10.1.0.9:4000 > 192.0.2.10:53 id 7 frag 0+ len 64",
	"udp 10.1.0.9 > 192.0.2.10 id 7 frag 64+ len 64",
	"tcp 10.1.0.9 > 192.0.2.10 id 7 frag 1480 len 3",
	"udp [2001:db8::9]:4000 > [2001:db8::a]:53 id 70000 frag 0+ len 64",
	"udp 2001:db8::9 > 2001:db8::a id 70000 frag 64 len 63",
	"icmp 10.1.0.9 > 192.0.2.10 echo id 7 seq 1",
	"icmp 10.1.0.9 > 192.0.2.10 echo-reply id 7 seq 1 ttl 3 ipid 9 len 56",
	"icmp 2001:db8::9 > 2001:db8::a echo id 7 seq 1 partial len 56",
	"icmp 10.1.0.9 > 192.0.2.10 type 13 code 0 id 7 seq 1 len 12",
	"icmp 10.1.0.9 > 192.0.2.10 type 77 code 3 rest 0xdeadbeef",
	"icmp 10.1.0.9 > 192.0.2.10 ipid 7 frag 64 len 3",
	"icmp 10.9.0.1 > 10.1.0.9 unreachable net (udp 10.1.0.9:4000 > 192.0.2.10:53 len 3)",
	"icmp 10.9.0.1 > 10.1.0.9 unreachable protocol (udp 10.1.0.9:4000 > 192.0.2.10:53)",
	"icmp 10.9.0.1 > 10.1.0.9 unreachable admin (udp 10.1.0.9:4000 > 192.0.2.10:53 ttl 1 badsum)",
	"icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 1400 (tcp 10.1.0.9:4000 > 192.0.2.10:80 A df len 1460)",
	"icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 1400 cut 28 (tcp 10.1.0.9:4000 > 192.0.2.10:80 seq 5 df len 1460)",
	"icmp 10.9.0.1 > 10.1.0.9 frag-needed mtu 1400 cut 48 (tcp 10.1.0.9:4000 > 192.0.2.10:80 A df len 1460)",
	"icmp 10.9.0.1 > 10.1.0.9 time-exceeded (icmp 10.1.0.9 > 192.0.2.10 echo id 7 seq 1 ttl 1)",
	"icmp 10.9.0.1 > 10.1.0.9 time-exceeded reassembly cut 28 (udp 10.1.0.9:4000 > 192.0.2.10:53 id 7 frag 0+ len 64)",
	"icmp 10.9.0.1 > 10.1.0.9 parameter-problem rest 0x14000000 (udp 10.1.0.9:4000 > 192.0.2.10:53)",
	"icmp 10.9.0.1 > 10.1.0.9 unreachable port",
	"icmp 10.9.0.1 > 10.1.0.9 unreachable port len 20",
	"icmp 10.9.0.1 > 10.1.0.9 redirect rest 0xa090002",
	"icmp 2001:db8::1 > 2001:db8::9 too-big mtu 1280 cut 48 (tcp [2001:db8::9]:4000 > [2001:db8::a]:80 len 1440)",
	"icmp 2001:db8::1 > 2001:db8::9 unreachable port (udp [2001:db8::9]:4000 > [2001:db8::a]:53)",
	"icmp fe80::1 > ff02::1:ff00:2 neighbour-solicit fe80::2 link aa:bb:cc:dd:ee:ff",
	"icmp fe80::1 > fe80::2 neighbour-advert fe80::1 router solicited override",
	"icmp fe80::1 > fe80::2 type 135 code 0 ttl 9 len 24",
	"ip 10.1.0.9 > 192.0.2.10 proto 47 ttl 3 len 24",
	"ip 10.1.0.9 > 192.0.2.10 proto 47 id 5 frag 8+ len 24",
	"ip 2001:db8::9 > 2001:db8::a proto 59",
	"udp 10.1.0.9:4000 > 192.0.2.10:53 mac 02:00:00:00:00:01>ff:ff:ff:ff:ff:ff",
	"udp [2001:db8::9]:4000 > [2001:db8::a]:53 len 3 mac 02:00:00:00:00:01>ff:ff:ff:ff:ff:ff vlan 0",
	"tcp 10.1.0.9:4000 > 192.0.2.10:80 A gso 1000 len 3000 mac 02:00:00:00:00:01>02:00:00:00:00:02 vlan 4095 vlan 7",
}

func TestTextRoundTrip(t *testing.T) {
	for _, text := range canonical {
		var p, again packet.Packet
		if err := packet.Build(&p, text); err != nil {
			t.Error(err)
			continue
		}
		if got := p.String(); got != text {
			t.Errorf("\n got %s\nfrom %s", got, text)
		}
		again.Load(p.Bytes())
		again.Offload = p.Offload
		again.Offload.CsumStart += uint16(again.Start - p.Start) // modulo 65,536
		if r := again.Parse(p.Link); r != packet.OK || again.String() != text {
			t.Errorf("%s\nparsed again: %s, %s", text, r, &again)
		}
		for _, sum := range packettest.Checksums(p.Bytes(), p.Link) {
			if wrong := sum.Error() != 0; wrong && !strings.Contains(text, "badsum") && !p.Offload.NeedsCsum {
				t.Errorf("%s: %v", text, sum)
			}
		}
	}
}

func TestTextShorthands(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"TCP opens", "tcp 10.1.0.9:4000 > 192.0.2.10:80", "tcp 10.1.0.9:4000 > 192.0.2.10:80 S"},
		{"ICMP is a ping", "icmp 10.1.0.9 > 192.0.2.10", "icmp 10.1.0.9 > 192.0.2.10 echo id 0 seq 0"},
		{"ICMPv6 has a name of its own", "icmp6 2001:db8::1 > 2001:db8::2", "icmp 2001:db8::1 > 2001:db8::2 echo id 0 seq 0"},
		{"an address may stand in brackets", "icmp [2001:db8::1] > [2001:db8::2]", "icmp 2001:db8::1 > 2001:db8::2 echo id 0 seq 0"},
		{"the order of words is free", "tcp 10.1.0.9:4000 > 192.0.2.10:80 len 5 ttl 9 A", "tcp 10.1.0.9:4000 > 192.0.2.10:80 A ttl 9 len 5"},
		{"so is the order of flags", "tcp 10.1.0.9:4000 > 192.0.2.10:80 AS", "tcp 10.1.0.9:4000 > 192.0.2.10:80 SA"},
		{"so are blanks", "  udp\t10.1.0.9:1  >  10.1.0.1:2 ", "udp 10.1.0.9:1 > 10.1.0.1:2"},
		{"defaults may be said", "udp 10.1.0.9:1 > 10.1.0.1:2 ttl 64 tos 0 len 0 id 0", "udp 10.1.0.9:1 > 10.1.0.1:2"},
		{"numbers may be hexadecimal", "udp 10.1.0.9:1 > 10.1.0.1:2 id 0x10", "udp 10.1.0.9:1 > 10.1.0.1:2 id 16"},
		{"the last word counts", "udp 10.1.0.9:1 > 10.1.0.1:2 ttl 3 ttl 4", "udp 10.1.0.9:1 > 10.1.0.1:2 ttl 4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			if err := packet.Build(&p, tt.text); err != nil {
				t.Fatal(err)
			}
			if got := p.String(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestTextErrors(t *testing.T) {
	const udp = "udp 10.1.0.9:1 > 10.1.0.1:2 "
	tests := []struct{ text, want string }{
		{"", `the end of the line is no protocol: say tcp, udp, icmp or ip`},
		{"sctp 10.1.0.9:1 > 10.1.0.1:2", `"sctp" is no protocol: say tcp, udp, icmp or ip`},
		{"tcp 10.1.0.9:http > 10.1.0.1:2", `"10.1.0.9:http" is no IP address with or without a port`},
		{"tcp 10.1.0.9:70000 > 10.1.0.1:2", `"10.1.0.9:70000" is no IP address with or without a port`},
		{"tcp 10.1.0.900:1 > 10.1.0.1:2", `"10.1.0.900:1" is no IP address with or without a port`},
		{"tcp [fe80::1%eth0]:1 > [fe80::2]:2", `"[fe80::1%eth0]:1" is no IP address with or without a port`},
		{"tcp 10.1.0.9:1", `the end of the line stands where ">" should, between source and destination`},
		{"tcp 10.1.0.9:1 -> 10.1.0.1:2", `"->" stands where ">" should, between source and destination`},
		{"tcp 10.1.0.9:1 >", `the end of the line is no IP address with or without a port`},
		{"tcp 10.1.0.9:1 > [2001:db8::1]:2", `10.1.0.9 and 2001:db8::1 are not of one IP version`},
		{"tcp 10.1.0.9 > 10.1.0.1", `tcp needs a port on both ends, as in 10.1.0.9:4000 or [2001:db8::1]:80`},
		{"udp 10.1.0.9:1 > 10.1.0.1", `udp needs a port on both ends, as in 10.1.0.9:4000 or [2001:db8::1]:80`},
		{"icmp 10.1.0.9:1 > 10.1.0.1", `"10.1.0.9:1" has a port, but icmp has none`},
		{"icmp6 10.1.0.9 > 10.1.0.1", `icmp6 needs IPv6 addresses, not 10.1.0.9`},
		{"ip 10.1.0.9 > 10.1.0.1", `ip needs proto and a number`},
		{"ip 10.1.0.9 > 10.1.0.1 proto 6", `proto: 6 has a name: say tcp, udp or icmp instead of ip`},
		{"ip 10.1.0.9 > 10.1.0.1 proto", `proto: the end of the line is no number from 0 to 255`},
		{udp + "S", `"S" is no word for udp over IPv4`},
		{udp + "tll 5", `"tll" is no word for udp over IPv4`},
		{udp + "ttl 256", `ttl: "256" is no number from 0 to 255`},
		{udp + "ttl five", `ttl: "five" is no number from 0 to 255`},
		{udp + "len -1", `len: "-1" is no number from 0 to 65535`},
		{udp + "len 65508", `len: 65516 bytes are more than one packet holds`},
		{udp + "id 65536", `id: "65536" is no number from 0 to 65535`},
		{udp + "frag 7", `frag: "7" is no multiple of 8 below 65536, with + if more follow`},
		{udp + "frag 8", `frag: a fragment that is not the first has no ports`},
		{udp + "frag 0+ len 7", `no such packet can be: bad-fragment`},
		{udp + "options 830704", `options: "830704" is not hexadecimal for 4, 8, ... 40 bytes`},
		{udp + "options 83030400", `no such packet can be: source-route`},
		{udp + "gso 0", `gso: a segment cannot have 0 bytes`},
		{udp + "mac 1:2", `mac: "1:2" is not of the form aa:aa:aa:aa:aa:aa>bb:bb:bb:bb:bb:bb`},
		{udp + "vlan 5", `vlan: at most two, and only with mac`},
		{udp + "vlan 4096", `vlan: "4096" is no number from 0 to 4095`},
		{"udp [2001:db8::1]:1 > [2001:db8::2]:2 df", `"df" is no word for udp over IPv6`},
		{"udp [2001:db8::1]:1 > [2001:db8::2]:2 id 5", `id: an IPv6 packet has one only as a fragment, with frag`},
		{"tcp 10.1.0.9:1 > 10.1.0.1:2 SYN", `"SYN" is no word for tcp over IPv4`},
		{"tcp 10.1.0.9:1 > 10.1.0.1:2 nosum", `"nosum" is no word for tcp over IPv4`},
		{"icmp 10.1.0.9 > 10.1.0.1 pong", `"pong" is no word for icmp over IPv4`},
		{"icmp 10.1.0.9 > 10.1.0.1 unreachable", `unreachable: the end of the line is none of net, host, protocol, port, admin`},
		{"icmp 10.1.0.9 > 10.1.0.1 unreachable prot", `unreachable: "prot" is none of net, host, protocol, port, admin`},
		{"icmp 10.1.0.9 > 10.1.0.1 too-big mtu 1280", `"too-big" does not exist over IPv4`},
		{"icmp 10.1.0.9 > 10.1.0.1 echo mtu 1280", `"mtu" is no word for icmp over IPv4`},
		{"icmp 10.1.0.9 > 10.1.0.1 echo (udp 10.1.0.1:1 > 10.1.0.9:2)", `"(": only ICMP errors quote a packet`},
		{"icmp 10.1.0.9 > 10.1.0.1 unreachable port (udp 10.1.0.1:1 > 10.1.0.9:2", `the end of the line stands where ")" should`},
		{"icmp 10.1.0.9 > 10.1.0.1 unreachable port (udp 10.1.0.1:1 > 10.1.0.9:two)", `in the quoted packet: "10.1.0.9:two" is no IP address with or without a port`},
		{"icmp 10.1.0.9 > 10.1.0.1 unreachable port (udp 10.1.0.1:1 > 10.1.0.9:2 partial)", `in the quoted packet: a quoted packet has no mac, vlan, partial or gso, and no quote of its own`},
		{"icmp 10.1.0.9 > 10.1.0.1 unreachable port cut 5", `cut: there is no quoted packet to cut`},
		{"icmp 10.1.0.9 > 10.1.0.1 unreachable port cut 29 (udp 10.1.0.1:1 > 10.1.0.9:2)", `cut: the quoted packet has only 28 bytes`},
		{"icmp 10.1.0.9 > 10.1.0.1 unreachable port len 5 (udp 10.1.0.1:1 > 10.1.0.9:2)", `len: this ICMP message has a length of its own`},
		{"icmp 10.1.0.9 > 10.1.0.1 unreachable port (udp 10.1.0.1:1 > 10.1.0.9:2) )", `")" is no word for icmp over IPv4`},
		{"icmp fe80::1 > fe80::2 neighbour-solicit 10.0.0.1", `"10.0.0.1" is no IPv6 address to ask for or tell of`},
		{"icmp fe80::1 > fe80::2 neighbour-solicit fe80::2 link 1:2", `MAC address "1:2": not six bytes with colons between`},
	}
	for _, tt := range tests {
		var p packet.Packet
		err := packet.Build(&p, tt.text)
		if err == nil {
			t.Errorf("%q was built: %s", tt.text, &p)
			continue
		}
		if got := strings.TrimPrefix(err.Error(), `packet "`+tt.text+`": `); got != tt.want {
			t.Errorf("%q\n got %s\nwant %s", tt.text, got, tt.want)
		}
	}
}

func TestTextOfForeignFrames(t *testing.T) {
	ethernet := bytesOf(t, udp4+mac)[:12]
	tests := []struct {
		name  string
		frame []byte
		link  packet.Link
		want  string
	}{
		{"another EtherType", append(bytes.Clone(ethernet), 0x88, 0xcc, 1, 2), packet.LinkEthernet, "ether 0x88cc len 2 mac 02:00:00:00:00:01>02:00:00:00:00:02"},
		{"a third tag", append(bytes.Clone(ethernet), 0x81, 0, 0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7, 8, 0), packet.LinkEthernet,
			"ether 0x8100 len 4 mac 02:00:00:00:00:01>02:00:00:00:00:02 vlan 5 vlan 6"},
		{"an ARP reply", append(bytes.Clone(ethernet), 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2), packet.LinkEthernet,
			"arp 10.0.0.1 is-at 02:00:00:00:00:01 mac 02:00:00:00:00:01>02:00:00:00:00:02"},
		{"nothing", nil, packet.LinkRaw, "ether 0x0 len 0"},
		{"half an Ethernet header", ethernet, packet.LinkEthernet, "ether 0x0 len 12"},
		{"an IPv4 header that is cut", bytesOf(t, udp4)[:19], packet.LinkRaw, "ether 0x800 len 19"},
		{"a packet whose header checksum is wrong", setBytes(10, 1, 2)(bytesOf(t, udp4)), packet.LinkRaw, "ip 10.1.0.9 > 192.0.2.10 proto 17 len 72"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			p.Load(tt.frame)
			p.Parse(tt.link)
			if got := p.String(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if got, want := p.Text(false), strings.Split(tt.want, " mac ")[0]; got != want {
				t.Errorf("without link: %s, want %s", got, want)
			}
		})
	}
}
