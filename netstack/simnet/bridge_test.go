package simnet

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/netstack"
	"weir/netstack/device"
	"weir/netstack/packet"
)

// bridge starts a bridging stack, as 10.0.0.2.
func bridge(t *testing.T, log io.Writer, left, right device.Device) *netstack.Stack {
	t.Helper()
	s := must(netstack.New(netstack.Config{Bridge: true, Log: slog.New(slog.NewTextHandler(log, nil)),
		Ports: []netstack.PortConfig{
			{Name: "left", Device: left, SharedThread: true, Addresses: prefixes("10.0.0.2/24")},
			{Name: "right", Device: right, SharedThread: true},
		}}))(t)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }() // ended by Close
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-s.Ready()
	return s
}

// Two hosts on either side of a bridge are neighbours, and it is one of both.
func TestBridgeJoinsSegments(t *testing.T) {
	left, right := NewSegment(SegmentConfig{Name: "left"}), NewSegment(SegmentConfig{Name: "right"})
	host := func(s *Segment, name string, addresses ...string) *Host {
		return must(NewHost(HostConfig{Name: name, Device: s.Attach(name, packet.MAC{}, 0), Addresses: prefixes(addresses...)}))(t)
	}
	w := &world{
		client: host(left, "client", "10.0.0.9/24", "2001:db8::9/64"),
		server: host(right, "server", "10.0.0.11/24", "2001:db8::11/64"),
	}
	t.Cleanup(func() {
		for _, c := range []io.Closer{w.client, w.server, left, right} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	s := bridge(t, io.Discard, left.Attach("weir-left", packet.MAC{}, 0), right.Attach("weir-right", packet.MAC{}, 0))
	w.transfer(t, "10.0.0.11:80", 1<<20)
	w.transfer(t, "[2001:db8::11]:80", 1<<20)
	for _, h := range []*Host{w.client, w.server} {
		reply, err := h.Ping(soon(t), Ping{To: netip.MustParseAddr("10.0.0.2"), Size: 1000})
		if err != nil || reply.From != netip.MustParseAddr("10.0.0.2") {
			t.Errorf("%s pings the bridge: %+v, error %v", h.Name(), reply, err)
		}
	}
	if reply, err := w.client.Ping(soon(t), Ping{To: netip.MustParseAddr("10.0.0.11"), TTL: 1}); err != nil || reply.TTL != 64 {
		t.Errorf("a ping of TTL 1 across the bridge: %+v, error %v", reply, err)
	}
	if n := s.Counters().Dropped(packet.BridgeLoop); n != 0 {
		t.Errorf("%d frames of a sound network were taken for a loop's", n)
	}
}

// guardedLog is a log that is read while it is written.
type guardedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *guardedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *guardedLog) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// talk pings until there is a reply: a storm loses frames, and leaves switches
// with wrong ideas that only the station's next frame puts right.
func talk(t *testing.T, from *Host, to string) {
	t.Helper()
	all := soon(t)
	for {
		one, cancel := context.WithTimeout(all, time.Second)
		_, err := from.Ping(one, Ping{To: netip.MustParseAddr(to)})
		cancel()
		if err == nil {
			return
		}
		if all.Err() != nil {
			t.Fatal(err)
		}
	}
}

// Both ports of a bridge on one segment are a loop. The storm that the first
// broadcast starts ends, and the stations go on talking.
func TestBridgeEndsAStorm(t *testing.T) {
	lan := NewSegment(SegmentConfig{Name: "lan"})
	a := must(NewHost(HostConfig{Name: "a", Device: lan.Attach("a", packet.MAC{}, 0), Addresses: prefixes("10.0.0.9/24")}))(t)
	b := must(NewHost(HostConfig{Name: "b", Device: lan.Attach("b", packet.MAC{}, 0), Addresses: prefixes("10.0.0.11/24")}))(t)
	t.Cleanup(func() {
		for _, c := range []io.Closer{a, b, lan} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	log := &guardedLog{}
	s := bridge(t, log, lan.Attach("weir-left", packet.MAC{}, 0), lan.Attach("weir-right", packet.MAC{}, 0))
	hurried, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, _ = a.Ping(hurried, Ping{To: netip.MustParseAddr("10.0.0.11")}) // the storm may well lose the reply
	patient := time.NewTimer(patience)
	defer patient.Stop()
	for log.count("is shut") == 0 {
		select {
		case <-patient.C:
			t.Fatal("the loop was not found")
		case <-time.After(10 * time.Millisecond):
		}
	}
	// What went round when the port was shut is gone after one more round.
	talk(t, a, "10.0.0.2") // by which the segment knows again where a is
	talk(t, b, "10.0.0.2")
	talk(t, b, "10.0.0.9")
	before := s.Counters().Ports[0].RxFrames
	<-time.After(500 * time.Millisecond)
	if n := s.Counters().Ports[0].RxFrames - before; n > 200 {
		t.Errorf("%d frames came in within half a second after the port was shut", n)
	}
	if log.count("is shut") != 1 || s.Counters().Dropped(packet.BridgeLoop) == 0 {
		t.Errorf("reported %d times, %d frames dropped", log.count("is shut"), s.Counters().Dropped(packet.BridgeLoop))
	}
}
