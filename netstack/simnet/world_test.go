package simnet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"weir/netstack/packet"
)

const patience = 20 * time.Second // for what should take much less

// world is the smallest network with a router in it:
//
//	client 10.1.0.9 -- lan -- .1 router .1 -- wan -- server 10.2.0.9
//	     2001:db8:1::9     ::1        ::1      2001:db8:2::9
type world struct {
	lan, wan       *Segment
	client, server *Host
	router         *Router
}

func newWorld(t *testing.T, lan, wan SegmentConfig) *world {
	t.Helper()
	lan.Name, wan.Name = "lan", "wan"
	w := &world{lan: NewSegment(lan), wan: NewSegment(wan)}
	w.router = must(NewRouter(RouterConfig{Name: "router", Ports: []Port{
		{Name: "lan", Device: w.lan.Attach("router-lan", packet.MAC{}, 0), Addresses: prefixes("10.1.0.1/24", "2001:db8:1::1/64")},
		{Name: "wan", Device: w.wan.Attach("router-wan", packet.MAC{}, 0), Addresses: prefixes("10.2.0.1/24", "2001:db8:2::1/64")},
	}}))(t)
	w.client = must(NewHost(HostConfig{Name: "client", Device: w.lan.Attach("client", packet.MAC{}, 0),
		Addresses: prefixes("10.1.0.9/24", "2001:db8:1::9/64"), Gateways: addrs("10.1.0.1", "2001:db8:1::1")}))(t)
	w.server = must(NewHost(HostConfig{Name: "server", Device: w.wan.Attach("server", packet.MAC{}, 0),
		Addresses: prefixes("10.2.0.9/24", "2001:db8:2::9/64"), Gateways: addrs("10.2.0.1", "2001:db8:2::1")}))(t)
	t.Cleanup(func() { w.close(t) })
	return w
}

func (w *world) close(t *testing.T) {
	for _, c := range []io.Closer{w.client, w.server, w.router, w.lan, w.wan} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// must turns a constructor's results into one that fails the test.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func prefixes(list ...string) (all []netip.Prefix) {
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func addrs(list ...string) (all []netip.Addr) {
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// transfer sends size random bytes from client to the server at at and back;
// what comes back must be the same.
func (w *world) transfer(t *testing.T, at string, size int) {
	t.Helper()
	l := must(w.server.Listen("tcp", netip.MustParseAddrPort(at)))(t)
	defer func() { _ = l.Close() }()
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := io.Copy(c, c); err != nil {
			t.Error(err)
		}
		_ = c.Close()
	}()
	c := must(w.client.DialContext(soon(t), "tcp", at))(t)
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	sent, got := sha256.New(), sha256.New()
	go func() {
		random := rand.NewChaCha8([32]byte{1})
		if _, err := io.Copy(io.MultiWriter(c, sent), io.LimitReader(random, int64(size))); err != nil {
			t.Error(err)
		}
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	n, err := io.Copy(got, c)
	if err != nil || n != int64(size) {
		t.Fatalf("%d of %d bytes came back, error %v", n, size, err)
	}
	if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Error("other bytes came back than were sent")
	}
}

func TestTransferThroughRouter(t *testing.T) {
	w := newWorld(t, SegmentConfig{}, SegmentConfig{})
	for _, at := range []string{"10.2.0.9:80", "[2001:db8:2::9]:80"} {
		w.transfer(t, at, 8<<20)
	}
	if c := w.router.Stack().Counters(); c.Forwarded < 20_000/2 {
		t.Errorf("the router forwarded %d packets only", c.Forwarded)
	}
}

func TestTransferSurvivesLoss(t *testing.T) {
	lossy := SegmentConfig{}
	lossy.Faults.Loss, lossy.Faults.Duplicate, lossy.Faults.Reorder, lossy.Faults.Corrupt, lossy.Faults.Seed = 0.01, 0.01, 0.01, 0.002, 1
	w := newWorld(t, lossy, SegmentConfig{})
	w.transfer(t, "10.2.0.9:80", 1<<20)
}

// The client's segments are larger than the link behind the router carries:
// the router's errors teach it the path's MTU.
func TestPathMTUDiscovery(t *testing.T) {
	w := newWorld(t, SegmentConfig{}, SegmentConfig{MTU: 1300})
	for _, at := range []string{"10.2.0.9:80", "[2001:db8:2::9]:80"} {
		w.transfer(t, at, 300<<10)
	}
	if n := w.wan.Lost(); n != 0 {
		t.Errorf("%d frames larger than the MTU reached the link", n)
	}
}

func TestUDPThroughRouter(t *testing.T) {
	w := newWorld(t, SegmentConfig{}, SegmentConfig{})
	for _, at := range []string{"10.2.0.9:53", "[2001:db8:2::9]:53"} {
		server := must(w.server.ListenPacket("udp", netip.MustParseAddrPort(at)))(t)
		go func() {
			b := make([]byte, 2000)
			n, from, err := server.ReadFrom(b)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := server.WriteTo(b[:n], from); err != nil {
				t.Error(err)
			}
		}()
		c := must(w.client.DialContext(soon(t), "udp", at))(t)
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n, err := c.Read(b); err != nil || string(b[:n]) != "hello" {
			t.Errorf("%s: %q came back, error %v", at, b[:n], err)
		}
	}
}

func TestPing(t *testing.T) {
	w := newWorld(t, SegmentConfig{}, SegmentConfig{MTU: 1280})
	for _, test := range []struct {
		name string
		ping Ping
		want Reply
	}{
		{"a host behind the router replies, its reply one hop older", Ping{To: addr("10.2.0.9")},
			Reply{From: addr("10.2.0.9"), TTL: 63}},
		{"over IPv6", Ping{To: addr("2001:db8:2::9")}, Reply{From: addr("2001:db8:2::9"), TTL: 63}},
		{"the router replies itself", Ping{To: addr("10.1.0.1")}, Reply{From: addr("10.1.0.1"), TTL: 64}},
		{"as its far address too", Ping{To: addr("10.2.0.1")}, Reply{From: addr("10.2.0.1"), TTL: 64}},
		{"with TTL 1 it ends at the router", Ping{To: addr("10.2.0.9"), TTL: 1},
			Reply{From: addr("10.1.0.1"), TTL: 64, Error: packet.AnswerTimeExceeded}},
		{"with hop limit 1 it ends at the router", Ping{To: addr("2001:db8:2::9"), TTL: 1},
			Reply{From: addr("2001:db8:1::1"), TTL: 64, Error: packet.AnswerTimeExceeded}},
		{"with TTL 2 it arrives", Ping{To: addr("10.2.0.9"), TTL: 2}, Reply{From: addr("10.2.0.9"), TTL: 63}},
		{"nobody is there", Ping{To: addr("10.2.0.77")},
			Reply{From: addr("10.1.0.1"), TTL: 64, Error: packet.AnswerHostUnreachable}},
		{"the router knows no way", Ping{To: addr("10.3.0.1")},
			Reply{From: addr("10.1.0.1"), TTL: 64, Error: packet.AnswerNetUnreachable}},
		{"IPv6 is not fragmented on the way", Ping{To: addr("2001:db8:2::9"), Size: 1400},
			Reply{From: addr("2001:db8:1::1"), TTL: 64, Error: packet.AnswerTooBig, MTU: 1280}},
		{"IPv4 is, and put together at the end", Ping{To: addr("10.2.0.9"), Size: 1400},
			Reply{From: addr("10.2.0.9"), TTL: 63}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := w.client.Ping(soon(t), test.ping)
			if err != nil {
				t.Fatal(err)
			}
			if got.After <= 0 {
				t.Errorf("the reply took %v", got.After)
			}
			got.After = 0
			if got != test.want {
				t.Errorf("reply %+v, want %+v", got, test.want)
			}
		})
	}
	if len(w.client.hook.waiting) != 0 || w.client.hook.any.Load() != 0 {
		t.Error("pings that have ended are still waited for")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := w.client.Ping(ctx, Ping{To: addr("10.1.0.50")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a ping without reply: %v", err)
	}
}

func addr(a string) netip.Addr { return netip.MustParseAddr(a) }

func TestTraceroute(t *testing.T) {
	w := newWorld(t, SegmentConfig{}, SegmentConfig{})
	var path []netip.Addr
	for ttl := uint8(1); ttl < 5; ttl++ {
		r, err := w.client.Ping(soon(t), Ping{To: addr("10.2.0.9"), TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		path = append(path, r.From)
		if r.Error == packet.AnswerNone {
			break
		}
	}
	if len(path) != 2 || path[0] != addr("10.1.0.1") || path[1] != addr("10.2.0.9") {
		t.Errorf("the path is %v", path)
	}
}

// What is broken is said in one line that names the host.
func TestConfigurationErrors(t *testing.T) {
	s := NewSegment(SegmentConfig{Name: "lan"})
	defer func() { _ = s.Close() }()
	if _, err := NewHost(HostConfig{Name: "h", Device: s.Attach("h", packet.MAC{}, 0), Gateways: addrs("10.0.0.1")}); err == nil {
		t.Error("a gateway on no network was taken")
	}
	port := Port{Name: "lan", Device: s.Attach("r", packet.MAC{}, 0)}
	for _, rule := range []Rule{{Out: "lan"}, {Out: "tun"}, {In: "wan", Out: "lan"}} {
		if _, err := NewRouter(RouterConfig{Name: "r", Ports: []Port{port}, Rules: []Rule{rule}}); err == nil {
			t.Errorf("rule %+v was taken", rule)
		}
	}
	h := must(NewHost(HostConfig{Name: "h2", Device: s.Attach("h2", packet.MAC{}, 0)}))(t)
	defer func() { _ = h.Close() }()
	if _, err := h.DialContext(t.Context(), "tcp", "www:80"); err == nil {
		t.Error("a name was dialled")
	}
}
