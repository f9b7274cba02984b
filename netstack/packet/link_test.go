package packet_test

import (
	"bytes"
	"strings"
	"testing"

	"weir/netstack/packet"
)

func TestSetHop(t *testing.T) {
	src, dst := packet.MAC{2, 0, 0, 0, 0, 0xa}, packet.MAC{2, 0, 0, 0, 0, 0xb}
	ethernet := packet.Hop{Link: packet.LinkEthernet, Src: src, Dst: dst}
	raw := packet.Hop{Link: packet.LinkRaw}
	const out = " mac 02:00:00:00:00:0a>02:00:00:00:00:0b"
	tests := []struct {
		name string
		text string
		hop  packet.Hop
		want string
	}{
		{"Ethernet to Ethernet changes the MACs", udp4 + mac, ethernet, udp4 + out},
		{"and keeps a tag", udp4 + mac + " vlan 5", ethernet, udp4 + out + " vlan 5"},
		{"and two", udp6 + mac + " vlan 5 vlan 6", ethernet, udp6 + out + " vlan 5 vlan 6"},
		{"raw to raw changes nothing", udp4, raw, udp4},
		{"raw to Ethernet gains a header", udp4, ethernet, udp4 + out},
		{"raw IPv6 to Ethernet as well", udp6, ethernet, udp6 + out},
		{"Ethernet to raw loses the header", udp6 + mac, raw, udp6},
		{"and the tags with it", udp4 + mac + " vlan 5 vlan 6", raw, udp4},
		{"a super-packet to Ethernet keeps its offload", "tcp 10.1.0.9:1 > 10.1.0.1:2 A gso 1000 len 3000", ethernet,
			"tcp 10.1.0.9:1 > 10.1.0.1:2 A gso 1000 len 3000" + out},
		{"a super-packet to raw keeps its offload", "tcp 10.1.0.9:1 > 10.1.0.1:2 A gso 1000 len 3000" + mac, raw,
			"tcp 10.1.0.9:1 > 10.1.0.1:2 A gso 1000 len 3000"},
	}
	for _, headroom := range []int{packet.Headroom, 14, 3, 0} {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				var whole packet.Packet
				if err := packet.Build(&whole, tt.text); err != nil {
					t.Fatal(err)
				}
				// The same frame with little or no room in front, and padding behind.
				frame := append(bytes.Clone(whole.Bytes()), 0xee, 0xee)
				moved := headroom - whole.Start
				p := packet.Packet{Store: append(make([]byte, headroom), frame...), Start: headroom, Offload: whole.Offload}
				p.End = len(p.Store)
				if p.Offload.NeedsCsum {
					p.Offload.CsumStart = uint16(int(p.Offload.CsumStart) + moved)
				}
				if r := p.Parse(whole.Link); r != packet.OK {
					t.Fatal(r)
				}
				p.SetHop(&tt.hop)
				if got := p.String(); got != tt.want {
					t.Errorf("headroom %d\n got %s\nwant %s", headroom, got, tt.want)
				}
				if p.Link != tt.hop.Link || p.End != p.L3End {
					t.Errorf("link %d, %d bytes of padding", p.Link, p.End-p.L3End)
				}
				// What Parse finds in the bytes is what the offsets say.
				again := p
				if r := again.Parse(p.Link); r != packet.OK || again.String() != tt.want {
					t.Errorf("headroom %d: parsed again: %s, %s", headroom, r, &again)
				}
			})
		}
	}
}

// A frame that is no IP changes its MACs, and cannot go where there are none.
func TestSetHopWithoutIP(t *testing.T) {
	frame := append(bytes.Clone(bytesOf(t, udp4+mac)[:12]), 0x88, 0xcc, 1, 2, 3)
	p := parsed(t, frame, packet.LinkEthernet)
	p.SetHop(&packet.Hop{Link: packet.LinkRaw})
	if got, want := p.String(), "ether 0x88cc len 3 mac 00:00:00:00:00:00>00:00:00:00:00:00"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	p.SetMACs(packet.MAC{2, 5}, packet.Broadcast)
	if got := p.String(); !strings.HasSuffix(got, "mac 02:05:00:00:00:00>ff:ff:ff:ff:ff:ff") {
		t.Error(got)
	}
}

func TestMartian(t *testing.T) {
	tests := []struct {
		name string
		text string
		want packet.Reason
	}{
		{"a packet between hosts", udp4, packet.OK},
		{"to a group", "udp 10.1.0.9:1 > 224.0.0.251:2", packet.OK},
		{"to everybody", "udp 10.1.0.9:1 > 255.255.255.255:2", packet.OK},
		{"from nobody to everybody, as DHCP begins", "udp 0.0.0.0:68 > 255.255.255.255:67", packet.OK},
		{"from nobody to a host", "udp 0.0.0.0:68 > 10.1.0.1:67", packet.Martian},
		{"from the network that is this one", "udp 0.1.2.3:1 > 10.1.0.1:2", packet.Martian},
		{"from loopback", "udp 127.0.0.1:1 > 10.1.0.1:2", packet.Martian},
		{"from a group", "udp 224.0.0.1:1 > 10.1.0.1:2", packet.Martian},
		{"from everybody", "udp 255.255.255.255:1 > 10.1.0.1:2", packet.Martian},
		{"from the reserved class E", "udp 240.0.0.1:1 > 10.1.0.1:2", packet.Martian},
		{"to the reserved class E", "udp 10.1.0.9:1 > 255.255.255.254:2", packet.Martian},
		{"to loopback", "udp 10.1.0.9:1 > 127.1.2.3:2", packet.Martian},
		{"to nobody", "udp 10.1.0.9:1 > 0.0.0.0:2", packet.Martian},
		{"to itself", "tcp 10.1.0.9:80 > 10.1.0.9:80", packet.Land},
		{"to itself, between other ports", "tcp 10.1.0.9:81 > 10.1.0.9:80", packet.Land},

		{"between IPv6 hosts", udp6, packet.OK},
		{"from a link-local address", "udp [fe80::1]:1 > [fe80::2]:2", packet.OK},
		{"to an IPv6 group", "udp [2001:db8::1]:1 > [ff02::1]:2", packet.OK},
		{"from :: to a group, as duplicate address detection does", "icmp :: > ff02::1:ff00:1", packet.OK},
		{"from :: to a host", "udp [::]:1 > [2001:db8::1]:2", packet.Martian},
		{"from ::1", "udp [::1]:1 > [2001:db8::1]:2", packet.Martian},
		{"to ::1", "udp [2001:db8::1]:1 > [::1]:2", packet.Martian},
		{"to ::", "udp [2001:db8::1]:1 > [::]:2", packet.Martian},
		{"from an IPv6 group", "udp [ff02::1]:1 > [2001:db8::1]:2", packet.Martian},
		{"to a group that stays in its interface", "udp [2001:db8::1]:1 > [ff01::1]:2", packet.Martian},
		{"from a mapped IPv4 address", "udp [::ffff:10.1.0.9]:1 > [2001:db8::1]:2", packet.Martian},
		{"to a mapped IPv4 address", "udp [2001:db8::1]:1 > [::ffff:10.1.0.9]:2", packet.Martian},
		{"from a compatible IPv4 address", "udp [::10.1.0.9]:1 > [2001:db8::1]:2", packet.Martian},
		{"to itself over IPv6", "tcp [2001:db8::1]:80 > [2001:db8::1]:80", packet.Land},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := parsed(t, bytesOf(t, tt.text), packet.LinkRaw).Martian(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
