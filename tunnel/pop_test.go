package tunnel_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
	"weir/tunnel"
)

// What went in comes out, whatever it was and whatever it went through.
func TestPopOfPush(t *testing.T) {
	for _, c := range combinations() {
		t.Run(c.String(), func(t *testing.T) {
			e := newEncap(t, c.config())
			for seed, done := uint64(0), 0; done < 150; seed++ {
				s := packettest.Random(rand.New(rand.NewPCG(seed, uint64(c.outer))))
				var p packet.Packet
				s.Load(&p)
				if p.Parse(s.Link); p.Version != c.inner || p.Martian() != packet.OK || p.Dst().IsMulticast() || p.Proto == packet.GRE {
					continue
				}
				done++
				inner := bytes.Clone(p.Store[p.L3:p.L3End])
				d := newDecap(t, tunnel.DecapConfig{VIPs: []netip.Addr{p.Dst()}})
				push(t, e, &p)
				p.Complete()
				out := raw(t, p.Bytes())
				if r := d.Pop(out); r != packet.OK {
					t.Fatalf("seed %d (%s): Pop(%s): %s", seed, s.What, &p, r)
				}
				if !bytes.Equal(out.Bytes(), inner) {
					t.Fatalf("seed %d (%s): %v", seed, s.What, packettest.Diff(inner, out.Bytes(), packet.LinkRaw))
				}
				if again := raw(t, out.Bytes()); again.String() != out.String() || out.Link != packet.LinkRaw {
					t.Fatalf("seed %d: %s says it is %s", seed, again, out)
				}
			}
		})
	}
}

// RFC 6040 4.2, figure 4, row by row.
func TestECNOnTheWayOut(t *testing.T) {
	const notECT, ect1, ect0, ce = 0, 1, 2, 3
	const dropped = 255
	tests := []struct {
		name         string
		inner, outer uint8
		want         uint8
	}{
		{"not ECT stays so", notECT, notECT, notECT},
		{"not ECT inside an outer ECT(0) stays so", notECT, ect0, notECT},
		{"not ECT inside an outer ECT(1) stays so", notECT, ect1, notECT},
		{"not ECT with congestion outside is dropped: that is how its sender is told", notECT, ce, dropped},
		{"ECT(0) stays where the path has cleared the outer field", ect0, notECT, ect0},
		{"ECT(0) stays", ect0, ect0, ect0},
		{"ECT(0) becomes the ECT(1) of the path", ect0, ect1, ect1},
		{"ECT(0) learns of congestion", ect0, ce, ce},
		{"ECT(1) stays where the path has cleared the outer field", ect1, notECT, ect1},
		{"ECT(1) stays whatever ECT is outside", ect1, ect0, ect1},
		{"ECT(1) stays", ect1, ect1, ect1},
		{"ECT(1) learns of congestion", ect1, ce, ce},
		{"congestion inside stays where the path has cleared the outer field", ce, notECT, ce},
		{"congestion inside stays under ECT(0)", ce, ect0, ce},
		{"congestion inside stays under ECT(1)", ce, ect1, ce},
		{"congestion inside stays", ce, ce, ce},
	}
	d := anyDecap(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range combinations() {
				const dscp = 0xb8
				p := build(t, c.text())
				p.SetTOS(dscp | tt.inner)
				before := bytes.Clone(p.Bytes())
				push(t, newEncap(t, c.config()), p)
				p.SetTOS(0x20 | tt.outer) // a path may write its own DSCP as well
				want := packet.OK
				if tt.want == dropped {
					want = packet.TunnelECN
				}
				if r := d.Pop(p); r != want {
					t.Fatalf("%s: %s, want %s", c, r, want)
				}
				if tt.want == dropped {
					continue
				}
				if p.TOS() != dscp|tt.want {
					t.Errorf("%s: %#x, want %#x", c, p.TOS(), dscp|tt.want)
				}
				p.SetTOS(dscp | tt.inner)
				if !bytes.Equal(p.Bytes(), before) {
					t.Errorf("%s: more has changed: %v", c, packettest.Diff(before, p.Bytes(), packet.LinkRaw))
				}
			}
		})
	}
}

// ipip4 is gopacket's packet of proto around inner, from the director.
func ipip4(proto layers.IPProtocol, inner []byte) []byte {
	return serialize(&layers.IPv4{Version: 4, TTL: 64, Protocol: proto,
		SrcIP: dip4.AsSlice(), DstIP: rip4.AsSlice()}, inner)
}

// inUDP4 is gopacket's UDP datagram from the director to a port.
func inUDP4(port uint16, payload []byte) []byte {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: dip4.AsSlice(), DstIP: rip4.AsSlice()}
	udp := &layers.UDP{SrcPort: 50000, DstPort: layers.UDPPort(port)}
	udp.SetNetworkLayerForChecksum(ip)
	return serialize(ip, serialize(udp, payload))
}

// vxlanAround puts inner into Ethernet and VXLAN of network 0.
func vxlanAround(ether layers.Ethernet, inner []byte) []byte {
	if ether.DstMAC == nil {
		ether.DstMAC = []byte{2, 0, 0, 0, 0, 1}
	}
	ether.SrcMAC = []byte{2, 0, 0, 0, 0, 2}
	if ether.EthernetType == 0 {
		ether.EthernetType = layers.EthernetTypeIPv4
	}
	return serialize(&layers.VXLAN{ValidIDFlag: true}, serialize(&ether, inner))
}

func bytesOf(t testing.TB, text string) []byte { return bytes.Clone(build(t, text).Bytes()) }

// pushed is the outer packet of a combination, complete.
func pushed(t testing.TB, c combination, text string) []byte {
	p := build(t, text)
	push(t, newEncap(t, c.config()), p)
	p.Complete()
	return bytes.Clone(p.Bytes())
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// nested is n layers of IP-in-IP.
func nested(t testing.TB, n int) []byte {
	b := bytesOf(t, tcp4)
	for range n {
		b = ipip4(layers.IPProtocolIPv4, b)
	}
	return b
}

// Outer packets as others make them, and what becomes of them.
func TestPop(t *testing.T) {
	in4, in6 := bytesOf(t, tcp4), bytesOf(t, tcp6)
	gre := func(flags uint16, ether uint16, rest ...[]byte) []byte {
		head := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, flags), ether)
		return ipip4(layers.IPProtocolGRE, concat(head, concat(rest...)))
	}
	gue := func(head ...byte) []byte { return inUDP4(tunnel.PortGUE, concat(head, in4)) }
	vxlan := func(change func(b []byte)) []byte {
		b := vxlanAround(layers.Ethernet{}, in4)
		change(b)
		return inUDP4(tunnel.PortVXLAN, b)
	}
	withChecksum := func(wrong byte) []byte {
		l := &layers.GRE{Protocol: layers.EthernetTypeIPv4, ChecksumPresent: true}
		b := serialize(l, in4)
		b[5] ^= wrong
		return ipip4(layers.IPProtocolGRE, b)
	}
	badUDP := inUDP4(tunnel.PortGUE, concat([]byte{0, 4, 0, 0}, in4))
	badUDP[26] ^= 1
	tests := []struct {
		name  string
		outer []byte
		want  packet.Reason
	}{
		{"plain IPv4 in IPv4", ipip4(layers.IPProtocolIPv4, in4), packet.OK},
		{"plain IPv6 in IPv4", ipip4(layers.IPProtocolIPv6, in6), packet.OK},
		{"bytes behind the inner packet are cut off", ipip4(layers.IPProtocolIPv4, concat(in4, []byte("trailer"))), packet.OK},
		{"IPv6 where the outer header says IPv4", ipip4(layers.IPProtocolIPv4, in6), packet.BadVersion},
		{"IPv4 where the outer header says IPv6", ipip4(layers.IPProtocolIPv6, in4), packet.BadVersion},
		{"no IP inside", ipip4(layers.IPProtocolIPv4, bytes.Repeat([]byte{0x11}, 40)), packet.BadVersion},
		{"nothing inside", ipip4(layers.IPProtocolIPv4, nil), packet.TunnelTruncated},
		{"a broken header checksum inside", ipip4(layers.IPProtocolIPv4, concat(in4[:10], []byte{1, 2}, in4[12:])), packet.BadIPChecksum},
		{"a source route inside", ipip4(layers.IPProtocolIPv4, serialize(&layers.IPv4{Version: 4, TTL: 9, Protocol: 99,
			SrcIP: []byte{198, 51, 100, 9}, DstIP: vip4.AsSlice(),
			Options: []layers.IPv4Option{{OptionType: 131, OptionLength: 7, OptionData: []byte{4, 10, 0, 0, 1}}, {OptionType: 1}}}, nil)),
			packet.SourceRoute},

		{"GRE", gre(0, 0x0800, in4), packet.OK},
		{"GRE with IPv6 inside", gre(0, 0x86dd, in6), packet.OK},
		{"GRE with a right checksum", withChecksum(0), packet.OK},
		{"GRE with a wrong checksum", withChecksum(1), packet.TunnelChecksum},
		{"GRE with a checksum that is not there", gre(0x8000, 0x0800), packet.TunnelTruncated},
		{"GRE with reserved bits that are to be ignored", gre(0x03f8, 0x0800, in4), packet.OK},
		{"GRE with a key", gre(0x2000, 0x0800, []byte{0, 0, 0, 1}, in4), packet.TunnelHeader},
		{"GRE with a sequence number", gre(0x1000, 0x0800, []byte{0, 0, 0, 1}, in4), packet.TunnelHeader},
		{"GRE with routing, which source-routes", gre(0x4000, 0x0800, make([]byte, 4), in4), packet.TunnelHeader},
		{"GRE of version 1, which is PPTP's", gre(1, 0x880b, in4), packet.TunnelHeader},
		{"GRE with Ethernet inside", gre(0, 0x6558, make([]byte, 14), in4), packet.TunnelHeader},
		{"GRE that ends in its header", ipip4(layers.IPProtocolGRE, []byte{0, 0, 8}), packet.TunnelTruncated},

		{"GUE", gue(0, 4, 0, 0), packet.OK},
		{"GUE without a header, variant 1", gue(), packet.OK},
		{"GUE without a header and IPv6 inside", inUDP4(tunnel.PortGUE, in6), packet.OK},
		{"GUE that says IPv6 around IPv4", gue(0, 41, 0, 0), packet.BadVersion},
		{"a GUE control message", gue(0x20, 4, 0, 0), packet.TunnelHeader},
		{"GUE with extensions", gue(1, 4, 0, 0, 0, 0, 0, 0), packet.TunnelHeader},
		{"GUE with flags", gue(0, 4, 0x80, 0), packet.TunnelHeader},
		{"GUE with other flags", gue(0, 4, 0, 1), packet.TunnelHeader},
		{"GUE with a protocol that is no IP", gue(0, 6, 0, 0), packet.TunnelHeader},
		{"GUE of a variant that nobody knows", gue(0x80, 4, 0, 0), packet.TunnelHeader},
		{"GUE of variant 1 that holds no IP", gue(0x50, 4, 0, 0), packet.TunnelHeader},
		{"GUE that ends in its header", inUDP4(tunnel.PortGUE, []byte{0, 4, 0}), packet.TunnelTruncated},
		{"GUE with a wrong UDP checksum", badUDP, packet.TunnelChecksum},

		{"bytes behind the datagram are none of the tunnel's", behind(inUDP4(tunnel.PortGUE, in4), nil), packet.OK},
		{"a packet that goes on behind the datagram", behind(inUDP4(tunnel.PortGUE, in4[:40]), in4[40:]), packet.TunnelTruncated},

		{"VXLAN", vxlan(func([]byte) {}), packet.OK},
		{"VXLAN with IPv6 inside", inUDP4(tunnel.PortVXLAN, vxlanAround(layers.Ethernet{EthernetType: layers.EthernetTypeIPv6}, in6)), packet.OK},
		{"VXLAN with reserved bits that are to be ignored", vxlan(func(b []byte) { b[0], b[1], b[7] = 0xff, 0xff, 0xff }), packet.OK},
		{"VXLAN of another network", vxlan(func(b []byte) { b[6] = 1 }), packet.TunnelHeader},
		{"VXLAN without a network", vxlan(func(b []byte) { b[0] = 0 }), packet.TunnelHeader},
		{"VXLAN with a broadcast inside", vxlan(func(b []byte) { b[8] = 0xff }), packet.TunnelHeader},
		{"VXLAN with a tag inside", vxlan(func(b []byte) { b[20], b[21] = 0x81, 0 }), packet.TunnelHeader},
		{"VXLAN with ARP inside", vxlan(func(b []byte) { b[20], b[21] = 8, 6 }), packet.TunnelHeader},
		{"VXLAN that ends in the inner Ethernet header", inUDP4(tunnel.PortVXLAN, vxlanAround(layers.Ethernet{}, nil)[:21]), packet.TunnelTruncated},

		{"60 nested IP-in-IP", nested(t, 60), packet.TunnelNested},
		{"two are already too many", nested(t, 2), packet.TunnelNested},
		{"IPv6 in IPv4 in IPv4", ipip4(4, concat(ipip4(41, in6))), packet.TunnelNested},
		{"GRE in IP-in-IP", ipip4(4, gre(0, 0x0800, in4)), packet.TunnelNested},
		{"IP-in-IP in GRE", gre(0, 0x0800, nested(t, 1)), packet.TunnelNested},
		{"GUE in VXLAN", inUDP4(tunnel.PortVXLAN, vxlanAround(layers.Ethernet{}, gue(0, 4, 0, 0))), packet.TunnelNested},
		{"VXLAN in VXLAN", inUDP4(tunnel.PortVXLAN, vxlanAround(layers.Ethernet{}, vxlan(func([]byte) {}))), packet.TunnelNested},
		{"IP-in-IP behind an extension header", ipip4(41, serialize(&layers.IPv6{Version: 6, HopLimit: 9, NextHeader: packet.DSTOPTS,
			SrcIP: dip6.AsSlice(), DstIP: vip6.AsSlice()}, concat([]byte{packet.IPIP, 0, 1, 4, 0, 0, 0, 0}, in4))), packet.TunnelNested},
		{"a fragment of IP-in-IP", ipip4(4, serialize(&layers.IPv4{Version: 4, TTL: 9, Protocol: 4, FragOffset: 100,
			SrcIP: []byte{198, 51, 100, 9}, DstIP: vip4.AsSlice()}, in4)), packet.TunnelNested},

		{"an address that is no VIP", ipip4(4, bytesOf(t, "tcp 198.51.100.9:1 > 192.0.2.11:80 S")), packet.TunnelDestination},
		{"the real server's own address", ipip4(4, bytesOf(t, "tcp 198.51.100.9:1 > 10.2.0.2:22 S")), packet.TunnelDestination},
		{"the VIP as its own client", ipip4(4, bytesOf(t, "tcp 192.0.2.10:1 > 192.0.2.10:80 S")), packet.Land},
		{"a second VIP as client of the first", ipip4(4, bytesOf(t, "tcp 192.0.2.20:1 > 192.0.2.10:80 S")), packet.SpoofedSource},
		{"the real server as client", ipip4(4, bytesOf(t, "tcp 10.2.0.2:1 > 192.0.2.10:80 S")), packet.SpoofedSource},
		{"a loopback client", ipip4(4, bytesOf(t, "tcp 127.0.0.1:1 > 192.0.2.10:80 S")), packet.Martian},
		{"a group as client", ipip4(4, bytesOf(t, "udp 224.0.0.1:1 > 192.0.2.10:80")), packet.Martian},
		{"a client in IPv4-mapped form", ipip4(41, bytesOf(t, "tcp [::ffff:198.51.100.9]:1 > [2001:db8:f::10]:80 S")), packet.Martian},
		{"the VIP in IPv4-mapped form", ipip4(41, bytesOf(t, "tcp [2001:db8:9::9]:1 > [::ffff:192.0.2.10]:80 S")), packet.Martian},

		{"no tunnel at all", bytesOf(t, "tcp 10.2.0.1:1 > 10.2.0.2:22 S"), packet.NotTunnel},
		{"UDP to another port", inUDP4(6081, in4), packet.NotTunnel},
		{"UDP from, not to the port", bytesOf(t, "udp 10.2.0.1:6080 > 10.2.0.2:53 len 40"), packet.NotTunnel},
		{"ESP", ipip4(packet.ESP, in4), packet.NotTunnel},
		{"a stranger's tunnel", bytesOf(t, "ip 10.2.0.3 > 10.2.0.2 proto 4 len 40"), packet.TunnelStranger},
		{"a stranger's port", bytesOf(t, "udp 10.2.0.3:1 > 10.2.0.2:4789 len 40"), packet.TunnelStranger},
		{"a stranger whose mapped address is the director's", bytesOf(t, "ip ::ffff:10.2.0.1 > 2001:db8:2::2 proto 41 len 40"), packet.Martian},
		{"a tunnel from its own end", bytesOf(t, "ip 10.2.0.2 > 10.2.0.2 proto 4 len 40"), packet.Land},
		{"the first fragment of an outer packet", bytesOf(t, "ip 10.2.0.1 > 10.2.0.2 proto 4 frag 0+ len 40"), packet.TunnelFragment},
		{"a later fragment of an outer packet", bytesOf(t, "ip 10.2.0.1 > 10.2.0.2 proto 4 frag 80 len 40"), packet.TunnelFragment},
		{"the first fragment of an outer datagram", bytesOf(t, "udp 10.2.0.1:1 > 10.2.0.2:6080 frag 0+ len 40"), packet.TunnelFragment},
		{"a later fragment of some datagram", bytesOf(t, "udp 10.2.0.1 > 10.2.0.2 frag 80 len 40"), packet.NotTunnel},
		{"a frame that is no IP", nil, packet.NotTunnel},

		{"destination options outside, as Linux puts them", chain6(packet.DSTOPTS, []byte{4, 1, 4, 1, 0, 1, 0}, in4), packet.OK},
		{"a routing header outside, though at its end", chain6(packet.ROUTING, []byte{0, 2, 0, 0, 0, 0, 0}, in4), packet.TunnelHeader},
		{"an authentication header outside", chain6(packet.AH, []byte{2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}, in4), packet.TunnelHeader},
	}
	d := newDecap(t, tunnel.DecapConfig{VIPs: []netip.Addr{vip4, vip6, addr("192.0.2.20")}})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := new(packet.Packet)
			link := packet.LinkRaw
			if tt.outer == nil {
				tt.outer, link = append(make([]byte, 12), 0x88, 0xcc, 1, 2, 3), packet.LinkEthernet
			}
			p.Load(tt.outer)
			if r := p.Parse(link); r != packet.OK {
				t.Fatalf("the outer packet is refused: %s", r)
			}
			judge(t, d, p, tt.want)
			if tt.want == packet.OK && !bytes.Equal(p.Bytes(), in4) && !bytes.Equal(p.Bytes(), in6) {
				t.Errorf("out came %s", p)
			}
		})
	}
}

// chain6 is in4 in IPv6 from the director, behind one extension header of a
// kind: options are its bytes behind the next header.
func chain6(kind uint8, options, in4 []byte) []byte {
	options[0] = byte((len(options)+1)/8 - 1)
	if kind == packet.AH {
		options[0] = byte((len(options)+1)/4 - 2)
	}
	return serialize(&layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocol(kind),
		SrcIP: dip6.AsSlice(), DstIP: rip6.AsSlice()}, concat([]byte{packet.IPIP}, options, in4))
}

// behind is an outer IPv4 packet that carries more than its UDP datagram, by
// more or, if that is nil, by something.
func behind(outer, more []byte) []byte {
	if more == nil {
		more = []byte("options of UDP")
	}
	l := gopacket.NewPacket(outer[:20], layers.LayerTypeIPv4, gopacket.NoCopy).Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	return serialize(l, concat(outer[20:], more))
}

// judge pops p; a refused one must be what it was.
func judge(t *testing.T, d *tunnel.Decap, p *packet.Packet, want packet.Reason) {
	t.Helper()
	was, store := *p, bytes.Clone(p.Store)
	if r := d.Pop(p); r != want {
		t.Errorf("%s, want %s", r, want)
	}
	if want != packet.OK && (!sameState(p, &was) || !bytes.Equal(p.Store, store)) {
		t.Errorf("%s was %s", p, &was)
	}
}

func sameState(p, q *packet.Packet) bool {
	return p.String() == q.String() && p.Offload == q.Offload && p.Start == q.Start && p.End == q.End && p.Link == q.Link
}

// However short what is in a tunnel is cut, in its shim or in the packet inside,
// it is refused as truncated.
func TestPopTruncated(t *testing.T) {
	d := anyDecap(t)
	for _, c := range combinations() {
		t.Run(c.String(), func(t *testing.T) {
			whole := pushed(t, c, c.text())
			ip := 20
			if c.outer == 6 {
				ip = 40
			}
			for n := ip; n < len(whole); n++ {
				p := new(packet.Packet)
				p.Load(shortened(whole, n))
				if r := p.Parse(packet.LinkRaw); r != packet.OK {
					continue // not even a UDP header
				}
				judge(t, d, p, packet.TunnelTruncated)
			}
		})
	}
}

// shortened is the first n bytes of an outer packet whose IP and UDP headers
// say so.
func shortened(whole []byte, n int) []byte {
	b := bytes.Clone(whole[:n])
	ip, proto := 20, b[9]
	if b[0]>>4 == 6 {
		ip, proto = 40, b[6]
		binary.BigEndian.PutUint16(b[4:], uint16(n-40))
	} else {
		binary.BigEndian.PutUint16(b[2:], uint16(n))
		b[10], b[11] = 0, 0
		l := gopacket.NewPacket(b[:20], layers.LayerTypeIPv4, gopacket.NoCopy).Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		b = append(serialize(l, b[20:])[:20:20], b[20:]...)
	}
	if proto == packet.UDP && n >= ip+8 {
		binary.BigEndian.PutUint16(b[ip+4:], uint16(n-ip))
		b[ip+6], b[ip+7] = 0, 0
	}
	return b
}

// What the configuration of a tunnel's end is for.
func TestPopConfigured(t *testing.T) {
	in4 := bytesOf(t, tcp4)
	prefix := netip.MustParsePrefix
	ipip := ipip4(4, in4)
	tests := []struct {
		name   string
		config tunnel.DecapConfig
		outer  []byte
		want   packet.Reason
	}{
		{"a director of a prefix", tunnel.DecapConfig{Directors: []netip.Prefix{prefix("10.2.0.0/23")}}, ipip, packet.OK},
		{"a director beside the prefix", tunnel.DecapConfig{Directors: []netip.Prefix{prefix("10.2.2.0/23")}}, ipip, packet.TunnelStranger},
		{"a prefix with bits behind its length", tunnel.DecapConfig{Directors: []netip.Prefix{prefix("10.2.0.77/24")}}, ipip, packet.OK},
		{"anybody over IPv4", tunnel.DecapConfig{Directors: []netip.Prefix{prefix("0.0.0.0/0")}}, ipip, packet.OK},
		{"anybody over IPv6 is nobody over IPv4", tunnel.DecapConfig{Directors: []netip.Prefix{prefix("2000::/3")}}, ipip, packet.TunnelStranger},
		{"the second of two directors", tunnel.DecapConfig{Directors: []netip.Prefix{prefix("10.9.0.1/32"), prefix("10.2.0.1/32")}}, ipip, packet.OK},
		{"another VIP", tunnel.DecapConfig{VIPs: []netip.Addr{vip6}}, ipip, packet.TunnelDestination},
		{"an outer destination of its own", tunnel.DecapConfig{Own: []netip.Addr{rip6, rip4}}, ipip, packet.OK},
		{"somebody else's tunnel", tunnel.DecapConfig{Own: []netip.Addr{addr("10.2.0.3")}}, ipip, packet.NotTunnel},
		{"a client with another address of its own", tunnel.DecapConfig{Own: []netip.Addr{rip4, addr("198.51.100.9")}}, ipip, packet.SpoofedSource},
		{"a format that is opened", tunnel.DecapConfig{Types: []tunnel.Type{tunnel.GRE, tunnel.IPIP}}, ipip, packet.OK},
		{"a format that is not opened", tunnel.DecapConfig{Types: []tunnel.Type{tunnel.VXLAN}}, ipip, packet.NotTunnel},
		{"another port of gue", tunnel.DecapConfig{GUEPort: 5555}, inUDP4(5555, in4), packet.OK},
		{"the port of gue where another is configured", tunnel.DecapConfig{GUEPort: 5555}, inUDP4(6080, in4), packet.NotTunnel},
		{"another port of vxlan", tunnel.DecapConfig{VXLANPort: 8472}, inUDP4(8472, vxlanAround(layers.Ethernet{}, in4)), packet.OK},
		{"another network", tunnel.DecapConfig{VNI: 7}, inUDP4(tunnel.PortVXLAN, vxlanAround(layers.Ethernet{}, in4)), packet.TunnelHeader},
		{"a tunnel's port inside that is none here", tunnel.DecapConfig{Types: []tunnel.Type{tunnel.IPIP}},
			ipip4(4, bytesOf(t, "udp 198.51.100.9:1 > 192.0.2.10:4789 len 40")), packet.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			judge(t, newDecap(t, tt.config), raw(t, tt.outer), tt.want)
		})
	}
}

// Frames with work left to do, as a local sender's kernel hands them over.
func TestPopOffload(t *testing.T) {
	d := anyDecap(t)
	partial := build(t, tcp4)
	push(t, newEncap(t, combination{tunnel.GUE, 6, 4}.config()), partial)
	if !partial.Offload.NeedsCsum {
		t.Fatal("UDP over IPv6 has no partial checksum")
	}
	judge(t, newDecap(t, tunnel.DecapConfig{VIPs: []netip.Addr{vip6}}), partial, packet.TunnelDestination)
	judge(t, d, partial, packet.OK)
	if partial.Offload != (packet.Offload{}) {
		t.Errorf("%+v is left of the outer packet's Offload", partial.Offload)
	}
	vouched := raw(t, pushed(t, combination{tunnel.GUE, 6, 4}, tcp4))
	vouched.Store[vouched.L4+6] ^= 1
	judge(t, d, vouched, packet.TunnelChecksum)
	vouched.Offload.DataValid = true
	judge(t, d, vouched, packet.OK)
	judge(t, d, build(t, "udp 10.2.0.1:1 > 10.2.0.2:6080 gso 1000 len 3000"), packet.BadOffload)
}

// From a TAP the outer packet has an Ethernet header, and padding.
func TestPopFromEthernet(t *testing.T) {
	d := anyDecap(t)
	for _, c := range combinations() {
		p := raw(t, pushed(t, c, c.text()))
		p.SetHop(&packet.Hop{Link: packet.LinkEthernet, Src: packet.MAC{2, 1}, Dst: packet.MAC{2, 2}})
		p.Load(append(bytes.Clone(p.Bytes()), "padding"...))
		if r := p.Parse(packet.LinkEthernet); r != packet.OK {
			t.Fatal(r)
		}
		q := *p
		q.Store = bytes.Clone(p.Store)
		judge(t, newDecap(t, tunnel.DecapConfig{VIPs: []netip.Addr{addr("192.0.2.99")}}), &q, packet.TunnelDestination)
		judge(t, d, p, packet.OK)
		if want := bytesOf(t, c.text()); !bytes.Equal(p.Bytes(), want) || p.Link != packet.LinkRaw {
			t.Errorf("%s: %s", c, p)
		}
	}
}
