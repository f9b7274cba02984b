package netstack

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/netstack/device"
	"weir/netstack/packet"
)

const patience = 10 * time.Second // for what should take milliseconds

// runs starts the rig's stack and returns what ends it and waits for its end.
func (r *rig) runs() (end func() error) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.s.Run(ctx) }()
	within(r.t, "ready", r.s.Ready())
	end = sync.OnceValue(func() error {
		cancel()
		return within(r.t, "Run to end", done)
	})
	r.t.Cleanup(func() { _ = end() })
	return end
}

func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
		panic("unreachable")
	}
}

// feed hands the loop of the recorder's reader one result of Read.
func (r *recorder) feed(t *testing.T, do func(*packet.Packet) error) {
	t.Helper()
	select {
	case r.read <- do:
	case <-time.After(patience):
		t.Fatalf("%s is not read from", r.name)
	}
}

func (r *rig) frame(line string) func(*packet.Packet) error {
	var p packet.Packet
	r.load(&p, line)
	return func(into *packet.Packet) error {
		into.Load(p.Bytes())
		return nil
	}
}

func fails(err error) func(*packet.Packet) error {
	return func(*packet.Packet) error { return err }
}

func TestRunEnds(t *testing.T) {
	t.Run("with its context, in order", func(t *testing.T) {
		r := newRig(t)
		if err := r.runs()(); err != nil {
			t.Error(err)
		}
	})
	t.Run("with Close, in order", func(t *testing.T) {
		r := newRig(t)
		done := make(chan error, 1)
		go func() { done <- r.s.Run(context.Background()) }()
		within(t, "ready", r.s.Ready())
		if err := r.s.Close(); err != nil {
			t.Error(err)
		}
		if err := within(t, "Run to end", done); err != nil {
			t.Error(err)
		}
		if err := r.s.Run(context.Background()); err == nil {
			t.Error("it ran a second time")
		}
	})
	t.Run("with the loss of a device, naming the port", func(t *testing.T) {
		r := newRig(t)
		done := make(chan error, 1)
		go func() { done <- r.s.Run(context.Background()) }()
		r.ports["wan"].feed(t, fails(device.ErrRemoved))
		err := within(t, "Run to end", done)
		if !errors.Is(err, device.ErrRemoved) || !strings.Contains(err.Error(), "port wan: its device wan0") {
			t.Errorf("error %v", err)
		}
		within(t, "the other device to be closed", r.ports["lan"].closed)
	})
	t.Run("never if it was closed before", func(t *testing.T) {
		r := newRig(t)
		_ = r.s.Close()
		if err := r.s.Run(context.Background()); err == nil {
			t.Error("a closed stack ran")
		}
	})
}

// A link that is down, and errors that nobody knows, are waited out.
func TestReadErrorsAreWaitedOut(t *testing.T) {
	r := newRig(t)
	r.runs()
	lan := r.ports["lan"]
	for range 5 {
		lan.feed(t, fails(device.ErrAgain))
	}
	lan.feed(t, fails(errors.New("input/output error")))
	lan.feed(t, r.frame("lan: arp who-has 10.0.0.2 tell 10.0.0.9 mac client>all"))
	lan.feed(t, fails(device.ErrAgain)) // read again: the frame is through
	if lines := lan.take(t); len(lines) != 1 {
		t.Errorf("sent %q, want the answer", lines)
	}
}

// One frame whose processing panics is lost; the next is processed. It is
// logged with its bytes, a flood of such frames is not.
func TestPanicLosesOneFrame(t *testing.T) {
	r := newRig(t)
	r.s.SetHook(&hookFuncs{
		ingress: func(_ time.Duration, _ packet.PortID, p *packet.Packet) packet.Verdict {
			if p.DstPort == 666 {
				panic("evil")
			}
			return emitBy(1)
		},
		tick: func(time.Duration) { panic("tock") },
	})
	end := r.runs()
	lan := r.ports["lan"]
	for range 20 {
		lan.feed(t, r.frame("lan: udp 10.0.0.9:1 > 10.0.0.100:666 mac client>lan"))
	}
	lan.feed(t, r.frame("lan: udp 10.0.0.9:1 > 10.0.0.100:53 mac client>lan"))
	lan.feed(t, fails(device.ErrAgain))
	if lines := r.ports["wan"].take(t); len(lines) != 1 {
		t.Errorf("sent %q, want the one harmless frame", lines)
	}
	if n := r.s.Counters().Panics; n < 20 {
		t.Errorf("%d panics counted, want at least 20", n)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	log := r.log.String()
	if n := strings.Count(log, "processing panic"); n < 1 || n > 3 {
		t.Errorf("%d lines logged, want 1 to 3", n)
	}
	if !strings.Contains(log, "panic=evil") && !strings.Contains(log, "panic=tock") {
		t.Errorf("the log does not say what happened:\n%s", log)
	}
}

// After Close no goroutine is left, gVisor's included, whatever was open.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	cycle := func() {
		a, b := device.NewWire(device.WireConfig{Name: "a", Kind: device.TAP}, device.WireConfig{Name: "b", Kind: device.TAP})
		one, two := start(t, a, "10.0.0.1/24"), start(t, b, "10.0.0.2/24")
		l, err := one.Listen("tcp", netip.MustParseAddrPort("10.0.0.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := two.Dial(context.Background(), "tcp", netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		if _, err := two.ListenPacket("udp", netip.MustParseAddrPort("10.0.0.2:53")); err != nil {
			t.Fatal(err)
		}
		accepting := make(chan error)
		go func() {
			for {
				if _, err := l.Accept(); err != nil {
					accepting <- err
					return
				}
			}
		}()
		reading := make(chan error)
		go func() {
			_, err := conn.Read(make([]byte, 10))
			reading <- err
		}()
		// Nothing is closed but the stacks, in the middle of a transfer.
		for _, s := range []*Stack{one, two} {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := within(t, "Accept to end", accepting); err == nil {
			t.Error("Accept ended without error")
		}
		if err := within(t, "Read to end", reading); err == nil {
			t.Error("Read ended without error")
		}
	}
	before := runtime.NumGoroutine()
	for range 5 {
		cycle()
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) { // goroutines end when they like
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
	}
}

// start runs a stack of one port.
func start(t *testing.T, d device.Device, addresses ...string) *Stack {
	t.Helper()
	c := PortConfig{Name: d.Name(), Device: d, SharedThread: true}
	for _, a := range addresses {
		c.Addresses = append(c.Addresses, netip.MustParsePrefix(a))
	}
	s, err := New(Config{Ports: []PortConfig{c}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	// The device's end may be found removed when its peer closes first.
	go func() { _ = s.Run(context.Background()) }()
	within(t, "ready", s.Ready())
	return s
}
