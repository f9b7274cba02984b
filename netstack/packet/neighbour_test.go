package packet_test

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

var (
	ours   = packet.MAC{2, 0, 0, 0, 0, 1}
	theirs = packet.MAC{2, 0, 0, 0, 0, 2}
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestARP(t *testing.T) {
	a := packet.ARP{Op: packet.ARPRequest, SenderMAC: ours, Sender: addr("10.0.0.1"), Target: addr("10.0.0.2")}
	var p packet.Packet
	if !packet.BuildARP(&p, &a, packet.Broadcast) {
		t.Fatal("refused")
	}
	if got, want := p.String(), "arp who-has 10.0.0.2 tell 10.0.0.1 mac 02:00:00:00:00:01>ff:ff:ff:ff:ff:ff"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	arp, ok := gopacket.NewPacket(p.Bytes(), layers.LayerTypeEthernet, gopacket.Default).Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok || arp.AddrType != layers.LinkTypeEthernet || arp.Protocol != layers.EthernetTypeIPv4 || arp.HwAddressSize != 6 ||
		arp.ProtAddressSize != 4 || arp.Operation != layers.ARPRequest || netip.AddrFrom4([4]byte(arp.DstProtAddress)) != a.Target {
		t.Errorf("gopacket reads %+v", arp)
	}
	if got, ok := p.ARP(); !ok || got != a {
		t.Errorf("read back: %+v, %v", got, ok)
	}
	a.Target = addr("2001:db8::1")
	if packet.BuildARP(&p, &a, packet.Broadcast) {
		t.Error("ARP for IPv6 was built")
	}
}

func TestARPRefused(t *testing.T) {
	tests := []struct {
		name string
		edit func([]byte) []byte
	}{
		{"cut short", cutTo(41)},
		{"another EtherType", setBytes(12, 0x08, 0x00)},
		{"not Ethernet", setBytes(14, 0, 6)},
		{"not for IPv4", setBytes(16, 0x86, 0xdd)},
		{"MACs of 8 bytes", setBytes(18, 8)},
		{"neither request nor reply", setBytes(20, 0, 3)},
		{"from no station", setBytes(22, 0, 0, 0, 0, 0, 0)},
		{"from a group of stations", setBytes(22, 1, 0, 0x5e)},
		{"from an IP group", setBytes(28, 224)},
		{"from everybody", setBytes(28, 255, 255, 255, 255)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			packet.BuildARP(&p, &packet.ARP{Op: packet.ARPReply, SenderMAC: ours, TargetMAC: theirs, Sender: addr("10.0.0.1"), Target: addr("10.0.0.2")}, theirs)
			p.Load(tt.edit(append([]byte(nil), p.Bytes()...)))
			p.Parse(packet.LinkEthernet)
			if a, ok := p.ARP(); ok {
				t.Errorf("taken: %+v", a)
			}
		})
	}
}

func TestNDP(t *testing.T) {
	target := addr("2001:db8::1:2")
	tests := []struct {
		name  string
		build func(p *packet.Packet) bool
		want  string
	}{
		{"a solicitation goes to the target's group", func(p *packet.Packet) bool {
			return packet.BuildNS(p, ours, addr("fe80::1"), target)
		}, "icmp fe80::1 > ff02::1:ff01:2 neighbour-solicit 2001:db8::1:2 link 02:00:00:00:00:01 mac 02:00:00:00:00:01>33:33:ff:01:00:02"},
		{"duplicate address detection tells no MAC", func(p *packet.Packet) bool {
			return packet.BuildNS(p, ours, addr("::"), target)
		}, "icmp :: > ff02::1:ff01:2 neighbour-solicit 2001:db8::1:2 mac 02:00:00:00:00:01>33:33:ff:01:00:02"},
		{"an answer", func(p *packet.Packet) bool {
			n := packet.NDP{Solicited: true, Override: true, Target: target, Link: ours}
			return packet.BuildNA(p, &n, theirs, target, addr("fe80::2"))
		}, "icmp 2001:db8::1:2 > fe80::2 neighbour-advert 2001:db8::1:2 solicited override link 02:00:00:00:00:01 mac 02:00:00:00:00:01>02:00:00:00:00:02"},
		{"an unsolicited one, from a router", func(p *packet.Packet) bool {
			n := packet.NDP{Router: true, Override: true, Target: target, Link: ours}
			all := addr("ff02::1")
			return packet.BuildNA(p, &n, packet.GroupMAC(all), target, all)
		}, "icmp 2001:db8::1:2 > ff02::1 neighbour-advert 2001:db8::1:2 router override link 02:00:00:00:00:01 mac 02:00:00:00:00:01>33:33:00:00:00:01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			if !tt.build(&p) {
				t.Fatal("refused")
			}
			if got := p.String(); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
			if sums := packettest.Checksums(p.Bytes(), packet.LinkEthernet); len(sums) != 1 || sums[0].Error() != 0 {
				t.Errorf("checksums %v", sums)
			}
			n, ok := p.NDP()
			if !ok || n.Target != target {
				t.Errorf("read back: %+v, %v", n, ok)
			}
			decoded := gopacket.NewPacket(p.Bytes(), layers.LayerTypeEthernet, gopacket.Default)
			if decoded.ErrorLayer() != nil {
				t.Errorf("gopacket: %v", decoded.ErrorLayer().Error())
			}
		})
	}
	var p packet.Packet
	if packet.BuildNS(&p, ours, addr("10.0.0.1"), target) || packet.BuildNS(&p, ours, addr("fe80::1"), addr("::ffff:10.0.0.1")) {
		t.Error("a solicitation with IPv4 addresses was built")
	}
}

func TestNDPRefused(t *testing.T) {
	const from = "icmp fe80::1 > fe80::2 "
	tests := []struct {
		name string
		text string
	}{
		{"from beyond a router", from + "neighbour-solicit 2001:db8::1 ttl 254"},
		{"with a wrong checksum", from + "neighbour-solicit 2001:db8::1 badsum"},
		{"with a code", from + "type 135 code 1 rest 0 ttl 255 len 24"},
		{"too short for a target", from + "type 135 code 0 ttl 255 len 15"},
		{"for a group", from + "neighbour-solicit ff02::1"},
		{"solicited, but to everybody", "icmp fe80::1 > ff02::1 neighbour-advert 2001:db8::1 solicited"},
		{"from :: to a host", "icmp :: > fe80::2 neighbour-solicit 2001:db8::1"},
		{"from :: with a MAC", "icmp :: > ff02::1:ff00:1 neighbour-solicit 2001:db8::1 link 02:00:00:00:00:01"},
		{"in a fragment", from + "type 135 code 0 ttl 255 frag 0+ len 24"},
		{"an advertisement of a router", from + "type 134 code 0 ttl 255 len 24"},
		{"a ping", from + "echo id 1 seq 1 ttl 255 len 24"},
		// The target is 8, 9, ...; the option that follows begins with 16, 17.
		{"with an option longer than the message", from + "type 135 code 0 ttl 255 len 24"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, bytesOf(t, tt.text), packet.LinkRaw)
			if n, ok := p.NDP(); ok {
				t.Errorf("taken: %+v", n)
			}
		})
	}
}
