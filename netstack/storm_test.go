package netstack

import (
	"slices"
	"testing"
	"time"

	"weir/netstack/packet"
)

func TestLoopGuardShutsWhatIsProven(t *testing.T) {
	for _, test := range []struct {
		name    string
		out, in int // the probe sent out of one port comes in by the other
		forged  bool
		shut    packet.PortID
	}{
		{"a probe that comes back by a later port shuts that", 0, 1, false, 1},
		{"one that comes back by an earlier port shuts the one it left by", 2, 1, false, 2},
		{"one that comes back by its own port is anybody's echo", 1, 1, false, packet.NoPort},
		{"one with another token is a forgery", 0, 1, true, packet.NoPort},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newLoopGuard(3)
			payload := append(g.tokens[test.out][:], 0, 0)
			if test.forged {
				payload[probeToken-1] ^= 1
			}
			out, ours := g.sentBy(payload)
			if ours == test.forged {
				t.Fatalf("ours: %v", ours)
			}
			if test.forged {
				return
			}
			shut, newly := g.returned(0, out, packet.PortID(test.in))
			if shut != test.shut || newly != (shut != packet.NoPort) {
				t.Fatalf("shut port %d, newly %v; want port %d", shut, newly, test.shut)
			}
			if _, again := g.returned(time.Second, out, packet.PortID(test.in)); again {
				t.Error("a port was shut twice")
			}
		})
	}
}

func TestLoopGuardAsks(t *testing.T) {
	all := []packet.PortID{0, 1}
	g := newLoopGuard(2)
	if due := g.probes(0); due != nil {
		t.Errorf("asked through %d without a suspicion", due)
	}
	g.suspected(time.Millisecond)
	for _, step := range []struct {
		at   time.Duration
		want []packet.PortID
	}{
		{time.Millisecond, all}, // at once
		{2 * time.Millisecond, nil},
		{101 * time.Millisecond, all},
		{4 * time.Second, all},
		{6 * time.Second, nil},
	} {
		if due := g.probes(step.at); !slices.Equal(due, step.want) {
			t.Errorf("%v: asked through %d, want %d", step.at, due, step.want)
		}
	}
	g.returned(7*time.Second, 0, 1)
	for at := 7 * time.Second; at < 12*time.Second; at += time.Second {
		if due := g.probes(at); !slices.Equal(due, []packet.PortID{1}) {
			t.Errorf("%v: asked through %d, want the shut port", at, due)
		}
		if open := g.reopen(at); open != nil {
			t.Errorf("%v: opened %d", at, open)
		}
	}
	if open := g.reopen(12 * time.Second); !slices.Equal(open, []packet.PortID{1}) {
		t.Errorf("opened %d, want the port whose time is over", open)
	}
	if due := g.probes(13 * time.Second); due != nil {
		t.Errorf("asked through %d when all was well", due)
	}
}
