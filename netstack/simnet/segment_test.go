package simnet

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// station is a bare end of a wire, read in the background.
type station struct {
	device.Device
	heard chan string
	ended chan error
}

func attach(t *testing.T, s *Segment, name string) *station {
	st := &station{Device: s.Attach(name, packet.MAC{}, 0), heard: make(chan string, 100), ended: make(chan error, 1)}
	go func() {
		var p packet.Packet
		for {
			if err := st.Read(0, &p); err != nil {
				st.ended <- err
				return
			}
			p.Parse(packet.LinkEthernet)
			st.heard <- p.Text(false)
		}
	}()
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// says sends a packet called id to dst.
func (st *station) says(t *testing.T, id int, dst packet.MAC) {
	t.Helper()
	var p packet.Packet
	text := fmt.Sprintf("udp 10.0.0.1:1 > 10.0.0.2:2 id %d mac %s>%s", id, st.MAC(), dst)
	if err := packet.Build(&p, text); err != nil {
		t.Fatal(err)
	}
	if err := st.Write(&p); err != nil {
		t.Fatal(err)
	}
}

func (st *station) hears(t *testing.T, id int) {
	t.Helper()
	want := fmt.Sprintf("udp 10.0.0.1:1 > 10.0.0.2:2 id %d", id)
	select {
	case got := <-st.heard:
		if got != want {
			t.Fatalf("%s heard %q, want %q", st.Name(), got, want)
		}
	case <-time.After(patience):
		t.Fatalf("%s heard nothing, want %q", st.Name(), want)
	}
}

// What a station was not to hear shows as the wrong next frame.
func TestSegmentLearns(t *testing.T) {
	s := NewSegment(SegmentConfig{Name: "lan"})
	defer func() { _ = s.Close() }()
	a, b, c := attach(t, s, "a"), attach(t, s, "b"), attach(t, s, "c")
	a.says(t, 1, b.MAC()) // nobody knows where b is
	b.hears(t, 1)
	c.hears(t, 1)
	b.says(t, 2, a.MAC()) // a is known
	a.hears(t, 2)
	a.says(t, 3, b.MAC()) // and now b is
	b.hears(t, 3)
	c.says(t, 4, packet.Broadcast)
	a.hears(t, 4)
	b.hears(t, 4)
	a.says(t, 5, a.MAC()) // to itself: nobody
	a.says(t, 6, packet.Broadcast)
	b.hears(t, 6)
	c.hears(t, 6)

	// b's wire is pulled, and its station appears at d.
	_ = b.Close()
	d := attach(t, s, "d")
	moved := b.MAC()
	var p packet.Packet
	if err := packet.Build(&p, fmt.Sprintf("udp 10.0.0.1:1 > 10.0.0.2:2 id 7 mac %s>%s", moved, packet.Broadcast)); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(&p); err != nil {
		t.Fatal(err)
	}
	a.hears(t, 7)
	c.hears(t, 7)
	a.says(t, 8, moved)
	d.hears(t, 8)
	c.says(t, 9, packet.Broadcast)
	d.hears(t, 9)
}

func TestSegmentCloses(t *testing.T) {
	s := NewSegment(SegmentConfig{Name: "lan"})
	a := attach(t, s, "a")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-a.ended; !errors.Is(err, device.ErrRemoved) {
		t.Errorf("the station's read ended with %v", err)
	}
	late := s.Attach("late", packet.MAC{}, 0)
	if err := late.Read(0, new(packet.Packet)); !errors.Is(err, device.ErrClosed) {
		t.Errorf("reading at a closed segment: %v", err)
	}
}

type tapFunc func(now time.Duration, from string, p *packet.Packet)

func (f tapFunc) Frame(now time.Duration, from string, p *packet.Packet) { f(now, from, p) }

// A capture of a segment is evidence: each frame is there once, whole, with
// its checksums made, whatever offloads its sender used.
func TestSegmentTap(t *testing.T) {
	w := newWorld(t, SegmentConfig{}, SegmentConfig{})
	var mu sync.Mutex
	from := map[string]int{}
	last := time.Duration(0)
	w.lan.SetTap(tapFunc(func(now time.Duration, who string, frame *packet.Packet) {
		mu.Lock()
		defer mu.Unlock()
		var p packet.Packet
		p.Load(frame.Bytes())
		if r := p.Parse(packet.LinkEthernet); r != packet.OK {
			t.Errorf("%s sent a frame that is %s", who, r)
		}
		if frame.Offload != (packet.Offload{}) || strings.Contains(p.Text(false), "badsum") {
			t.Errorf("%s sent %s with offload %+v", who, p.Text(true), frame.Offload)
		}
		from[who]++
		last = max(last, now)
	}))
	w.transfer(t, "10.2.0.9:80", 200<<10)
	w.lan.SetTap(nil)
	mu.Lock()
	defer mu.Unlock()
	if from["client"] < 140 || from["router-lan"] < 140 || len(from) != 2 {
		t.Errorf("frames seen: %v", from)
	}
	if last <= 0 || last > patience {
		t.Errorf("the last frame was at %v", last)
	}
}

func TestMACsAreDeterministicAndDistinct(t *testing.T) {
	if got, want := MAC("client").String(), "02:de:f3:86:79:3e"; got != want {
		t.Errorf("the MAC of client is %s, in earlier versions it was %s", got, want)
	}
	seen := map[packet.MAC]string{}
	for i := range 10_000 {
		name := fmt.Sprintf("host%d", i)
		m := MAC(name)
		if m.IsMulticast() || m[0] != 2 {
			t.Fatalf("%s has %s, which is no locally administered station", name, m)
		}
		if other, taken := seen[m]; taken {
			t.Fatalf("%s and %s share %s", name, other, m)
		}
		seen[m] = name
	}
}
