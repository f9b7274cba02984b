package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
)

func TestMain(m *testing.M) { os.Exit(labtest.Main(m)) }

// bounded is a context for one exchange: long enough for a busy machine, short
// enough for a test that has lost its packets.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// echoTCP accepts connections at addr until the test ends and sends back what
// comes.
func echoTCP(t testing.TB, h lab.Host, addr netip.AddrPort) {
	ln, err := h.Listen("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() { // ends when the listener is closed
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // ends when the client or the test closes
				defer conn.Close()
				defer context.AfterFunc(t.Context(), func() { conn.Close() })()
				io.Copy(conn, conn)
			}()
		}
	}()
}

// echoUDP answers datagrams at addr with themselves until the test ends.
func echoUDP(t testing.TB, h lab.Host, addr netip.AddrPort) {
	conn, err := h.ListenPacket("udp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() { // ends when the socket is closed
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			conn.WriteTo(buf[:n], from)
		}
	}()
}

// exchange sends size bytes to addr and wants them back.
func exchange(t testing.TB, h lab.Host, network string, addr netip.AddrPort, size int) {
	t.Helper()
	ctx := bounded(t)
	conn, err := h.Dial(ctx, network, addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	sent := bytes.Repeat([]byte("weir"), size/4)
	failed := make(chan error, 1)
	go func() { _, err := conn.Write(sent); failed <- err }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("%s echo from %s: %v", network, addr, err)
	}
	if err := <-failed; err != nil {
		t.Fatalf("%s to %s: %v", network, addr, err)
	}
	if !bytes.Equal(got, sent) {
		t.Fatalf("%s echo from %s is not what was sent", network, addr)
	}
}

func TestHostsReachEachOtherThroughARouter(t *testing.T) {
	for _, row := range []struct {
		rule    string
		hosts   int
		offload bool
	}{
		{rule: "two stations on a segment", hosts: 1},
		{rule: "four stations on a segment", hosts: 3},
		{rule: "with offloads on", hosts: 1, offload: true},
	} {
		t.Run(row.rule, func(t *testing.T) {
			topology := lab.HostTopology(row.hosts, row.hosts)
			topology.Offload = row.offload
			labtest.Run(t, topology, reachability)
		})
	}
}

// reachability: the hosts of the host topology reach each other through its
// router, without weir.
func reachability(t *testing.T, w lab.World) {
	client, real := w.Host("client1"), w.Host("real1")
	for _, to := range []netip.Addr{real.Addr4(), real.Addr6()} {
		addr := netip.AddrPortFrom(to, 7)
		echoTCP(t, real, addr)
		echoUDP(t, real, addr)
		t.Run(fmt.Sprintf("ping reaches %s", to), func(t *testing.T) {
			if rtt, err := client.Ping(bounded(t), to); err != nil || rtt <= 0 {
				t.Fatalf("ping took %v: %v", rtt, err)
			}
		})
		t.Run(fmt.Sprintf("UDP reaches %s and its answer comes back", to), func(t *testing.T) {
			exchange(t, client, "udp", addr, 1000)
		})
		t.Run(fmt.Sprintf("a megabyte over TCP comes back from %s", to), func(t *testing.T) {
			exchange(t, client, "tcp", addr, 1<<20)
		})
		t.Run(fmt.Sprintf("a port of %s that nobody serves refuses", to), func(t *testing.T) {
			conn, err := client.Dial(bounded(t), "tcp", netip.AddrPortFrom(to, 9).String())
			if err == nil {
				conn.Close()
			}
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("the answer is %v", err)
			}
		})
	}
}

func TestCapturesAreEvidence(t *testing.T) {
	labtest.Run(t, lab.HostTopology(2, 1), evidence)
}

// evidence: captures at both ends of a connection show the same segments, one hop apart,
// with every checksum right.
func evidence(t *testing.T, w lab.World) {
	client, real := w.Host("client1"), w.Host("real1")
	captures := map[string]*lab.Capture{}
	for host, segment := range map[string]string{"client1": lab.ClientSegment, "real1": lab.ServerSegment} {
		c, err := w.Capture(host, segment)
		if err != nil {
			t.Fatal(err)
		}
		captures[host] = c
	}
	for _, to := range []netip.Addr{real.Addr4(), real.Addr6()} {
		addr := netip.AddrPortFrom(to, 7)
		echoTCP(t, real, addr)
		echoUDP(t, real, addr)
		exchange(t, client, "tcp", addr, 100_000)
		exchange(t, client, "udp", addr, 1000)
		if _, err := client.Ping(bounded(t), to); err != nil {
			t.Fatal(err)
		}
	}
	for host, c := range captures {
		_, err := c.Await(bounded(t), func(f lab.Frame) bool { return f.Out == (host == "client1") && carries(f, layers.LayerTypeTCP) })
		if err != nil {
			t.Fatalf("at %s: %v", host, err)
		}
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		if c.Lost() > 0 {
			t.Errorf("at %s: %d frames lost", host, c.Lost())
		}
	}
	for host, c := range captures {
		seen := map[gopacket.LayerType]int{}
		for i, f := range c.Frames() {
			if f.Partial {
				t.Errorf("at %s: frame %d has a partial checksum", host, i)
			}
			p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Default)
			for _, l := range p.Layers() {
				seen[l.LayerType()]++
			}
			checkSums(t, fmt.Sprintf("at %s: frame %d", host, i), f.Data)
			wantTTL(t, fmt.Sprintf("at %s: frame %d", host, i), p, f.Out)
		}
		for _, want := range []gopacket.LayerType{
			layers.LayerTypeARP, layers.LayerTypeICMPv4, layers.LayerTypeICMPv6Echo, layers.LayerTypeIPv4,
			layers.LayerTypeIPv6, layers.LayerTypeTCP, layers.LayerTypeUDP,
		} {
			if seen[want] == 0 {
				t.Errorf("at %s: no %s was captured", host, want)
			}
		}
	}
}

func carries(f lab.Frame, what gopacket.LayerType) bool {
	return gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Default).Layer(what) != nil
}

// wantTTL: whoever is at the other end is one router away, so what a station
// receives has one hop less than what it sends.
func wantTTL(t *testing.T, what string, p gopacket.Packet, out bool) {
	t.Helper()
	want := uint8(63)
	if out {
		want = 64
	}
	if p.Layer(layers.LayerTypeTCP) == nil && p.Layer(layers.LayerTypeUDP) == nil {
		return // neighbour discovery does not cross routers
	}
	if ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok && ip.TTL != want {
		t.Errorf("%s: TTL %d, want %d", what, ip.TTL, want)
	}
	if ip, ok := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6); ok && ip.HopLimit != want {
		t.Errorf("%s: hop limit %d, want %d", what, ip.HopLimit, want)
	}
}

// A ping that cannot arrive ends with the router's word for it, not with the
// caller's patience.
func TestPingSaysWhyThereIsNoReply(t *testing.T) {
	labtest.Run(t, lab.HostTopology(1, 1), func(t *testing.T, w lab.World) {
		for _, row := range []struct{ to, want string }{
			{"10.9.9.9", "10.1.0.1 says: destination unreachable"},
			{"fd00:9::9", "fd00:1::1 says: destination unreachable"},
		} {
			_, err := w.Host("client1").Ping(bounded(t), netip.MustParseAddr(row.to))
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("ping %s: %v; want that %s", row.to, err, row.want)
			}
		}
	})
}

func TestAddressesAreLiteral(t *testing.T) {
	labtest.Run(t, lab.HostTopology(1, 1), func(t *testing.T, w lab.World) {
		h := w.Host("client1")
		_, dial := h.Dial(bounded(t), "tcp", "localhost:80")
		_, listen := h.Listen("tcp", ":80")
		_, packets := h.ListenPacket("udp", "10.1.0.11")
		for what, err := range map[string]error{"dial localhost:80": dial, "listen :80": listen, "listen 10.1.0.11": packets} {
			if err == nil || !strings.Contains(err.Error(), "must be literal") {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// checkSums builds the packet anew with computed checksums: a right one comes
// out as it was.
func checkSums(t *testing.T, what string, frame []byte) {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	var parts []gopacket.SerializableLayer
	for _, l := range p.Layers() {
		part, ok := l.(gopacket.SerializableLayer)
		if !ok {
			return // a kind that gopacket cannot write: nothing to compare with
		}
		parts = append(parts, part)
		if sum, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok { // TCP, UDP or ICMPv6: what they carry has no checksum of its own
			sum.SetNetworkLayerForChecksum(p.NetworkLayer())
			parts = append(parts, gopacket.Payload(l.LayerPayload()))
			break
		}
	}
	out := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{ComputeChecksums: true}, parts...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	// gopacket pads to 60 bytes, as a card would; a veth does not.
	if want := out.Bytes(); !bytes.Equal(frame, want[:min(len(want), len(frame))]) {
		t.Errorf("%s: a checksum is wrong\n got %x\nwant %x", what, frame, want)
	}
}
