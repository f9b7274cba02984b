package device

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"weir/netstack/packet"
)

const (
	syn  = "tcp 10.1.0.9:4000 > 192.0.2.10:80 S"
	data = "udp 10.1.0.9:4000 > 192.0.2.10:53 len 100"
	macs = " mac 02:00:00:00:00:01>02:00:00:00:00:02"
)

func TestAWireCarriesFramesInOrderBothWays(t *testing.T) {
	for _, kind := range []Kind{TUN, TAP} {
		a, b := NewWire(WireConfig{Name: "a", Kind: kind}, WireConfig{Name: "b", Kind: kind})
		link := ""
		if kind == TAP {
			link = macs
		}
		for _, text := range []string{syn + link, data + link} {
			if err := a.Write(build(t, text)); err != nil {
				t.Fatal(err)
			}
		}
		var p packet.Packet
		for _, want := range []string{syn + link, data + link} {
			if err := b.Read(0, &p); err != nil {
				t.Fatal(err)
			}
			if p.Parse(b.Link()); p.String() != want || p.Start < packet.Headroom {
				t.Errorf("%s at %d, want %s", &p, p.Start, want)
			}
			if err := b.Write(&p); err != nil {
				t.Fatal(err)
			}
		}
		b.Close()
		expect(t, readAll(t, a), syn+link, data+link)
	}
}

func TestAWireShowsWhatACableWould(t *testing.T) {
	tests := []struct {
		name string
		in   *packet.Packet
		out  []string
	}{
		{"a partial checksum is completed",
			func() *packet.Packet { p := build(t, syn); partial(p); return p }(), []string{syn}},
		{"of a packet that nobody has parsed, too",
			func() *packet.Packet { p := build(t, data); partial(p); return unparsed(p) }(), []string{data}},
		{"a super-packet becomes its segments",
			superPacket(t, "tcp 10.1.0.9:4000 > 192.0.2.10:80 PA seq 7 len 2500", packet.GSOTCP4, 1000),
			[]string{
				"tcp 10.1.0.9:4000 > 192.0.2.10:80 A seq 7 len 1000",
				"tcp 10.1.0.9:4000 > 192.0.2.10:80 A seq 1007 id 1 len 1000",
				"tcp 10.1.0.9:4000 > 192.0.2.10:80 PA seq 2007 id 2 len 500",
			}},
		{"one that nobody has parsed, too",
			unparsed(superPacket(t, "udp [2001:db8::9]:4000 > [2001:db8::10]:53 len 2500", packet.GSOUDP, 1200)),
			[]string{
				"udp [2001:db8::9]:4000 > [2001:db8::10]:53 len 1200",
				"udp [2001:db8::9]:4000 > [2001:db8::10]:53 len 1200",
				"udp [2001:db8::9]:4000 > [2001:db8::10]:53 len 100",
			}},
		{"a wrong checksum stays wrong", build(t, syn+" badsum"), []string{syn + " badsum"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := NewWire(WireConfig{}, WireConfig{})
			if err := a.Write(tt.in); err != nil {
				t.Fatal(err)
			}
			a.Close()
			expect(t, readAll(t, b), tt.out...)
		})
	}
}

func TestAWireCopies(t *testing.T) {
	a, b := NewWire(WireConfig{}, WireConfig{})
	p := build(t, data)
	if err := a.Write(p); err != nil {
		t.Fatal(err)
	}
	clear(p.Bytes())
	a.Close()
	expect(t, readAll(t, b), data)
}

func TestAWireRefuses(t *testing.T) {
	a, b := NewWire(WireConfig{Name: "a", MTU: 9000}, WireConfig{Name: "b", MTU: 1280, Queue: 2})
	if a.MTU() != 1280 || b.MTU() != 1280 {
		t.Errorf("MTU %d and %d: want the smaller at both ends", a.MTU(), b.MTU())
	}
	if err := a.Write(build(t, "udp 10.1.0.9:1 > 10.1.0.8:1 len 1253")); err == nil || !strings.Contains(err.Error(), "MTU is 1280") {
		t.Errorf("a packet of 1281 bytes: %v", err)
	}
	if err := a.Write(build(t, "udp 10.1.0.9:1 > 10.1.0.8:1 len 1252")); err != nil {
		t.Errorf("a packet of 1280 bytes: %v", err)
	}
	if err := a.Write(build(t, syn)); err != nil {
		t.Errorf("the second of a queue of 2: %v", err)
	}
	if err := a.Write(build(t, syn)); !errors.Is(err, ErrFull) {
		t.Errorf("the third of a queue of 2: %v, want ErrFull", err)
	}
	broken := &packet.Packet{Store: make([]byte, 200), Start: 128, End: 140, Offload: packet.Offload{NeedsCsum: true, CsumStart: 130}}
	if err := b.Write(broken); err == nil {
		t.Error("a partial checksum of no packet was completed")
	}
}

func TestClosingOneEndEndsBoth(t *testing.T) {
	a, b := NewWire(WireConfig{}, WireConfig{})
	ended := map[Device]chan error{a: make(chan error, 1), b: make(chan error, 1)}
	entered := make(chan struct{})
	for d, result := range ended {
		go func() { // ends with the wire
			var p packet.Packet
			entered <- struct{}{}
			result <- d.Read(0, &p)
		}()
	}
	<-entered
	<-entered
	for range 2 {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended[a]; !errors.Is(err, ErrClosed) {
		t.Errorf("own reader: %v, want ErrClosed", err)
	}
	if err := <-ended[b]; !errors.Is(err, ErrRemoved) {
		t.Errorf("the peer's reader: %v, want ErrRemoved", err)
	}
	if err := a.Write(build(t, syn)); !errors.Is(err, ErrClosed) {
		t.Errorf("own Write: %v, want ErrClosed", err)
	}
	if err := b.Write(build(t, syn)); !errors.Is(err, ErrRemoved) {
		t.Errorf("the peer's Write: %v, want ErrRemoved", err)
	}
}

// The reader of the end that is closed is told so, however quick the other end
// follows.
func TestWhoeverClosesFirstIsNotToldThatTheOtherDid(t *testing.T) {
	for range 10_000 {
		a, b := NewWire(WireConfig{Name: "a"}, WireConfig{Name: "b"})
		read := func(d Device) error { var p packet.Packet; return d.Read(0, &p) }
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- read(a) }() // both until a is closed
		go func() {
			err := read(b)
			_ = b.Close()
			second <- err
		}()
		for _, d := range []Device{a, b} {
			for in := d.(*wireEnd).in; in.waiting() == 0; { // the window is narrow, and opens for who waits
				runtime.Gosched()
			}
		}
		_ = a.Close()
		if err := <-first; !errors.Is(err, ErrClosed) {
			t.Fatalf("the end that was closed reads %v, want ErrClosed", err)
		}
		if err := <-second; !errors.Is(err, ErrRemoved) {
			t.Fatalf("the other end reads %v, want ErrRemoved", err)
		}
	}
}

func (f *frames) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readers
}

func TestEndsOfWiresHaveAddressesOfTheirOwn(t *testing.T) {
	a, b := NewWire(WireConfig{Kind: TAP}, WireConfig{Kind: TAP})
	c, _ := NewWire(WireConfig{Kind: TAP, MAC: packet.MAC{2, 1}}, WireConfig{Kind: TAP})
	seen := map[packet.MAC]bool{}
	for _, end := range []Device{a, b, c} {
		if m := end.MAC(); m.IsZero() || m.IsMulticast() || seen[m] {
			t.Errorf("MAC %s", m)
		}
		seen[end.MAC()] = true
	}
	if c.MAC() != (packet.MAC{2, 1}) {
		t.Errorf("MAC %s, another was asked for", c.MAC())
	}
}

func TestAWarmWireAllocatesNothing(t *testing.T) {
	a, b := NewWire(WireConfig{Queue: 4}, WireConfig{Queue: 4})
	plain, super := build(t, data), superPacket(t, "tcp 10.1.0.9:4000 > 192.0.2.10:80 A len 2800", packet.GSOTCP4, 1400)
	offload, sum := super.Offload, super.Store[super.L4+16:super.L4+18]
	was := [2]byte(sum)
	var in packet.Packet
	round := func() {
		super.Offload = offload
		copy(sum, was[:])
		for _, p := range []*packet.Packet{plain, super} {
			if err := a.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if err := b.Read(0, &in); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 4 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n > 0.5 { // the race detector empties pools at random
		t.Errorf("%v allocations a round", n)
	}
}
