package tunnel_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"testing"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
	"weir/tunnel"
)

// Every format between every pair of IP versions is byte for byte what gopacket
// writes, with a partial checksum completed as a device would.
func TestPushAgainstGopacket(t *testing.T) {
	for _, c := range combinations() {
		t.Run(c.String(), func(t *testing.T) {
			e := newEncap(t, c.config())
			p := build(t, c.text())
			inner := bytes.Clone(p.Bytes())
			push(t, e, p)
			want := oracle{config: e.Config(), ttl: 64, df: c.inner == 6}.around(inner)
			if p.Version != c.outer || p.Link != packet.LinkRaw || len(want) != len(inner)+e.Overhead() {
				t.Errorf("%s is %d bytes longer, want %d", p, len(p.Bytes())-len(inner), e.Overhead())
			}
			p.Complete()
			if !bytes.Equal(p.Bytes(), want) {
				t.Errorf("got  %x\nwant %x", p.Bytes(), want)
			}
			for _, sum := range packettest.Checksums(p.Bytes(), packet.LinkRaw) {
				if sum.Error() != 0 {
					t.Errorf("%s is %#x, want %#x", sum.Name, sum.Have, sum.Want)
				}
			}
		})
	}
}

// What the outer header takes from the packet inside and from the configuration.
func TestOuterHeader(t *testing.T) {
	around4 := tunnel.Config{Src: dip4, Dst: rip4}
	around6 := tunnel.Config{Src: dip6, Dst: rip6}
	vxlan := tunnel.Config{Type: tunnel.VXLAN, Src: dip4, Dst: rip4, Port: 8472, VNI: 0xabcdef,
		InnerSrcMAC: packet.MAC{2, 1}, InnerDstMAC: packet.MAC{2, 2}}
	with := func(c tunnel.Config, change func(*tunnel.Config)) tunnel.Config {
		change(&c)
		return c
	}
	tests := []struct {
		name   string
		config tunnel.Config
		inner  string
		want   oracle
	}{
		{"the type of service is copied", around4, tcp4 + " tos 0xb8", oracle{tos: 0xb8}},
		{"ECT(0) is copied with it", around4, tcp4 + " tos 0xba", oracle{tos: 0xba}},
		{"ECT(1) is copied with it", around4, tcp4 + " tos 0x1", oracle{tos: 1}},
		{"congestion experienced is copied, not reset to ECT(0)", around4, tcp4 + " tos 0x3", oracle{tos: 3}},
		{"the type of service becomes a traffic class", around6, tcp4 + " tos 0xba", oracle{tos: 0xba}},
		{"the traffic class becomes a type of service", around4, tcp6 + " tos 0xba", oracle{tos: 0xba, df: true}},
		{"the traffic class is copied", around6, tcp6 + " tos 0xff", oracle{tos: 0xff}},
		{"DF inside sets DF outside, and the id is 0", around4, tcp4 + " df id 77", oracle{df: true}},
		{"without DF inside there is none outside", around4, tcp4 + " id 77", oracle{}},
		{"around IPv6 DF is set: its sender expects packet-too-big", around4, tcp6, oracle{df: true}},
		{"where fragments are allowed DF is never set", with(around4, func(c *tunnel.Config) { c.MayFragment = true }), tcp4 + " df", oracle{}},
		{"where fragments are allowed not around IPv6 either", with(around4, func(c *tunnel.Config) { c.MayFragment = true }), tcp6, oracle{}},
		{"the TTL inside has no share in the outer one", around4, tcp4 + " ttl 3", oracle{}},
		{"the outer TTL can be chosen", with(around4, func(c *tunnel.Config) { c.TTL = 200 }), tcp4, oracle{ttl: 200}},
		{"the outer hop limit can be chosen", with(around6, func(c *tunnel.Config) { c.TTL = 200 }), tcp6, oracle{ttl: 200}},
		{"port, VNI and inner MACs of vxlan can be chosen", vxlan, tcp4, oracle{}},
		{"the port of gue can be chosen", with(around6, func(c *tunnel.Config) { c.Type, c.Port = tunnel.GUE, 5555 }), tcp4, oracle{}},
		{"UDP over IPv6 can do without checksum", with(around6, func(c *tunnel.Config) { c.Type, c.ZeroChecksum6 = tunnel.VXLAN, true }), tcp4, oracle{}},
		{"the Ethernet header, its tag and padding do not go in", around4, tcp4 + " mac 02:00:00:00:00:01>02:00:00:00:00:02 vlan 5", oracle{}},
		{"a fragment goes in like any packet", around4, "udp 198.51.100.9 > 192.0.2.10 frag 1480+ len 80", oracle{}},
		{"a mapped IPv4 address is the IPv4 address", with(around4, func(c *tunnel.Config) { c.Dst = netip.AddrFrom16(rip4.As16()) }), tcp4, oracle{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEncap(t, tt.config)
			p := build(t, tt.inner)
			inner := bytes.Clone(p.Store[p.L3:p.L3End])
			if p.Link == packet.LinkEthernet { // what a short frame is filled up with
				p.End += copy(p.Store[p.End:], "padding")
				p.Parse(p.Link)
			}
			if tt.want.ttl == 0 {
				tt.want.ttl = tunnel.DefaultTTL
			}
			tt.want.config = e.Config()
			want := tt.want.around(inner)
			push(t, e, p)
			p.Complete()
			if !bytes.Equal(p.Bytes(), want) {
				t.Errorf("%v", packettest.Diff(want, p.Bytes(), packet.LinkRaw))
			}
		})
	}
}

// The hash of a flow becomes a port of the dynamic range and a flow label.
func TestFlowHash(t *testing.T) {
	tests := []struct {
		hash  uint32
		port  uint16
		label uint32
	}{
		{0, 49152, 0},
		{0xffffffff, 65535, 0xfffff},
		{0x00001fff, 49152 + 0x1fff, 1},
		{0x80004000, 49152, 0x80004},
	}
	e := newEncap(t, combination{tunnel.GUE, 6, 4}.config())
	for _, tt := range tests {
		p := build(t, tcp4)
		if r := e.Push(p, tt.hash); r != packet.OK {
			t.Fatal(r)
		}
		label := binary.BigEndian.Uint32(p.Store[p.L3:]) & 0xfffff
		if p.SrcPort != tt.port || label != tt.label {
			t.Errorf("%#x: port %d, label %#x; want %d, %#x", tt.hash, p.SrcPort, label, tt.port, tt.label)
		}
	}
}

// Outer packets that may be fragmented have identifications of their own, those
// of one super-packet a run of them.
func TestIdentifications(t *testing.T) {
	config := tunnel.Config{Type: tunnel.VXLAN, Src: dip4, Dst: rip4, KeepOffload: true}
	e := newEncap(t, config)
	for i, want := range []uint16{0, 1, 2, 7} {
		text := tcp4
		if want == 2 {
			text = "tcp 198.51.100.9:4000 > 192.0.2.10:80 A gso 1000 len 4500"
		}
		p := build(t, text)
		push(t, e, p)
		if p.IPID() != want || p.DF() {
			t.Errorf("packet %d: id %d, want %d", i, p.IPID(), want)
		}
	}
}

// The inner packet's partial checksum is completed before it disappears from
// the device's sight, and a wrong one is not made right.
func TestPushCompletes(t *testing.T) {
	for _, c := range combinations() {
		for _, word := range []string{"partial", "partial badsum"} {
			t.Run(c.String()+" "+word, func(t *testing.T) {
				e := newEncap(t, c.config())
				p := build(t, c.text()+" "+word)
				push(t, e, p)
				at := p.Start + e.Overhead()
				sums := packettest.Checksums(p.Store[at:p.End], packet.LinkRaw)
				last := sums[len(sums)-1]
				if (last.Error() == 0) != (word == "partial") || last.Name != "TCP.Checksum" {
					t.Errorf("%s is wrong by %#x", last.Name, last.Error())
				}
			})
		}
	}
}

// A kept Offload stays where it was, since the bytes it speaks of did not move.
func TestPushKeepsOffload(t *testing.T) {
	super := "tcp 198.51.100.9:4000 > 192.0.2.10:80 A gso 1000 len 4500"
	tests := []struct {
		name   string
		config tunnel.Config
		inner  string
		want   packet.Reason
	}{
		{"a partial checksum in vxlan", tunnel.Config{Type: tunnel.VXLAN, Src: dip4, Dst: rip4}, tcp4 + " partial", packet.OK},
		{"a partial checksum in ipip", tunnel.Config{Src: dip6, Dst: rip6}, tcp6 + " partial", packet.OK},
		{"a super-packet in vxlan", tunnel.Config{Type: tunnel.VXLAN, Src: dip4, Dst: rip4}, super, packet.OK},
		{"a super-packet in gue over IPv6", tunnel.Config{Type: tunnel.GUE, Src: dip6, Dst: rip6, ZeroChecksum6: true}, super, packet.OK},
		{"no word that the device vouches for a checksum that it cannot see", tunnel.Config{Src: dip4, Dst: rip4}, tcp4, packet.OK},
		{"no super-packet in ipip: no device can cut it", tunnel.Config{Src: dip4, Dst: rip4}, super, packet.Rewriting},
		{"no super-packet in gre", tunnel.Config{Type: tunnel.GRE, Src: dip4, Dst: rip4}, super, packet.Rewriting},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.KeepOffload = true
			e := newEncap(t, tt.config)
			p := build(t, tt.inner)
			offload, inner := p.Offload, bytes.Clone(p.Bytes())
			p.Offload.DataValid = tt.want == packet.OK
			if r := e.Push(p, hash); r != tt.want {
				t.Fatalf("%s, want %s", r, tt.want)
			}
			if p.Offload != offload {
				t.Errorf("Offload is %+v, was %+v", p.Offload, offload)
			}
			if !bytes.HasSuffix(p.Bytes(), inner) {
				t.Error("the packet inside has changed")
			}
		})
	}
}

// What Push refuses it leaves as it was.
func TestPushRefuses(t *testing.T) {
	ipip := tunnel.Config{Src: dip4, Dst: rip4}
	tests := []struct {
		name   string
		config tunnel.Config
		inner  func(t *testing.T) *packet.Packet
		want   packet.Reason
	}{
		{"a frame that is no IP", ipip, func(t *testing.T) *packet.Packet {
			p := new(packet.Packet)
			p.Load(append(make([]byte, 12), 0x88, 0xcc, 1, 2, 3))
			p.Parse(packet.LinkEthernet)
			return p
		}, packet.Rewriting},
		{"a packet without headroom", ipip, func(t *testing.T) *packet.Packet {
			p := &packet.Packet{Store: bytes.Clone(build(t, tcp4).Bytes())}
			p.End = len(p.Store)
			p.Parse(packet.LinkRaw)
			return p
		}, packet.Rewriting},
		{"a super-packet", ipip, func(t *testing.T) *packet.Packet {
			return build(t, "tcp 198.51.100.9:4000 > 192.0.2.10:80 A gso 1000 len 4500")
		}, packet.Rewriting},
		{"a packet that with its new header is longer than IPv4 can say", ipip, func(t *testing.T) *packet.Packet {
			return build(t, "udp 198.51.100.9:4000 > 192.0.2.10:80 partial len 65488")
		}, packet.TooBig},
		{"a packet that with its new headers is longer than IPv6 can say",
			tunnel.Config{Type: tunnel.VXLAN, Src: dip6, Dst: rip6}, func(t *testing.T) *packet.Packet {
				return build(t, "udp 198.51.100.9:4000 > 192.0.2.10:80 len 65478")
			}, packet.TooBig},
		{"a packet that the IPv4 end of the tunnel sends to itself", ipip, func(t *testing.T) *packet.Packet {
			return build(t, "tcp 10.2.0.2:4000 > 192.0.2.10:80 S")
		}, packet.TunnelLoop},
		{"a packet that the IPv6 end of the tunnel sends to itself", tunnel.Config{Src: dip6, Dst: rip6}, func(t *testing.T) *packet.Packet {
			return build(t, "tcp [2001:db8:2::2]:4000 > [2001:db8:f::10]:80 S")
		}, packet.TunnelLoop},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEncap(t, tt.config)
			p := tt.inner(t)
			was, store := *p, bytes.Clone(p.Store)
			if r := e.Push(p, hash); r != tt.want {
				t.Errorf("%s, want %s", r, tt.want)
			}
			if p.String() != was.String() || p.Offload != was.Offload || !bytes.Equal(p.Store, store) {
				t.Errorf("%s was %s", p, &was)
			}
		})
	}
}

// The largest packets that still go in do so.
func TestPushLargest(t *testing.T) {
	for _, c := range combinations() {
		if c.inner == 6 {
			continue // a packet is as long inside either
		}
		e := newEncap(t, c.config())
		n := 0xffff - e.Overhead() - 28
		if c.outer == 6 {
			n += 40 // which the outer payload length does not count
		}
		n = min(n, 0xffff-28) // and IPv4 cannot say more
		p := build(t, "udp 198.51.100.9:4000 > 192.0.2.10:80 len "+strconv.Itoa(n))
		push(t, e, p)
		if want := 28 + n + e.Overhead(); p.IPLen() != want {
			t.Errorf("%s: %d bytes outside, want %d", c, p.IPLen(), want)
		}
	}
}

// A super-packet goes in as its segments, each of them complete.
func TestPushSegments(t *testing.T) {
	for _, c := range combinations() {
		t.Run(c.String(), func(t *testing.T) {
			e, d := newEncap(t, c.config()), anyDecap(t)
			src, dst := "198.51.100.9:4000", "192.0.2.10:80"
			if c.inner == 6 {
				src, dst = "[2001:db8:9::9]:4000", "[2001:db8:f::10]:80"
			}
			p := build(t, "tcp "+src+" > "+dst+" PA gso 1000 len 3500")
			var whole packet.Packet
			whole.Load(p.Bytes())
			whole.Parse(packet.LinkRaw)
			var scratch packet.Packet
			var payload []byte
			lengths := ""
			r := e.PushSegments(p, &scratch, hash, func(s *packet.Packet) {
				s.Complete()
				s = raw(t, s.Bytes())
				if r := d.Pop(s); r != packet.OK {
					t.Fatalf("Pop(%s): %s", s, r)
				}
				for _, sum := range packettest.Checksums(s.Bytes(), packet.LinkRaw) {
					if sum.Error() != 0 {
						t.Errorf("%s is %#x, want %#x", sum.Name, sum.Have, sum.Want)
					}
				}
				lengths += " " + strconv.Itoa(len(s.PayloadBytes()))
				payload = append(payload, s.PayloadBytes()...)
			})
			if r != packet.OK || lengths != " 1000 1000 1000 500" || !bytes.Equal(payload, whole.PayloadBytes()) {
				t.Errorf("%s, segments of%s bytes", r, lengths)
			}
		})
	}
}

// A packet that is none goes in as it is; one that cannot go in is refused
// whatever it is cut into.
func TestPushSegmentsOfOne(t *testing.T) {
	tests := []struct {
		name    string
		config  tunnel.Config
		inner   string
		emitted int
		want    packet.Reason
	}{
		{"a packet that is no super-packet", tunnel.Config{Src: dip4, Dst: rip4}, tcp4, 1, packet.OK},
		{"a super-packet that the device can cut", tunnel.Config{Type: tunnel.GUE, Src: dip4, Dst: rip4, KeepOffload: true},
			"tcp 198.51.100.9:4000 > 192.0.2.10:80 A gso 1000 len 3500", 1, packet.OK},
		{"a super-packet that is too long for that", tunnel.Config{Type: tunnel.GUE, Src: dip4, Dst: rip4, KeepOffload: true},
			"tcp 198.51.100.9:4000 > 192.0.2.10:80 A gso 1000 len 65490", 66, packet.OK},
		{"a super-packet whose segments are too long, all but the last", tunnel.Config{Src: dip4, Dst: rip4},
			"tcp 198.51.100.9:4000 > 192.0.2.10:80 A gso 65490 len 65495", 0, packet.TooBig},
		{"a super-packet from the far end", tunnel.Config{Src: dip4, Dst: rip4},
			"tcp 10.2.0.2:4000 > 192.0.2.10:80 A gso 1000 len 3500", 0, packet.TunnelLoop},
		{"a packet from the far end", tunnel.Config{Src: dip4, Dst: rip4},
			"tcp 10.2.0.2:4000 > 192.0.2.10:80 A", 0, packet.TunnelLoop},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var scratch packet.Packet
			n := 0
			r := newEncap(t, tt.config).PushSegments(build(t, tt.inner), &scratch, hash, func(*packet.Packet) { n++ })
			if r != tt.want || n != tt.emitted {
				t.Errorf("%s and %d packets, want %s and %d", r, n, tt.want, tt.emitted)
			}
		})
	}
}
