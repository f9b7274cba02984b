package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"weir/appliance"
	"weir/e2e/hostile"
	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
	"weir/netstack/packet"
	"weir/netstack/packet/packettest"
)

// correspondence is a connection through the VIP, and what is needed to lie
// about it.
type correspondence struct {
	family
	conn           net.Conn
	r              *bufio.Reader
	client, server netip.AddrPort // the server's as it is behind weir
	real           string         // who serves it
}

func correspond(t *testing.T, w lab.World, f family) *correspondence {
	c := &correspondence{family: f, conn: dial(t, w, "tcp", f.at(80))}
	c.r = bufio.NewReader(c.conn)
	c.real = c.ask(t, 10)
	c.client = c.conn.LocalAddr().(*net.TCPAddr).AddrPort()
	c.server = netip.AddrPortFrom(f.of(w.Host(c.real)), 8080)
	return c
}

// ask wants a line of some length back, and who sent it.
func (c *correspondence) ask(t *testing.T, size int) (who string) {
	t.Helper()
	line := "stay " + strings.Repeat("x", size) + "\n"
	if _, err := io.WriteString(c.conn, line); err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	answer, err := c.r.ReadString('\n')
	who, rest, _ := strings.Cut(answer, " ")
	if err != nil || rest != line {
		t.Fatalf("%s: %d bytes were answered with %d: %v", c.name, len(line), len(rest), err)
	}
	return who
}

// icmpWord is the protocol's name in the text form of packets.
func (c *correspondence) icmpWord() string {
	if c.vip.Is6() {
		return "icmp6"
	}
	return "icmp"
}

// forged is the frame of a packet in text form.
func forged(t *testing.T, from, to packet.MAC, format string, args ...any) []byte {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	var p packet.Packet
	if err := packet.Build(&p, text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	p.SetHop(&packet.Hop{Link: packet.LinkEthernet, Src: from, Dst: to})
	return p.Bytes()
}

// awaitError waits until a node receives an ICMP error about a packet from a
// quoted source to a quoted destination, whose second word is rest.
func awaitError(t *testing.T, seen *lab.Capture, to netip.Addr, rest uint32, from, about netip.AddrPort) (p *packet.Packet) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	f, err := seen.Await(ctx, func(f lab.Frame) bool {
		var q packet.Packet
		var why packet.Reason
		p, why = parseFrame(f.Data)
		return why == packet.OK && !f.Out && p.IsICMPError() && p.Dst() == to && p.ICMPRest() == rest && p.Quote(&q) == packet.OK &&
			netip.AddrPortFrom(q.Src(), q.SrcPort) == from && netip.AddrPortFrom(q.Dst(), q.DstPort) == about
	})
	if err != nil {
		t.Fatalf("no error to %v with %d about %v > %v: %v", to, rest, from, about, err)
	}
	for _, c := range packettest.Checksums(f.Data, packet.LinkEthernet) {
		if c.Error() != 0 {
			t.Errorf("%v: %s is %#04x, want %#04x", p, c.Name, c.Have, c.Want)
		}
	}
	return p
}

// Whoever is on the path may say what is too big, down to the least that every
// path carries: less becomes that, and the connection goes on.
func TestPathMTUHasAFloor(t *testing.T) {
	hostileErrors(t, func(t *testing.T, w lab.World, a *appliance.Appliance, s attack, c *correspondence) {
		word, floor := "frag-needed", 576
		if c.vip.Is6() {
			word, floor = "too-big", 1280
		}
		for _, mtu := range []int{0, 1, 67, 68, 575, 576, 1279, 1280, 1400} {
			for _, cut := range []string{"", "short"} {
				if cut != "" { // the least that RFC 792 has errors quote
					cut = fmt.Sprintf("cut %d ", map[bool]int{true: 28, false: 48}[c.vip.Is4()])
				}
				seen := capturesOf(t, w, lab.ServerSegment, c.real)[0]
				s.send(t, forged(t, s.From, s.To, "%s %v > %v %s mtu %d %s(tcp %v > %v A)",
					c.icmpWord(), s.src(c), c.vip, word, mtu, cut, netip.AddrPortFrom(c.vip, 80), c.client))
				p := awaitError(t, seen, c.server.Addr(), uint32(max(mtu, floor)), c.server, c.client)
				if p.Src() != s.src(c) {
					t.Errorf("%v: its source was the router %v", p, s.src(c))
				}
				if err := seen.Stop(); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.ask(t, 60_000)
	})
}

// An error about a flow that is not there ends at weir, and so does one that
// says how to route: weir goes on as before.
func TestForeignErrorsAndRedirectsEndAtWeir(t *testing.T) {
	hostileErrors(t, func(t *testing.T, w lab.World, a *appliance.Appliance, s attack, c *correspondence) {
		seen := capturesOf(t, w, lab.ServerSegment, c.real)[0]
		question := fmt.Sprintf("tcp %v > %v A", c.client, netip.AddrPortFrom(c.vip, 80))
		before, err := a.Explain(question)
		if err != nil {
			t.Fatal(err)
		}
		began := dropsBy(a)
		other := netip.AddrPortFrom(c.client.Addr(), c.client.Port()^1)
		word := map[bool]string{true: "frag-needed mtu 576", false: "too-big mtu 1280"}[c.vip.Is4()]
		for range 20 {
			s.send(t, forged(t, s.From, s.To, "%s %v > %v %s (tcp %v > %v A)",
				c.icmpWord(), s.src(c), c.vip, word, netip.AddrPortFrom(c.vip, 80), other))
			s.send(t, s.Redirect(c.client))
		}
		want := map[string]uint64{"icmp-no-flow": 20, "icmp-redirect": 20}
		var got map[string]uint64
		if !within(limit, func() bool {
			got = countedSince(began, dropsBy(a))
			delete(got, "not-forwarding") // reports of group members
			return reflect.DeepEqual(got, want)
		}) {
			t.Errorf("dropped %v, want %v", got, want)
		}
		c.ask(t, 1000)
		after, err := a.Explain(question)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(before, after) {
			t.Errorf("the way of the connection changed from\n%+v to\n%+v", before, after)
		}
		if err := seen.Stop(); err != nil {
			t.Fatal(err)
		}
		for _, p := range parsed(t, received(seen.Frames())) {
			if p.IsICMPError() || p.IsRedirect() {
				t.Errorf("%v reached the real server", p)
			}
		}
	})
}

// What a router before the real server has to say about a request reaches the
// client, about the packet that it sent.
func TestErrorsFromBehindAreTranslated(t *testing.T) {
	hostileErrors(t, func(t *testing.T, w lab.World, a *appliance.Appliance, s attack, c *correspondence) {
		router := map[string]string{"real1": "real2", "real2": "real1"}[c.real]
		behind, err := w.Inject(router, lab.ServerSegment)
		if err != nil {
			t.Fatal(err)
		}
		defer behind.Close()
		from := s.topology.Node(router).Interfaces[0].MAC
		to := packet.MAC{0x02, 0, 0, 2, 0, 1} // the real servers' gateway in every ready-made topology
		for _, says := range []string{"unreachable host", "unreachable admin", "time-exceeded"} {
			seen := capturesOf(t, w, lab.ClientSegment, "client1")[0]
			src := c.of(w.Host(router))
			frame := forged(t, from, to, "%s %v > %v %s (tcp %v > %v A)", c.icmpWord(), src, c.client.Addr(), says, c.client, c.server)
			if _, err := behind.Write(frame); err != nil {
				t.Fatal(err)
			}
			p := awaitError(t, seen, c.client.Addr(), 0, c.client, netip.AddrPortFrom(c.vip, 80))
			if p.Src() != src {
				t.Errorf("%v: its source was the router %v", p, src)
			}
			if strings.Contains(p.String(), c.server.Addr().String()+":") {
				t.Errorf("%v shows the real server", p)
			}
			if err := seen.Stop(); err != nil {
				t.Fatal(err)
			}
		}
		c.ask(t, 1000)
	})
}

// attack is the attacker's place, with a way to send.
type attack struct {
	hostile.Stage
	topology lab.Topology
	out      io.Writer
}

// src is the attacker's address in the family of a connection.
func (s *attack) src(c *correspondence) netip.Addr {
	if c.vip.Is6() {
		return s.Src[1]
	}
	return s.Src[0]
}

func (s *attack) send(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := s.out.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// hostileErrors runs a scenario about a connection of each family, everywhere.
func hostileErrors(t *testing.T, scenario func(*testing.T, lab.World, *appliance.Appliance, attack, *correspondence)) {
	for _, topology := range []lab.Topology{lab.RoutedTopology(2, 2), lab.HostTopology(2, 2)} {
		t.Run(topology.Name, func(t *testing.T) {
			labtest.Run(t, topology, func(t *testing.T, w lab.World) {
				a := startWeir(t, w, services(w))
				out, err := w.Inject("client2", lab.ClientSegment)
				if err != nil {
					t.Fatal(err)
				}
				defer out.Close()
				for _, f := range families {
					serveTCP(t, w, f, 8080, answerLines)
					c := correspond(t, w, f)
					scenario(t, w, a, attack{stageOf(topology, w), topology, out}, c)
				}
			})
		})
	}
}
