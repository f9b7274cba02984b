package endpoint

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"weir/netstack/packet"
	"weir/tunnel"
)

// TestTCP has a kernel's client talk to a kernel's server on the VIP, forth by
// every kind of tunnel, back directly: 1 MB each way, whole.
func TestTCP(t *testing.T) {
	for _, format := range tunnel.Types {
		for _, outer := range []uint8{4, 6} {
			for _, inner := range []uint8{4, 6} {
				t.Run(fmt.Sprintf("%s %din%d", format, inner, outer), func(t *testing.T) {
					w := newWorld(t)
					e, _ := w.start(Config{VIPs: []netip.Addr{vip4, vip6}})
					defer w.direct(encap(t, format, outer))()
					w.converse(inner)
					c := e.Counters()
					if c.Packets == 0 || c.Formats[format.String()] != c.Packets || len(c.Drops) > 0 || c.Overflow > 0 {
						t.Errorf("counters: %+v", c)
					}
					t.Logf("%d packets in %d writes", c.Packets, c.Writes)
				})
			}
		}
	}
}

// talk are the addresses of a conversation over an IP version.
func talk(version uint8) (client, vip netip.Addr) {
	if version == 6 {
		return client6, vip6
	}
	return client4, vip4
}

// converse sends 1 MB to the VIP, has it echoed, and compares.
func (w *world) converse(version uint8) {
	w.t.Helper()
	client, vip := talk(version)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var server net.Listener
	within(w.t, w.real, func() {
		var err error
		server, err = new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(vip, 80).String())
		must(w.t, err)
	})
	defer server.Close()
	echoed := make(chan error, 1)
	go func() {
		conn, err := server.Accept()
		if err == nil {
			_, err = io.Copy(conn, conn)
			conn.Close()
		}
		echoed <- err
	}()
	var conn net.Conn
	within(w.t, w.front, func() {
		var err error
		dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(client, 0))}
		conn, err = dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(vip, 80).String())
		must(w.t, err)
	})
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	must(w.t, conn.SetDeadline(deadline))
	sent := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(sent)
	go func() {
		_, _ = conn.Write(sent) // what is missing, the comparison shows
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	must(w.t, err)
	must(w.t, <-echoed)
	if !bytes.Equal(got, sent) {
		w.t.Fatalf("%d bytes came back, not the %d that were sent", len(got), len(sent))
	}
}

// TestRefused sends what must not be delivered, and sees by its reason that it
// came; then a packet that must, to the same server.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(Config{VIPs: []netip.Addr{vip4, vip6}, Directors: []netip.Prefix{netip.MustParsePrefix("10.2.0.1/32"), netip.MustParsePrefix("fd00:2::1/128")}})
	var server net.PacketConn
	within(t, w.real, func() {
		var err error
		server, err = new(net.ListenConfig).ListenPacket(t.Context(), "udp", "0.0.0.0:53")
		must(t, err)
	})
	defer server.Close()
	const good = "udp 198.51.100.9:4000 > 192.0.2.10:53 len 4"
	for _, row := range []struct {
		name, inner string
		src         netip.Addr // of the outer packet; zero is the director
		reason      packet.Reason
	}{
		{name: "from a stranger in the director's network", inner: good, src: addr("10.2.0.77"), reason: packet.TunnelStranger},
		{name: "to an address of the real server that is no VIP", inner: "udp 198.51.100.9:4000 > 10.2.0.2:53", reason: packet.TunnelDestination},
		{name: "to somebody else", inner: "udp 198.51.100.9:4000 > 203.0.113.5:53", reason: packet.TunnelDestination},
		{name: "from the real server's own address", inner: "udp 10.2.0.2:4000 > 192.0.2.10:53", reason: packet.SpoofedSource},
		{name: "from the VIP itself", inner: "udp 192.0.2.10:4000 > 192.0.2.10:53", reason: packet.Land},
		{name: "from another VIP", inner: "udp [2001:db8:f::10]:4000 > [2001:db8:f::10]:53", reason: packet.Land},
		{name: "from the real server's address of the other family", inner: "udp [fd00:2::2]:4000 > [2001:db8:f::10]:53", reason: packet.SpoofedSource},
		{name: "from loopback", inner: "udp 127.0.0.1:4000 > 192.0.2.10:53", reason: packet.Martian},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, format := range tunnel.Types {
				src := row.src
				if !src.IsValid() {
					src = dip4
				}
				enc, err := tunnel.New(tunnel.Config{Type: format, Src: src, Dst: rip4})
				must(t, err)
				p := build(t, row.inner)
				before := e.Counters().Drops[row.reason.String()]
				if r := enc.Push(p, 1); r != packet.OK {
					// Push has an eye for loops of its own; what it leaves
					// makes a packet that no weir sends.
					forge(t, p, row.inner, src)
				}
				w.send(p)
				w.await(func() bool { return e.Counters().Drops[row.reason.String()] > before })
			}
		})
	}
	t.Run("a tunnel in a tunnel", func(t *testing.T) {
		for _, outer := range tunnel.Types {
			for _, inner := range tunnel.Types {
				p := build(t, good)
				inside, err := tunnel.New(tunnel.Config{Type: inner, Src: client4, Dst: vip4})
				must(t, err)
				must(t, reason(inside.Push(p, 1)))
				must(t, reason(encap(t, outer, 4).Push(p, 1)))
				before := e.Counters().Drops[packet.TunnelNested.String()]
				w.send(p)
				w.await(func() bool { return e.Counters().Drops[packet.TunnelNested.String()] > before })
			}
		}
	})
	t.Run("a tunnel to the VIP itself", func(t *testing.T) {
		p := build(t, good)
		enc, err := tunnel.New(tunnel.Config{Type: tunnel.IPIP, Src: dip4, Dst: vip4})
		must(t, err)
		must(t, reason(enc.Push(p, 1)))
		before := e.Counters().Drops[packet.NotTunnel.String()]
		w.send(p)
		w.await(func() bool { return e.Counters().Drops[packet.NotTunnel.String()] > before })
	})
	if n := e.Counters().Packets; n != 0 {
		t.Fatalf("%d packets were delivered", n)
	}
	p := build(t, good)
	must(t, reason(encap(t, tunnel.IPIP, 4).Push(p, 1)))
	w.send(p)
	must(t, server.SetDeadline(time.Now().Add(5*time.Second)))
	got := make([]byte, 100)
	n, from, err := server.ReadFrom(got)
	must(t, err)
	if n != 4 || from.String() != "198.51.100.9:4000" {
		t.Errorf("the server got %d bytes from %s", n, from)
	}
}

// TestGarbage sends what is no tunnel packet but in its outer header, from a
// director, to every socket. Nothing is delivered, and what comes next is.
func TestGarbage(t *testing.T) {
	w := newWorld(t)
	e, _ := w.start(Config{VIPs: []netip.Addr{vip4, vip6}})
	server := w.listen(4)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		for _, version := range []uint8{4, 6} {
			src, dst := ends(version)
			for _, o := range []outer{
				{proto: packet.IPIP}, {proto: packet.IPv6}, {proto: packet.GRE},
				{proto: packet.UDP, sport: 50000, dport: tunnel.PortGUE}, {proto: packet.UDP, sport: 50000, dport: tunnel.PortVXLAN},
			} {
				o.src, o.dst, o.tos = packet.AddrFrom(src), packet.AddrFrom(dst), uint8(rng.Uint32())
				garbage := make([]byte, rng.IntN(1400))
				for i := range garbage {
					garbage[i] = byte(rng.Uint32())
				}
				if len(garbage) > 0 && rng.IntN(2) == 0 {
					garbage[0] = []byte{0x45, 0x60, 0, 8}[rng.IntN(4)]
				}
				p := new(packet.Packet)
				p.Load(garbage)
				o.wrap(p)
				p.Parse(packet.LinkRaw)
				w.send(p)
			}
		}
	}
	p := build(t, "udp 198.51.100.9:4000 > 192.0.2.10:53 len 4")
	must(t, reason(encap(t, tunnel.VXLAN, 6).Push(p, 1)))
	w.send(p)
	_, _, err := server.ReadFrom(make([]byte, 100))
	must(t, err)
	w.await(func() bool { // other sockets may still have some
		drops := uint64(0)
		for _, n := range e.Counters().Drops {
			drops += n
		}
		return drops == 300*2*5
	})
	if c := e.Counters(); c.Packets != 1 {
		t.Errorf("counters: %+v", c)
	}
}

// reason is an error, so that a row can end the test.
func reason(r packet.Reason) error {
	if r != packet.OK {
		return fmt.Errorf("refused: %s", r)
	}
	return nil
}

func build(t *testing.T, text string) *packet.Packet {
	t.Helper()
	p := new(packet.Packet)
	must(t, packet.Build(p, text))
	return p
}

// forge makes p an IP-in-IP packet from src that Push would not make.
func forge(t *testing.T, p *packet.Packet, inner string, src netip.Addr) {
	t.Helper()
	p.Load(bytes.Clone(build(t, inner).Bytes()))
	o := outer{src: packet.AddrFrom(src), dst: packet.AddrFrom(rip4), proto: packet.IPIP}
	o.wrap(p)
	must(t, reason(p.Parse(packet.LinkRaw)))
}

// await polls for what another goroutine counts.
func (w *world) await(ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("nothing was counted for 5 s")
		}
	}
}
