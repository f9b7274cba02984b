package e2e_test

import (
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"weir/appliance/control"
	"weir/e2e/hostile"
	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
)

// Of 44 classes of frames that no honest station sends, each ends at the
// counter that names its fault, frame for frame, or goes on as it is where it
// is no router's business. Honest honestTraffic notices nothing.
func TestHostileFrames(t *testing.T) {
	for _, topology := range []lab.Topology{lab.RoutedTopology(2, 2), lab.HostTopology(2, 2)} {
		t.Run(topology.Name, func(t *testing.T) {
			labtest.Run(t, topology, func(t *testing.T, w lab.World) { hostileFrames(t, w, topology) })
		})
	}
}

func hostileFrames(t *testing.T, w lab.World, topology lab.Topology) {
	a := startWeir(t, w, hostileServices(w))
	for _, f := range families {
		echoUDP(t, w, f, 5353)
	}
	honest := newHonestTraffic(t, w)
	honest.warmUp()
	before := runtime.NumGoroutine()

	link := newServerLink(t, w)
	client := capturesOf(t, w, lab.ClientSegment, "client1")
	b := &barrage{
		counters: func() control.Counters { return a.Snapshot().Counters }, world: w, link: link, out: newFrameSource(t, w, "client2", lab.ClientSegment, 5000),
		generator: hostile.NewGenerator(stageOf(topology, w)), began: dropsBy(a),
		stops: stopsBefore[topology.Name+" "+w.Name()],
	}
	classes := hostile.Classes()
	if topology.Name+w.Name() != "routedsim" && !hostileSoak {
		classes = classes[1:] // five seconds' wait for what is held are enough once
	}
	b.amid(t, honest, classes, func(c *hostile.Class) { b.fire(t, c, hostileVolume(30, 100, 10_000)) })
	link.judge(t, b)
	in, out := stopped(t, client)
	for _, f := range slices.Concat(in, out) {
		wantHonest(t, "client1's link", f)
	}
	// A few more are the lab's threads, and connections that are closing.
	if !within(10*time.Second, func() bool { return runtime.NumGoroutine() <= before+10 }) {
		t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
	}
}

// barrage is an attack under way, and its books.
type barrage struct {
	counters  func() control.Counters // weir's
	world     lab.World
	link      *serverLink
	out       *frameSource
	generator *hostile.Generator
	began     map[string]uint64
	stops     map[string]share // what of a class ends before it reaches weir
	class     []string         // by number of frame
	forwarded []hostile.Frame  // those whose fate it is
	numbers   map[uint32]int   // index in forwarded
	count     map[hostile.Fate]uint64
	parts     bool // of some classes only a part came
}

// amid lets honest traffic go on while each class is sent, and wants all books
// to agree in the end.
func (b *barrage) amid(t *testing.T, honest *honestTraffic, classes []*hostile.Class, send func(*hostile.Class)) {
	t.Helper()
	honest.start()
	for _, c := range classes {
		send(c)
	}
	b.settle(t)
	honest.end()
	if honest.failed.Load() > 0 {
		t.Errorf("%d of %d honest requests failed", honest.failed.Load(), honest.requests.Load())
	}
	t.Logf("%d frames, %d honest requests, the slowest %v", b.generator.Sent(), honest.requests.Load(), time.Duration(honest.slowest.Load()))
}

// fire sends n units of a class and wants each frame to find its fate.
func (b *barrage) fire(t *testing.T, c *hostile.Class, n int) {
	t.Helper()
	before, arrived := dropsIn(b.counters()), b.link.arrived()
	want := b.send(t, c, n)
	is := maps.Equal[map[hostile.Fate]uint64, map[hostile.Fate]uint64]
	if b.stops[c.Name] == part { // how much came is known when what was sent behind it has come
		b.parts = true
		b.out.left = 0
		maps.Copy(want, b.send(t, hostile.Find("land"), 1))
		is = isPart
	}
	delete(want, hostile.GivenUp) // not yet
	var got map[hostile.Fate]uint64
	if !within(5*time.Second, func() bool {
		got = b.fates(countedSince(before, dropsIn(b.counters())), b.link.arrived()-arrived)
		delete(got, hostile.GivenUp)
		return is(got, want)
	}) {
		t.Errorf("%s (%s): %d units ended as %v, want %v", c.Name, c.Says, n, got, want)
	}
}

// send sends n units of a class, and says how many frames shall meet which fate.
func (b *barrage) send(t *testing.T, c *hostile.Class, n int) map[hostile.Fate]uint64 {
	t.Helper()
	if b.count == nil {
		b.count, b.numbers = map[hostile.Fate]uint64{}, map[uint32]int{}
	}
	fates := map[hostile.Fate]uint64{}
	for i := range n {
		for _, f := range b.generator.Unit(c, i) {
			b.class = append(b.class, c.Name)
			b.out.send(t, f.Data)
			if b.stops[c.Name] == all {
				continue
			}
			fates[f.Fate]++
			b.count[f.Fate]++
			if f.Fate == hostile.Forwarded {
				b.numbers[f.Number] = len(b.forwarded)
				b.forwarded = append(b.forwarded, f)
			}
		}
	}
	return fates
}

// isPart: some of each of what is wanted and nothing else.
func isPart(got, want map[hostile.Fate]uint64) bool {
	for f, n := range want {
		if got[f] == 0 || got[f] > n {
			return false
		}
	}
	return len(got) == len(want)
}

// fates puts what was counted, and what arrived at real servers, into the words
// of the classes. What else there is on a link of kernels, and is dropped, is
// left out.
func (b *barrage) fates(dropped map[string]uint64, arrived uint64) map[hostile.Fate]uint64 {
	got := map[hostile.Fate]uint64{}
	if arrived > 0 {
		got[hostile.Forwarded] = arrived
	}
	for reason, n := range dropped {
		f := hostile.Fate(reason)
		if slices.Contains(hostile.GivenUp.Reasons(), reason) {
			f = hostile.GivenUp
		}
		if reason != "not-forwarding" { // reports of group members
			got[f] += n
		}
	}
	return got
}

// settle waits for what was held, and wants all counters to be what was sent.
func (b *barrage) settle(t *testing.T) {
	t.Helper()
	var got map[hostile.Fate]uint64
	if !within(10*time.Second, func() bool {
		got = b.fates(countedSince(b.began, dropsIn(b.counters())), b.link.arrived())
		return maps.Equal(got, b.count) || b.parts && isPart(got, b.count)
	}) {
		t.Errorf("in all, frames ended as %v, want %v", got, b.count)
	}
	if c := b.counters(); c.Stack["panics"] != 0 || c.Held.Bytes != 0 {
		t.Errorf("%d panics; %+v held in the end", c.Stack["panics"], c.Held)
	}
}
