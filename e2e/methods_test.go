package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
	"weir/netstack/packet"
	"weir/tunnel"
)

// wiring is a topology with a method, and what DESIGN's table says of the two.
type wiring struct {
	topology lab.Topology
	method   string
	tunnel   *tunnel.DecapConfig // how the method's tunnel is opened; nil: there is none
	options  string              // of the service
	ports    [2]uint16           // of the real servers' TCP and UDP
	families []family
	request  row
	reply    row
}

// row is what a packet looks like behind weir, beside what it was before. All
// that a row does not name is as it was.
type row struct {
	src, dst       string // end of the packet; "": as it was
	hops           uint8  // less in the TTL
	srcMAC, dstMAC string // station; "": as it was
}

// What a gateway does to the links on both its sides.
var (
	natRequest     = row{dst: "real", hops: 1, srcMAC: "gateway", dstMAC: "real"}
	natReply       = row{src: "vip", hops: 1, srcMAC: "gateway", dstMAC: "client"}
	fullRequest    = row{src: "pool", dst: "real", hops: 1, srcMAC: "weir", dstMAC: "real"}
	fullReply      = row{src: "vip", dst: "client", hops: 1, srcMAC: "weir", dstMAC: "client"}
	direct         = row{srcMAC: "weir", dstMAC: "real"}
	untouchedReply = row{}
)

// behind is a row seen through the kernel of weir's host, a hop before and one
// after weir.
func behind(r row) row {
	r.hops += 2
	r.srcMAC = "gateway"
	return r
}

// wirings are all pairs that there are.
func wirings() []wiring {
	twoWay, oneWay := [2]uint16{8080, 5353}, [2]uint16{80, 53}
	far, near := families, nearFamilies(lab.NearVIP4, lab.NearVIP6)
	list := []wiring{
		{topology: lab.HostTopology(1, 2), method: "nat", ports: twoWay, families: far, request: behind(natRequest), reply: behind(natReply)},
		{topology: lab.HostTopology(1, 2), method: "fullnat", ports: twoWay, families: mixed(far), request: behind(fullRequest), reply: behind(fullReply)},
		{topology: lab.RoutedTopology(1, 2), method: "nat", ports: twoWay, families: far, request: natRequest, reply: natReply},
		{topology: lab.RoutedTopology(1, 2), method: "fullnat", ports: twoWay, families: mixed(far), request: gateway(fullRequest), reply: gateway(fullReply)},
		{topology: lab.BridgedTopology(1, 2), method: "nat", ports: twoWay, families: near, request: row{dst: "real", dstMAC: "real"}, reply: row{src: "vip"}},
		{topology: lab.BridgedTopology(1, 2), method: "fullnat", ports: twoWay, families: mixed(near), request: fullRequest, reply: fullReply},
		{topology: lab.OneArmTopology(1, 2), method: "fullnat", ports: twoWay, families: mixed(near), request: fullRequest, reply: fullReply},
	}
	for _, t := range []lab.Topology{lab.BridgedTopology(1, 2), lab.OneArmTopology(1, 2)} {
		list = append(list, wiring{topology: lab.DirectReturn(t), method: "dsr", ports: oneWay, families: onLoopback(near), request: direct, reply: untouchedReply})
		for _, kind := range tunnel.Types {
			list = append(list, tunnelled(t, kind, onLoopback(near), direct, untouchedReply))
		}
	}
	routed := row{hops: 1, srcMAC: "gateway", dstMAC: "real"}
	return append(list, tunnelled(lab.HostTopology(1, 2), tunnel.IPIP, onLoopback(far), routed, row{hops: 1, srcMAC: "gateway", dstMAC: "client"}))
}

func gateway(r row) row { r.srcMAC = "gateway"; return r }

func tunnelled(t lab.Topology, kind tunnel.Type, families []family, request, reply row) wiring {
	t = lab.Decapsulating(t)
	return wiring{
		topology: t, method: "tunnel", ports: [2]uint16{80, 53}, families: families, request: request, reply: reply,
		options: fmt.Sprintf("    tunnel: {type: %s}\n", kind),
		tunnel:  &tunnel.DecapConfig{Directors: t.Node("real1").Decap, VIPs: t.Weir.VIPs, Types: []tunnel.Type{kind}},
	}
}

func nearFamilies(vip4, vip6 netip.Addr) []family {
	list := slices.Clone(families)
	list[0].vip, list[1].vip = vip4, vip6
	return list
}

// mixed are families, and each one's VIP in front of the other's real servers.
func mixed(list []family) []family {
	return append(slices.Clone(list),
		family{"v4-to-v6", list[0].vip, list[1].of}, family{"v6-to-v4", list[1].vip, list[0].of})
}

// onLoopback are families whose real servers serve at the VIP itself.
func onLoopback(list []family) []family {
	list = slices.Clone(list)
	for i, f := range list {
		list[i].of = func(lab.Host) netip.Addr { return f.vip }
	}
	return list
}

func (x wiring) name() string {
	name := x.topology.Name + "-" + x.method
	if x.tunnel != nil {
		name += "-" + x.tunnel.Types[0].String()
	}
	return name
}

// service is the configuration of both services of one family.
func (x wiring) services(f family) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i, protocol := range []string{"tcp", "udp"} {
		fmt.Fprintf(&b, "  - name: %s\n    vip: \"%s\"\n    protocol: %s\n    method: %s\n    scheduler: rr\n%s    reals:\n",
			protocol, f.at([]uint16{80, 53}[i]), protocol, x.method, x.options)
		for _, r := range []string{"real1", "real2"} {
			fmt.Fprintf(&b, "      - {name: %s, address: \"%s\"}\n", r, netip.AddrPortFrom(x.real(f, r), x.ports[i]))
		}
	}
	return b.String()
}

// real is the address of a real server's that weir is told.
func (x wiring) real(f family, name string) netip.Addr {
	n := x.topology.Node(name)
	if len(n.Loopback) > 0 && f.vip.Is4() || len(n.Loopback) == 0 && !strings.HasSuffix(f.name, "v6") {
		return n.Addr4()
	}
	return n.Addr6()
}

// inEach runs a scenario in each wiring, family and world.
func inEach(t *testing.T, scenario func(t *testing.T, w lab.World, x wiring, f family)) {
	for _, x := range wirings() {
		t.Run(x.name(), func(t *testing.T) {
			for _, f := range x.families {
				t.Run(f.name, func(t *testing.T) {
					labtest.Run(t, x.topology, func(t *testing.T, w lab.World) {
						startWeir(t, w, x.services(f))
						scenario(t, w, x, f)
					})
				})
			}
		})
	}
}

// The table of DESIGN's two axes, from captures on the links of client and
// real servers: what each method changes in TCP and UDP, both ways, and that
// nothing else changes.
func TestEachMethodChangesWhatItsTableSays(t *testing.T) {
	inEach(t, func(t *testing.T, w lab.World, x wiring, f family) {
		for i, c := range conversations(t, w, x, f) {
			client, server := x.capturePair(t, c)
			if i%2 == 0 {
				x.holds(t, f, "request: "+c.payload, x.request, client, server)
			} else {
				x.holds(t, f, "reply: "+c.payload, x.reply, server, client)
			}
		}
	})
}

// A port that nobody serves is refused by an ICMP error, which reaches the
// client's socket however the packet came to the real server: it is from the
// VIP and about the packet that the client sent.
func TestPortUnreachableReachesTheClientInEachMethod(t *testing.T) {
	inEach(t, func(t *testing.T, w lab.World, x wiring, f family) {
		seen, err := w.Capture("client1", x.topology.Node("client1").Interfaces[0].Segment)
		if err != nil {
			t.Fatal(err)
		}
		c := dial(t, w, "udp", f.at(53))
		if _, err := c.Write([]byte("anybody?")); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 100)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("read %d bytes and %v, want connection refused", n, err)
		}
		if err := seen.Stop(); err != nil {
			t.Fatal(err)
		}
		for _, p := range parsed(t, received(seen.Frames())) {
			var q packet.Packet
			if !p.IsICMPError() || p.Quote(&q) != packet.OK {
				continue
			}
			checksums(t, p)
			got := fmt.Sprintf("%v > %v about %s > %s", p.Src(), p.Dst(), end(q.Src(), q.SrcPort), end(q.Dst(), q.DstPort))
			client := netip.MustParseAddrPort(c.LocalAddr().String())
			if want := fmt.Sprintf("%v > %v about %s > %s", f.vip, client.Addr(), client, f.at(53)); got != want {
				t.Errorf("the error says %s, want %s", got, want)
			}
			return
		}
		t.Error("no error was captured")
	})
}

// holds compares a packet before and after weir with a row of the table.
func (x wiring) holds(t *testing.T, f family, what string, r row, before, after *packet.Packet) {
	t.Helper()
	for _, p := range []*packet.Packet{before, after} {
		checksums(t, p)
	}
	ends := func(p *packet.Packet, src, dst string) string {
		return fmt.Sprintf("%s > %s", or(src, end(p.Src(), p.SrcPort)), or(dst, end(p.Dst(), p.DstPort)))
	}
	want := ends(before, x.end(r.src, f, before, after, true), x.end(r.dst, f, before, after, false))
	if got := ends(after, "", ""); got != want {
		t.Errorf("%s: arrived as %s, want %s", what, got, want)
	}
	if before.TTL()-after.TTL() != r.hops {
		t.Errorf("%s: TTL %d became %d, want %d less", what, before.TTL(), after.TTL(), r.hops)
	}
	links := func(p *packet.Packet, src, dst string) string {
		return fmt.Sprintf("%s > %s", or(src, p.SrcMAC().String()), or(dst, p.DstMAC().String()))
	}
	want = links(before, x.station(r.srcMAC, after), x.station(r.dstMAC, after))
	if got := links(after, "", ""); got != want {
		t.Errorf("%s: MACs %s became %s, want %s", what, links(before, "", ""), got, want)
	}
	if before.Version != after.Version {
		if !bytes.Equal(before.PayloadBytes(), after.PayloadBytes()) || before.TOS() != after.TOS() {
			t.Errorf("%s: something else changed:\n%v\n%v", what, before, after)
		}
		return
	}
	if a, b := untouched(before), untouched(after); !bytes.Equal(a, b) {
		t.Errorf("%s: something else changed:\n%x\n%x", what, a, b)
	}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func end(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

// end is what a row's word stands for; "" for nothing new. Whom a scheduler or
// a pool gave is read from the packet, and must be one of those configured.
func (x wiring) end(word string, f family, before, after *packet.Packet, source bool) string {
	i := 0
	if before.Proto == packet.UDP {
		i = 1
	}
	switch word {
	case "vip":
		return end(f.vip, []uint16{80, 53}[i])
	case "real":
		for _, r := range []string{"real1", "real2"} {
			if x.real(f, r) == after.Dst() {
				return end(after.Dst(), x.ports[i])
			}
		}
		return "a real server"
	case "pool":
		if slices.Contains(x.topology.Weir.Pool, after.Src()) && after.SrcPort >= 1024 {
			return end(after.Src(), after.SrcPort)
		}
		return "the pool"
	case "client":
		n := x.topology.Node("client1")
		if after.Dst() == n.Addr4() || after.Dst() == n.Addr6() {
			return end(after.Dst(), after.DstPort)
		}
		return "the client"
	}
	return ""
}

// station is the MAC that a row's word stands for, on the link where p was seen.
func (x wiring) station(word string, p *packet.Packet) string {
	mac := func(node string) string { return x.topology.Node(node).Interfaces[0].MAC.String() }
	switch word {
	case "client":
		return mac("client1")
	case "real":
		if m := p.DstMAC().String(); m == mac("real1") || m == mac("real2") {
			return m
		}
		return "a real server"
	case "weir":
		return x.topology.Weir.Ports[0].MAC.String()
	case "gateway": // number 1 of either segment
		if m := p.SrcMAC(); m == (packet.MAC{2, 0, 0, 1, 0, 1}) || m == (packet.MAC{2, 0, 0, 2, 0, 1}) {
			return m.String()
		}
		return "the gateway"
	}
	return ""
}

// capturePair finds the conversation's packet on the links of client and real
// server. A tunnel's is taken out of it, with the MACs of the outer one.
func (x wiring) capturePair(t *testing.T, c conversation) (client, server *packet.Packet) {
	t.Helper()
	var found [2]*packet.Packet
	for side, frames := range c.frames {
		for _, p := range parsed(t, frames) {
			if x.tunnel != nil && side == 1 {
				x.open(t, p)
			}
			if p.Proto == c.proto && p.HasL4 && string(p.PayloadBytes()) == c.payload && found[side] == nil {
				found[side] = p
			}
		}
		if found[side] == nil {
			t.Fatalf("%s: not seen on link %d", c.payload, side)
		}
	}
	return found[0], found[1]
}

// open takes a packet out of its tunnel, after a look at the outer one.
func (x wiring) open(t *testing.T, p *packet.Packet) {
	t.Helper()
	d, err := tunnel.NewDecap(*x.tunnel)
	if err != nil {
		t.Fatal(err)
	}
	outer, ttl := *p, p.TTL()
	if d.Pop(p) != packet.OK {
		return
	}
	want := uint8(64)
	if x.topology.Name == "host" {
		want--
	}
	if ttl != want {
		t.Errorf("the outer TTL is %d, want %d", ttl, want)
	}
	p.SetHop(&packet.Hop{Link: packet.LinkEthernet, Src: outer.SrcMAC(), Dst: outer.DstMAC()})
}
