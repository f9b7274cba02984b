package appliance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/appliance/announce"
	"weir/appliance/config"
	"weir/netstack"
	"weir/netstack/device"
)

// patience is for what must happen, and soon does.
const patience = 20 * time.Second

// cables are the devices of an appliance whose ports end on wires; the other
// ends are left for stations.
type cables struct {
	near, far map[string]device.Device // by the port's name
	opened    []*watched
	fail      string // port that cannot be opened
}

// watched is a device that knows whether it was closed.
type watched struct {
	device.Device
	mu     sync.Mutex
	closed bool
}

func (w *watched) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	return w.Device.Close()
}

func layCables(cfg *config.Config) *cables {
	c := &cables{near: map[string]device.Device{}, far: map[string]device.Device{}}
	for _, p := range cfg.Ports {
		kind := device.TAP
		if p.Kind == config.PortTUN {
			kind = device.TUN
		}
		c.near[p.Name], c.far[p.Name] = device.NewWire(
			device.WireConfig{Name: p.Device, Kind: kind, MTU: p.MTU, MAC: p.MAC}, device.WireConfig{Name: "far-" + p.Name, Kind: kind, MTU: p.MTU})
	}
	return c
}

func (c *cables) open(p config.Port) (device.Device, error) {
	if p.Name == c.fail {
		return nil, errors.New("out of devices")
	}
	w := &watched{Device: c.near[p.Name]}
	c.opened = append(c.opened, w)
	return w, nil
}

func (c *cables) allClosed(t *testing.T) {
	t.Helper()
	for _, w := range c.opened {
		w.mu.Lock()
		if !w.closed {
			t.Errorf("device %s is still open", w.Name())
		}
		w.mu.Unlock()
	}
}

// run runs a task until the test ends; it must then end without an error, but
// for that of a cable whose other end was let go first.
func run(t *testing.T, tk task) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- tk.Run(ctx) }() // until the cleanup
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, device.ErrRemoved) {
			t.Errorf("%s: %v", tk, err)
		}
	})
	waitFor(t, tk.String()+" is ready", tk.Ready())
}

func waitFor(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		buf := make([]byte, 1<<16)
		t.Fatalf("waited in vain: %s\n%s", what, buf[:runtime.Stack(buf, true)])
	}
}

// start runs an appliance over cables.
func start(t *testing.T, text string, change func(*Options)) (*Appliance, *cables) {
	t.Helper()
	cfg := configOf(t, text)
	c := layCables(cfg)
	o := Options{OpenDevice: c.open, Host: announce.None}
	if change != nil {
		change(&o)
	}
	a, err := New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)
	return a, c
}

// station is a host at the far end of a cable: weir's own stack, with nothing
// of the load balancer.
func station(t *testing.T, d device.Device, addresses ...string) *netstack.Stack {
	t.Helper()
	cfg := netstack.Config{Ports: []netstack.PortConfig{{Name: d.Name(), Device: d, SharedThread: true}}}
	for _, a := range addresses {
		own := netip.MustParsePrefix(a)
		cfg.Ports[0].Addresses = append(cfg.Ports[0].Addresses, own)
		// The gateway is number 1 of the network: weir.
		cfg.Routes = append(cfg.Routes, netstack.Route{To: netip.PrefixFrom(unspecified(own.Addr()), 0), Via: own.Masked().Addr().Next()})
	}
	s, err := netstack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	run(t, s)
	return s
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// serve answers each line on TCP, and each datagram on UDP, with name and the
// line.
func serve(t *testing.T, s *netstack.Stack, name string, at ...string) {
	t.Helper()
	for _, a := range at {
		addr := netip.MustParseAddrPort(a)
		l, err := s.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		pc, err := s.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close(); pc.Close() })
		go func() { // until the listener is closed
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go echo(conn, name)
			}
		}()
		go func() { // until pc is closed
			b := make([]byte, 65536)
			for {
				n, from, err := pc.ReadFrom(b)
				if err != nil {
					return
				}
				pc.WriteTo([]byte(name+" "+string(b[:n])), from)
			}
		}()
	}
}

func echo(conn net.Conn, name string) { // until the client closes
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		fmt.Fprintf(conn, "%s %s\n", name, lines.Text())
	}
}

// client is one connection through the VIP.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dial(t *testing.T, s *netstack.Stack, network, to string) *client {
	t.Helper()
	conn, err := tryDial(s, network, to)
	if err != nil {
		t.Fatalf("dial %s %s: %v", network, to, err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn, bufio.NewReader(conn)}
}

func tryDial(s *netstack.Stack, network, to string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.Dial(ctx, network, netip.AddrPort{}, netip.MustParseAddrPort(to))
}

// ask sends a line and returns the answer.
func (c *client) ask(line string) string {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c.conn, "%s\n", line); err != nil {
		c.t.Fatalf("send: %v", err)
	}
	answer, err := c.r.ReadString('\n')
	if err != nil && err != io.EOF {
		c.t.Fatalf("receive: %v", err)
	}
	return strings.TrimSpace(answer)
}

// noLeaks holds that the test leaves no goroutine behind. It is called first,
// so that it looks after every other cleanup.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		var now int
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) { // goroutines end when they like
			if now = runtime.NumGoroutine(); now <= before {
				return
			}
		}
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d at the start:\n%s", now, before, buf[:runtime.Stack(buf, true)])
	})
}
