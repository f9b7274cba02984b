package netstack

import (
	"fmt"
	"testing"
	"time"

	"weir/netstack/packet"
)

func TestBucket(t *testing.T) {
	b := bucket{rate: 10, burst: 3}
	take := func(now time.Duration) (n int) {
		for b.take(now) {
			n++
		}
		return n
	}
	for _, step := range []struct {
		now  time.Duration
		want int
	}{
		{0, 3}, {0, 0}, {99 * time.Millisecond, 0}, {100 * time.Millisecond, 1}, {350 * time.Millisecond, 2},
		{time.Hour, 3}, {time.Minute, 0}, // a clock that ran backwards gives nothing
	} {
		if n := take(step.now); n != step.want {
			t.Errorf("at %v: %d tokens, want %d", step.now, n, step.want)
		}
	}
}

// A flood of packets that are owed an error is answered within the rate: for
// one source, and for many.
func TestErrorsAreRateLimited(t *testing.T) {
	for _, test := range []struct {
		name     string
		sources  int
		atLeast  int
		atMost   int
		duration time.Duration
	}{
		{"one source, at once", 1, answersPerSourceBurst, answersPerSourceBurst, 0},
		{"one source, for a second", 1, 100, 100 + answersPerSourceBurst, time.Second},
		{"many sources, for a second", 200, 1000, 1000 + answersBurst, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, forwarding, tun("lan"))
			w := r.s.worker()
			const packets = 5000
			for i := range packets {
				r.now = test.duration * time.Duration(i) / packets
				line := fmt.Sprintf("lan: udp 10.0.1.%d:4000 > 203.0.113.1:53", i%test.sources)
				in := r.load(&w.frame, line)
				w.ingress(r.now, in, &w.frame)
			}
			n := len(r.ports["lan"].take(t))
			if n < test.atLeast || n > test.atMost {
				t.Errorf("%d errors sent, want %d to %d", n, test.atLeast, test.atMost)
			}
			c := r.s.Counters()
			if int(c.Answers) != n || int(c.Answers+c.Suppressed) != packets || c.Dropped(packet.NoRoute) != packets {
				t.Errorf("%d answers and %d suppressed of %d counted", c.Answers, c.Suppressed, packets)
			}
		})
	}
}

// No error is sent about an error, about a group or a broadcast, about a later
// fragment, or to nobody (RFC 1122 3.2.2).
func TestNoErrorWhereNoneMayBe(t *testing.T) {
	r := newRig(t, forwarding)
	r.play(learned)
	r.play(`
		in lan: icmp 10.0.0.9 > 203.0.113.1 unreachable port (udp 203.0.113.1:53 > 10.0.0.9:4000) mac client>lan
		in lan: udp 10.0.0.9 > 203.0.113.1 id 5 frag 1000 len 800 mac client>lan
		in lan: udp 10.0.0.9:4000 > 10.0.0.255:53 mac client>all
		in lan: udp 0.0.0.0:68 > 203.0.113.1:67 mac client>lan
		count lan martian=1 no-route=2`)
}

// Nobody sends from a broadcast address of a link of ours, whichever port it
// comes in by: an answer would go to all stations there. The hook does not even
// see it, and what a hook itself makes of such a source is not answered either.
func TestNothingComesFromABroadcastAddress(t *testing.T) {
	for name, hook := range map[string]Hook{
		"without a hook": nil,
		"with a hook that refuses all": &hookFuncs{ingress: func(time.Duration, packet.PortID, *packet.Packet) packet.Verdict {
			return packet.Verdict{Action: packet.Drop, Reason: packet.NoService, Answer: packet.AnswerPortUnreachable}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, forwarding)
			if hook != nil {
				r.s.SetHook(hook)
			}
			r.play(`
				in lan: tcp 10.0.0.255:4000 > 10.0.0.100:81 S mac client>lan
				in lan: udp 192.0.2.255:4000 > 203.0.113.1:53 mac client>lan
				in wan: udp 10.0.0.255:4000 > 10.0.0.2:53 mac real>wan
				in wan: icmp 192.0.2.255 > 192.0.2.2 echo id 1 seq 1 mac real>wan
				count lan martian=2
				count wan martian=2`)
		})
	}
	r := newRig(t, forwarding)
	w := r.s.worker()
	in := r.load(&w.frame, "lan: udp 10.0.0.255:4000 > 203.0.113.1:53 mac client>lan")
	if reason := w.frame.Parse(in.link); reason != packet.OK {
		t.Fatal(reason)
	}
	w.drop(r.now, in, &w.frame, undelivered(packet.NoRoute))
	r.collect()
	r.silent()
}

// A frame that waits for its neighbour is held, but not without bound.
func TestHeldFramesAreBounded(t *testing.T) {
	r := newRig(t, forwarding, tun("lan"))
	w := r.s.worker()
	send := func(host, copies int) {
		for range copies {
			in := r.load(&w.frame, fmt.Sprintf("lan: udp 10.0.0.9:1 > 192.0.2.%d:1", host))
			w.ingress(r.now, in, &w.frame)
		}
	}
	send(9, heldPerHop+1)
	if n := r.s.Counters().Dropped(packet.NeighbourLimit); n != 1 {
		t.Errorf("%d dropped of %d for one neighbour, want 1", n, heldPerHop+1)
	}
	for host := 10; host < 60; host++ {
		send(host, heldPerHop)
	}
	if n := r.s.resolver.held.frames; n != heldFrames {
		t.Errorf("%d held, want %d", n, heldFrames)
	}
	r.ports["wan"].take(t)
	for range 45 {
		r.now += tickEvery
		r.s.tick(w, r.now)
	}
	if h := r.s.resolver.held; h.frames != 0 || h.bytes != 0 || len(h.queues) != 0 {
		t.Errorf("%d frames, %d bytes, %d queues are left", h.frames, h.bytes, len(h.queues))
	}
	if n := r.s.Counters().Dropped(packet.NeighbourFailed); n != heldFrames {
		t.Errorf("%d dropped as failed, want %d", n, heldFrames)
	}
}
