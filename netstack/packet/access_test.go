package packet_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

// said is what the accessors of p say, by gopacket's names for the fields.
func said(p *packet.Packet) map[string]string {
	m := map[string]string{}
	set := func(name string, v any) { m[name] = fmt.Sprint(v) }
	if p.Link == packet.LinkEthernet {
		set("Ethernet.SrcMAC", p.SrcMAC())
		set("Ethernet.DstMAC", p.DstMAC())
	}
	if p.VLAN {
		set("Dot1Q.VLANIdentifier", p.VLANID())
	}
	ip := ipName(p)
	set(ip+".SrcIP", p.Src())
	set(ip+".DstIP", p.Dst())
	if p.Version == 4 {
		set("IPv4.TTL", p.TTL())
		set("IPv4.TOS", p.TOS())
		set("IPv4.Id", p.IPID())
		set("IPv4.Length", p.IPLen())
		set("IPv4.FragOffset", p.FragOffset/8)
		set("IPv4.Flags", layers.IPv4Flag(flag(p.DF(), 2)|flag(p.MoreFrags, 1)))
	} else {
		set("IPv6.HopLimit", p.TTL())
		set("IPv6.TrafficClass", p.TOS())
		set("IPv6.Length", p.IPLen()-40)
		if p.Frag {
			set("IPv6Fragment.FragmentOffset", p.FragOffset/8)
			set("IPv6Fragment.MoreFragments", p.MoreFrags)
			set("IPv6Fragment.Identification", p.FragID)
		}
	}
	saidL4(p, set)
	return m
}

func saidL4(p *packet.Packet, set func(string, any)) {
	switch {
	case !p.HasL4:
	case p.Proto == packet.TCP:
		set("TCP.SrcPort", layers.TCPPort(p.SrcPort))
		set("TCP.DstPort", layers.TCPPort(p.DstPort))
		set("TCP.Seq", p.Seq())
		set("TCP.Ack", p.Ack())
		set("TCP.Window", p.Window())
		for name, bit := range map[string]uint8{"FIN": packet.FIN, "SYN": packet.SYN, "PSH": packet.PSH, "ACK": packet.ACK, "CWR": packet.CWR} {
			set("TCP."+name, p.Flags&bit != 0)
		}
		set("payload", hex.EncodeToString(p.PayloadBytes()))
	case p.Proto == packet.UDP:
		set("UDP.SrcPort", layers.UDPPort(p.SrcPort))
		set("UDP.DstPort", layers.UDPPort(p.DstPort))
	case p.Version == 4:
		set("ICMPv4.TypeCode", layers.CreateICMPv4TypeCode(p.ICMPType(), p.ICMPCode()))
		set("ICMPv4.Id", p.ICMPRest()>>16)
		set("ICMPv4.Seq", p.ICMPRest()&0xffff)
	default:
		set("ICMPv6.TypeCode", layers.CreateICMPv6TypeCode(p.ICMPType(), p.ICMPCode()))
		set("ICMPv6.Id", fmt.Sprintf("%04x", p.ICMPRest()>>16))
	}
}

func flag(on bool, bit uint8) uint8 {
	if on {
		return bit
	}
	return 0
}

// Every accessor says of a random packet what gopacket says of it.
func TestAccessorsAgainstGopacket(t *testing.T) {
	for seed := range 3000 {
		s := packettest.Random(rand.New(rand.NewPCG(uint64(seed), 3)))
		p := parsed(t, s.Frame, s.Link)
		fields := map[string]string{}
		for _, f := range packettest.Fields(s.Frame, s.Link) {
			fields[f.Name] = f.Value
		}
		for name, value := range said(p) {
			if fields[name] != value {
				t.Fatalf("seed %d (%s): %s is %s, want %s\n%x", seed, s.What, name, value, fields[name], s.Frame)
			}
		}
	}
}

// A key and its reverse are those of the two directions of a flow.
func TestKey(t *testing.T) {
	tests := []struct{ name, there, back string }{
		{"TCP", "tcp 10.1.0.9:4000 > 192.0.2.10:80 S", "tcp 192.0.2.10:80 > 10.1.0.9:4000 SA"},
		{"UDP over IPv6", "udp [2001:db8::1]:4000 > [2001:db8::2]:53", "udp [2001:db8::2]:53 > [2001:db8::1]:4000"},
		{"a ping", "icmp 10.1.0.9 > 192.0.2.10 echo id 7 seq 1", "icmp 192.0.2.10 > 10.1.0.9 echo-reply id 7 seq 2"},
		{"a ping over IPv6", "icmp 2001:db8::1 > 2001:db8::2 echo id 7 seq 1", "icmp 2001:db8::2 > 2001:db8::1 echo-reply id 7 seq 2"},
	}
	seen := map[packet.FlowKey]string{}
	for _, tt := range tests {
		var there, back packet.FlowKey
		parsed(t, bytesOf(t, tt.there), packet.LinkRaw).Key(&there)
		parsed(t, bytesOf(t, tt.back), packet.LinkRaw).Key(&back)
		if there != back.Reverse() || there == back {
			t.Errorf("%s: %+v there, %+v back", tt.name, there, back)
		}
		if other, taken := seen[there]; taken {
			t.Errorf("%s has the key of %s", tt.name, other)
		}
		seen[there] = tt.name
	}
	var k packet.FlowKey
	k.SrcPort = 5
	new(packet.Packet).Key(&k)
	if k != (packet.FlowKey{}) {
		t.Errorf("a packet that is none has the key %+v", k)
	}
}

// A rewrite and its reverse leave every byte as it was.
func TestDeltaReverse(t *testing.T) {
	for seed := range 3000 {
		rng := rand.New(rand.NewPCG(uint64(seed), 4))
		s := packettest.Random(rng)
		p := parsed(t, s.Frame, s.Link)
		from, port := p.DstAddr(), p.DstPort
		to, toPort := packet.AddrFrom(randomAddr(rng, p.Version)), uint16(rng.Uint32())
		d := packet.DeltaOf(&from, &to, port, toPort)
		p.RewriteDst(&to, toPort, d)
		p.RewriteDst(&from, port, d.Reverse())
		for _, c := range packettest.Diff(s.Frame, p.Bytes(), s.Link) {
			// 0 and ffff are one number, and a wrong checksum may be either.
			if same := c.Before == "0" && c.After == "65535" || c.Before == "65535" && c.After == "0"; !same {
				t.Fatalf("seed %d (%s): %v", seed, s.What, c)
			}
		}
	}
}

// The zero delta changes nothing, not even a checksum field that no sender
// would have written.
func TestDeltaOfNothing(t *testing.T) {
	p := parsed(t, bytesOf(t, tcp4), packet.LinkRaw)
	for _, field := range [][]byte{{0, 0}, {0xff, 0xff}, {0x12, 0x34}} {
		copy(p.Store[p.L4+16:], field)
		a := p.DstAddr()
		p.RewriteDst(&a, p.DstPort, packet.DeltaOf(&a, &a, p.DstPort, p.DstPort))
		if got := p.Store[p.L4+16 : p.L4+18]; string(got) != string(field) {
			t.Errorf("%x became %x", field, got)
		}
	}
}
