package netstack

import (
	"testing"
	"time"

	"weir/netstack/packet"
)

// stationMAC is the MAC of the n-th station.
func stationMAC(n int) packet.MAC {
	return packet.MAC{2, 1, 0, byte(n >> 16), byte(n >> 8), byte(n)}
}

func TestFDB(t *testing.T) {
	const a, b = packet.PortID(0), packet.PortID(1)
	mac := stationMAC(1)
	type step struct {
		at    time.Duration
		in    packet.PortID
		want  sighting
		where packet.PortID
		stale bool
	}
	moves := func(at time.Duration, first packet.PortID, n int) (steps []step) {
		for i := range n {
			in := (first + packet.PortID(i)) % 2
			seen := stationBack
			if i == 0 {
				seen = stationMoved
			}
			steps = append(steps, step{at, in, seen, in, false})
		}
		return steps
	}
	flap := func(at time.Duration, n int) []step {
		return append([]step{{at, a, stationNew, a, false}}, moves(at, b, n)...)
	}
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"a station is learned once and then known", []step{
			{0, a, stationNew, a, false}, {time.Second, a, stationKnown, a, false}}},
		{"a station that moves is followed at once", []step{
			{0, a, stationNew, a, false}, {time.Second, b, stationMoved, b, false}, {time.Second, b, stationKnown, b, false}}},
		{"one that moves ten times a second is followed", flap(0, maxMoves)},
		{"one that moves oftener is pinned to where it was first", append(flap(0, maxMoves),
			step{0, b, stationFlaps, a, false},
			step{pinTime - 1, b, stationPinned, a, false},
			step{pinTime - 1, a, stationKnown, a, false})},
		{"where it was first within that second", append([]step{
			{0, a, stationNew, a, false}, {0, b, stationMoved, b, false}},
			append(moves(moveWindow, a, maxMoves), step{moveWindow, a, stationFlaps, b, false})...)},
		{"and may move again when that time is over", append(flap(0, maxMoves),
			step{0, b, stationFlaps, a, false},
			step{pinTime, b, stationMoved, b, false})},
		{"moves of another second do not count", append(flap(0, maxMoves),
			step{moveWindow, b, stationMoved, b, false},
			step{moveWindow, a, stationBack, a, false})},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := newFDB()
			for i, s := range test.steps {
				got, stale := table.learn(s.at, mac, s.in)
				where, known := table.look(mac)
				if got != s.want || stale != s.stale || where != s.where || !known {
					t.Fatalf("step %d: sighting %d stale %v at port %d, want %+v", i+1, got, stale, where, s)
				}
			}
		})
	}
}

func TestFDBTellsWhoWasTold(t *testing.T) {
	mac := stationMAC(1)
	for _, test := range []struct {
		name   string
		change func(*fdb) bool
	}{
		{"a move", func(t *fdb) bool { _, stale := t.learn(time.Second, mac, 1); return stale }},
		{"silence", func(t *fdb) bool { return t.age(stationAge) }},
		{"the end of its port", func(t *fdb) bool { return t.flush(0) }},
	} {
		for _, told := range []bool{false, true} {
			table := newFDB()
			table.learn(0, mac, 0)
			if told {
				if at, known := table.tell(mac); !known || at != 0 {
					t.Fatalf("told port %d, known %v", at, known)
				}
			}
			if stale := test.change(table); stale != told {
				t.Errorf("%s of a station, told about %v: stale %v", test.name, told, stale)
			}
		}
	}
}

func TestFDBAges(t *testing.T) {
	table := newFDB()
	quiet, busy := stationMAC(1), stationMAC(2)
	table.learn(0, quiet, 0)
	table.learn(0, busy, 0)
	if s, ok := table.glance(10*time.Second, busy, 0); s != stationKnown || !ok {
		t.Fatalf("a known station: sighting %d, ok %v", s, ok)
	}
	table.age(stationAge - 1)
	if len(table.stations) != 2 {
		t.Fatal("forgotten before its time")
	}
	table.age(stationAge)
	if _, known := table.look(quiet); known {
		t.Error("a silent station is remembered")
	}
	if _, known := table.look(busy); !known {
		t.Error("a station that spoke 10 s later was forgotten with the silent one")
	}
}

func TestFDBIsBounded(t *testing.T) {
	table := newFDB()
	for i := range maxStations {
		table.learn(0, stationMAC(i), 0)
	}
	late := stationMAC(maxStations)
	if s, _ := table.learn(0, late, 1); s != stationUnheld || len(table.stations) != maxStations {
		t.Fatalf("station %d: sighting %d, %d rows", maxStations+1, s, len(table.stations))
	}
	if s, _ := table.learn(0, stationMAC(7), 1); s != stationMoved {
		t.Errorf("a known station cannot move in a full table: sighting %d", s)
	}
	table.age(stationAge)
	if s, _ := table.learn(stationAge, late, 1); s != stationNew {
		t.Errorf("no room after all were forgotten: sighting %d", s)
	}
}
