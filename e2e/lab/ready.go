package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"weir/netstack/packet"
)

// The ready-made topologies number everything alike. Clients live in
// 10.1.0.0/24 and fd00:1::/64, real servers in 10.2.0.0/24 and fd00:2::/64;
// number 1 of a segment is its gateway, stations count from 11, and the last
// byte of a MAC shows the same digits: client1 is 10.1.0.11, fd00:1::11,
// 02:00:00:01:00:11. Where they share one subnet it is 10.0.0.0/8 and fd00::/16,
// and everybody keeps the same numbers.
const (
	ClientSegment = "client"
	ServerSegment = "server"
	LANSegment    = "lan" // of the one-arm topology, which has no other

	firstStation = 11
	maxStations  = 80 // numbers up to 99 show as two digits of a MAC
)

// VIP4 and VIP6 are the virtual addresses of the ready-made topologies. They
// lie in no segment: the clients' gateway gets what is for them.
var (
	VIP4 = netip.MustParseAddr("192.0.2.10")
	VIP6 = netip.MustParseAddr("2001:db8::10")
)

// NearVIP4 and NearVIP6 lie in the one subnet of the bridged and the one-arm
// topology: stations there ask for their MACs.
var (
	NearVIP4 = netip.MustParseAddr("10.3.0.100")
	NearVIP6 = netip.MustParseAddr("fd00:3::100")
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
	t.Weir.Pool = pool(3)
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
	t.Weir.Pool = pool(2)
	for i, name := range []string{ClientSegment, ServerSegment} {
		f := iface(i+1, 1)
		t.Weir.Ports = append(t.Weir.Ports, Port{
			Name: name, Device: "weir" + strconv.Itoa(i), Segment: name, MAC: f.MAC, Addresses: f.Addresses,
		})
	}
	return t
}

// BridgedTopology has weir in the wire between clients and real servers, which
// are in one subnet:
//
//	client1..n ── client ── weir ── server ── real1..m
//	                   weir0    weir1 (TAPs)
//
// The VIPs are NearVIP4 and NearVIP6. It panics unless clients and reals are
// between 1 and 80.
func BridgedTopology(clients, reals int) Topology {
	t := neighbours("bridged", clients, reals)
	t.Weir.Ports = []Port{
		{Name: ClientSegment, Device: "weir0", Segment: ClientSegment, MAC: numberMAC(3, 1), Addresses: wide(3, 1)},
		{Name: ServerSegment, Device: "weir1", Segment: ServerSegment, MAC: numberMAC(3, 2)},
	}
	return t
}

// OneArmTopology has weir on the one segment of clients and real servers:
//
//	client1..n ──┬── lan ──┬── real1..m
//	             │  weir0 (TAP)
//	             └── weir
//
// The VIPs are NearVIP4 and NearVIP6. It panics unless clients and reals are
// between 1 and 80.
func OneArmTopology(clients, reals int) Topology {
	t := neighbours("one-arm", clients, reals)
	t.Segments = []Segment{{Name: LANSegment}}
	for i := range t.Nodes {
		t.Nodes[i].Interfaces[0].Segment = LANSegment
	}
	t.Weir.Ports = []Port{{Name: LANSegment, Device: "weir0", Segment: LANSegment, MAC: numberMAC(3, 1), Addresses: wide(3, 1)}}
	return t
}

// neighbours are stations that share one subnet, without a router.
func neighbours(name string, clients, reals int) Topology {
	t := stations(name, clients, reals)
	for i := range t.Nodes {
		n := &t.Nodes[i]
		n.Routes = nil
		for j, a := range n.Interfaces[0].Addresses {
			n.Interfaces[0].Addresses[j] = netip.PrefixFrom(a.Addr(), wideBits(a.Addr()))
		}
	}
	t.Weir.Topology = name
	t.Weir.VIPs = []netip.Addr{NearVIP4, NearVIP6}
	t.Weir.Pool = pool(3)
	return t
}

// wideBits is the length of the subnet that holds all ready-made numbers.
func wideBits(a netip.Addr) int {
	if a.Is4() {
		return 8
	}
	return 16
}

func wide(segment, n int) []netip.Prefix {
	a4, a6 := number4(segment, n), number6(segment, n)
	return []netip.Prefix{netip.PrefixFrom(a4, wideBits(a4)), netip.PrefixFrom(a6, wideBits(a6))}
}

// pool is two addresses of each family.
func pool(segment int) []netip.Addr {
	return []netip.Addr{number4(segment, 201), number4(segment, 202), number6(segment, 201), number6(segment, 202)}
}

// DirectReturn is t with real servers that answer clients themselves, as
// method dsr wants them: they have the VIPs, and do not answer for them.
func DirectReturn(t Topology) Topology {
	t.Nodes = slices.Clone(t.Nodes)
	for i := range t.Nodes {
		if slices.Contains(t.Weir.Reals, t.Nodes[i].Addr4()) {
			t.Nodes[i].Loopback = t.Weir.VIPs
		}
	}
	return t
}

// Decapsulating is DirectReturn with real servers that also open the tunnels of
// method tunnel.
func Decapsulating(t Topology) Topology {
	t = DirectReturn(t)
	for i := range t.Nodes {
		if len(t.Nodes[i].Loopback) == 0 {
			continue
		}
		for _, p := range t.Weir.Ports {
			for _, a := range p.Addresses {
				t.Nodes[i].Decap = append(slices.Clip(t.Nodes[i].Decap), netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
			}
		}
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
		MAC:       numberMAC(segment, n),
		Addresses: []netip.Prefix{netip.PrefixFrom(number4(segment, n), 24), netip.PrefixFrom(number6(segment, n), 64)},
	}
}

func numberMAC(segment, n int) packet.MAC {
	return packet.MAC{0x02, 0, 0, byte(segment), 0, byte(n/10<<4 | n%10)}
}

func number4(segment, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(segment), 0, byte(n)})
}

// number6 shows n's decimal digits, as number4 does.
func number6(segment, n int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd00:%d::%d", segment, n))
}
