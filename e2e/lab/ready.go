package lab

import (
	"fmt"
	"net/netip"
	"strconv"

	"weir/netstack/packet"
)

// The ready-made topologies number everything alike. Clients live in
// 10.1.0.0/24 and fd00:1::/64, real servers in 10.2.0.0/24 and fd00:2::/64;
// number 1 of a segment is its gateway, stations count from 11, and the last
// byte of a MAC shows the same digits: client1 is 10.1.0.11, fd00:1::11,
// 02:00:00:01:00:11.
const (
	ClientSegment = "client"
	ServerSegment = "server"

	firstStation = 11
	maxStations  = 80 // numbers up to 99 show as two digits of a MAC
)

// VIP4 and VIP6 are the virtual addresses of the ready-made topologies. They
// lie in no segment: the clients' gateway gets what is for them.
var (
	VIP4 = netip.MustParseAddr("192.0.2.10")
	VIP6 = netip.MustParseAddr("2001:db8::10")
)

// HostTopology has weir inside a router's kernel, behind a TUN:
//
//	client1..n ── client ── host ── server ── real1..m
//	                         │ weir0 (TUN)
//	                        weir
//
// The host forwards between its segments by itself; what is for a VIP goes
// through weir. It panics unless clients and reals are between 1 and 80.
func HostTopology(clients, reals int) Topology {
	t := stations("host", clients, reals)
	t.Nodes = append(t.Nodes, Node{
		Name:       "host",
		Forward:    true,
		Interfaces: []Interface{iface(1, 1), iface(2, 1)},
	})
	t.Weir.Node = "host"
	t.Weir.Ports = []Port{{
		Name: "tun", Device: "weir0",
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.3.0.2/32"), netip.MustParsePrefix("fd00:3::2/128")},
	}}
	return t
}

// RoutedTopology has weir as a router of its own, with a TAP on each segment:
// the gateway of the clients and of the real servers.
//
//	client1..n ── client ── weir ── server ── real1..m
//	                   weir0    weir1 (TAPs)
//
// It panics unless clients and reals are between 1 and 80.
func RoutedTopology(clients, reals int) Topology {
	t := stations("routed", clients, reals)
	for i, name := range []string{ClientSegment, ServerSegment} {
		f := iface(i+1, 1)
		t.Weir.Ports = append(t.Weir.Ports, Port{
			Name: name, Device: "weir" + strconv.Itoa(i), Segment: name, MAC: f.MAC, Addresses: f.Addresses,
		})
	}
	return t
}

// stations makes the two segments with their clients and real servers.
func stations(name string, clients, reals int) Topology {
	if min(clients, reals) < 1 || max(clients, reals) > maxStations {
		panic(fmt.Sprintf("lab: %d clients and %d real servers; each must be between 1 and %d", clients, reals, maxStations))
	}
	t := Topology{
		Name:     name,
		Segments: []Segment{{Name: ClientSegment}, {Name: ServerSegment}},
		Weir:     Attachment{VIPs: []netip.Addr{VIP4, VIP6}},
	}
	for i := range clients {
		t.Nodes = append(t.Nodes, station("client", 1, i))
	}
	for i := range reals {
		n := station("real", 2, i)
		t.Weir.Reals = append(t.Weir.Reals, n.Addr4(), n.Addr6())
		t.Nodes = append(t.Nodes, n)
	}
	return t
}

// station is the i-th host of a segment, with the gateway as its default route.
func station(kind string, segment, i int) Node {
	return Node{
		Name:       kind + strconv.Itoa(i+1),
		Interfaces: []Interface{iface(segment, firstStation+i)},
		Routes: []Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: number4(segment, 1)},
			{To: netip.MustParsePrefix("::/0"), Via: number6(segment, 1)},
		},
	}
}

// iface is the interface with number n on a segment.
func iface(segment, n int) Interface {
	return Interface{
		Segment:   [...]string{1: ClientSegment, 2: ServerSegment}[segment],
		MAC:       packet.MAC{0x02, 0, 0, byte(segment), 0, byte(n/10<<4 | n%10)},
		Addresses: []netip.Prefix{netip.PrefixFrom(number4(segment, n), 24), netip.PrefixFrom(number6(segment, n), 64)},
	}
}

func number4(segment, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(segment), 0, byte(n)})
}

// number6 shows n's decimal digits, as number4 does.
func number6(segment, n int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd00:%d::%d", segment, n))
}
