package tunnel_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
	"weir/tunnel"
)

// The figures are those that the formats' documents and Linux's devices give.
func TestArithmetic(t *testing.T) {
	tests := []struct {
		name         string
		format       tunnel.Type
		outer, inner uint8
		path         int
		mtu          int
		mss          uint16
	}{
		{"IPv4 in IPv4 on Ethernet", tunnel.IPIP, 4, 4, 1500, 1480, 1440},
		{"IPv6 in IPv4 on Ethernet", tunnel.IPIP, 4, 6, 1500, 1480, 1420},
		{"IPv4 in IPv6 on Ethernet", tunnel.IPIP, 6, 4, 1500, 1460, 1420},
		{"IPv6 in IPv6 on Ethernet", tunnel.IPIP, 6, 6, 1500, 1460, 1400},
		{"GRE over IPv4", tunnel.GRE, 4, 4, 1500, 1476, 1436},
		{"GRE over IPv6", tunnel.GRE, 6, 6, 1500, 1456, 1396},
		{"GUE over IPv4", tunnel.GUE, 4, 4, 1500, 1468, 1428},
		{"GUE over IPv6", tunnel.GUE, 6, 4, 1500, 1448, 1408},
		{"VXLAN over IPv4, the 50 bytes of RFC 7348's table", tunnel.VXLAN, 4, 4, 1500, 1450, 1410},
		{"VXLAN over IPv6, 70 bytes", tunnel.VXLAN, 6, 6, 1500, 1430, 1370},
		{"a link of 1,400 bytes behind", tunnel.IPIP, 4, 4, 1400, 1380, 1340},
		{"jumbo frames", tunnel.VXLAN, 4, 4, 9000, 8950, 8910},
		{"IPv6 never gets less than 1,280: the outer packet is to be fragmented", tunnel.VXLAN, 6, 6, 1280, 1280, 1220},
		{"nor does IPv4 get less than 68", tunnel.IPIP, 4, 4, 70, 68, 28},
		{"a path longer than a packet can be", tunnel.IPIP, 4, 4, 100000, 99980, 65495},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEncap(t, combination{tt.format, tt.outer, tt.inner}.config())
			if mtu := e.InnerMTU(tt.inner, tt.path); mtu != tt.mtu {
				t.Errorf("MTU %d, want %d", mtu, tt.mtu)
			}
			if mss := e.MSS(tt.inner, tt.path); mss != tt.mss {
				t.Errorf("MSS %d, want %d", mss, tt.mss)
			}
		})
	}
}

// A packet fits exactly up to InnerMTU, and then is as long outside as the path
// is wide.
func TestFits(t *testing.T) {
	const path = 1500
	for _, c := range combinations() {
		e := newEncap(t, c.config())
		for _, more := range []int{-1, 0, 1} {
			p := build(t, c.text())
			p.End += e.InnerMTU(c.inner, path) + more - p.IPLen()
			b := shortened(append(bytes.Clone(p.Bytes()[:80]), make([]byte, 1500)...), p.End-p.Start)
			p = raw(t, b)
			if fits := e.Fits(p, path); fits != (more <= 0) {
				t.Errorf("%s: %d more than the inner MTU, fits: %v", c, more, fits)
			}
			push(t, e, p)
			if p.IPLen() != path+more {
				t.Errorf("%s: %d bytes outside, want %d", c, p.IPLen(), path+more)
			}
		}
		super := build(t, "tcp 198.51.100.9:4000 > 192.0.2.10:80 A gso 1390 len 5000")
		if need := 1390 + 40 + e.Overhead(); !e.Fits(super, need) || e.Fits(super, need-1) {
			t.Errorf("%s: a super-packet does not fit like its segments", c)
		}
	}
}

// ICMP errors about what went into a tunnel are told from all others.
func TestSent(t *testing.T) {
	about := func(outer uint8, quote []byte) []byte {
		if outer == 6 {
			src := addr("2001:db8:7::1")
			ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: packet.ICMPv6, SrcIP: src.AsSlice(), DstIP: dip6.AsSlice()}
			icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}
			must(icmp.SetNetworkLayerForChecksum(ip))
			return serialize(ip, serialize(icmp, concat([]byte{0, 0, 0x05, 0x78}, quote)))
		}
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: []byte{10, 2, 7, 1}, DstIP: dip4.AsSlice()}
		return serialize(ip, serialize(&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: 1400}, quote))
	}
	for _, c := range combinations() {
		t.Run(c.String(), func(t *testing.T) {
			e := newEncap(t, c.config())
			whole := pushed(t, c, c.text())
			ip := 20
			if c.outer == 6 {
				ip = 40
			}
			changed := func(at int) []byte {
				b := bytes.Clone(whole)
				b[at] ^= 1
				return b
			}
			last := ip - 1
			source := 15
			if c.outer == 6 {
				source = 23
			}
			tests := []struct {
				name  string
				quote []byte
				want  bool
			}{
				{"all of the packet", whole, true},
				{"the 8 bytes that every router quotes", whole[:ip+8], true},
				{"not even those", whole[:ip+7], false},
				{"a packet to somebody else", changed(last), false},
				{"a packet from somebody else", changed(source), false},
				{"another protocol", changed(map[uint8]int{4: 9, 6: 6}[c.outer]), false},
				{"another port", changed(ip + 3), !c.format.UDP()},
			}
			for _, tt := range tests {
				p := raw(t, about(c.outer, tt.quote))
				if got := e.Sent(p); got != tt.want {
					t.Errorf("%s: %v", tt.name, got)
				}
				if mtu, ok := tunnel.ReportedMTU(p); mtu != 1400 || !ok {
					t.Errorf("%s: MTU %d, %v", tt.name, mtu, ok)
				}
			}
			if c.outer == 4 {
				longer := concat([]byte{0x46}, whole[1:ip], make([]byte, 4), whole[ip:])
				if p := raw(t, about(c.outer, longer)); e.Sent(p) {
					t.Error("a header with options is taken for one of the tunnel's")
				}
			}
			if p := raw(t, whole); e.Sent(p) {
				t.Error("the packet itself is taken for an error about it")
			}
			if p := raw(t, about(10-c.outer, whole)); e.Sent(p) {
				t.Error("an error of the other IP version is taken for one about it")
			}
			first, later := fragments(t, e, c)
			if p := raw(t, about(c.outer, first)); !e.Sent(p) {
				t.Error("an error about its first fragment is not recognised")
			}
			if p := raw(t, about(c.outer, later)); e.Sent(p) {
				t.Error("a later fragment shows no port, and is recognised")
			}
		})
	}
}

// fragments are the first and the second fragment of an outer packet.
func fragments(t *testing.T, e *tunnel.Encap, c combination) (first, later []byte) {
	p := build(t, "udp 198.51.100.9:4000 > 192.0.2.10:80 len 1000")
	push(t, e, p)
	var scratch packet.Packet
	var all [][]byte
	r := e.Fragment(p, &scratch, 576, func(s *packet.Packet) { all = append(all, bytes.Clone(s.Bytes())) })
	if r != packet.OK || len(all) < 2 {
		t.Fatalf("%s: %s, %d fragments", c, r, len(all))
	}
	return all[0], all[1]
}

func TestReportedMTU(t *testing.T) {
	tests := []struct {
		text string
		mtu  int
		ok   bool
	}{
		{"icmp 10.9.0.1 > 10.2.0.1 frag-needed mtu 1400 (ip 10.2.0.1 > 10.2.0.2 proto 4 len 40)", 1400, true},
		{"icmp 10.9.0.1 > 10.2.0.1 frag-needed mtu 0 (ip 10.2.0.1 > 10.2.0.2 proto 4 len 40)", 576, true},
		{"icmp 10.9.0.1 > 10.2.0.1 unreachable port (udp 10.2.0.1:1 > 10.2.0.2:6080)", 0, false},
		{"icmp 2001:db8::9 > 2001:db8:2::1 too-big mtu 1400 (ip 2001:db8:2::1 > 2001:db8:2::2 proto 4 len 40)", 1400, true},
		{"icmp 2001:db8::9 > 2001:db8:2::1 too-big mtu 1000 (ip 2001:db8:2::1 > 2001:db8:2::2 proto 4 len 40)", 1280, true},
		{"icmp 2001:db8::9 > 2001:db8:2::1 time-exceeded (ip 2001:db8:2::1 > 2001:db8:2::2 proto 4 len 40)", 0, false},
		{"icmp 10.9.0.1 > 10.2.0.1 echo", 0, false},
		{tcp4, 0, false},
	}
	for _, tt := range tests {
		p := build(t, tt.text)
		if mtu, ok := tunnel.ReportedMTU(p); mtu != tt.mtu || ok != tt.ok {
			t.Errorf("%s: %d, %v", tt.text, mtu, ok)
		}
	}
}
