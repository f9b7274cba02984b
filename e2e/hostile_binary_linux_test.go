package e2e_test

import (
	"fmt"
	"os"
	"testing"

	"weir/appliance/control"
	"weir/e2e/hostile"
	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
)

// The same as TestHostileFrames against the program, whose memory is its own:
// it must not grow by more than 20 MiB.
func TestHostileFramesAndMemory(t *testing.T) {
	labtest.RequireKernel(t)
	topology := lab.RoutedTopology(2, 2)
	oneKernel(t, topology, func(t *testing.T, w lab.World) {
		p := startProgram(t, w, w.Weir().Config()+hostileServices(w))
		joined(t, w)
		for _, f := range families {
			echoUDP(t, w, f, 5353)
		}
		honest := newHonestTraffic(t, w)
		honest.warmUp()
		b := &barrage{
			counters: func() control.Counters { return tells[control.Counters](t, p, "show", "counters") },
			world:    w, link: newServerLink(t, w), out: newFrameSource(t, w, "client2", lab.ClientSegment, 5000),
			generator: hostile.NewGenerator(stageOf(topology, w)),
		}
		b.began = dropsIn(b.counters())
		before := resident(t, p.Pid())
		classes := hostile.Classes()
		if !hostileSoak {
			classes = classes[1:] // without the wait for what is held
		}
		b.amid(t, honest, classes, func(c *hostile.Class) { b.send(t, c, hostileVolume(30, 100, 10_000)) })
		between := resident(t, p.Pid())
		for i := range hostileVolume(1000, 2000, 50_000) {
			b.out.send(t, b.generator.PingPiece(i))
		}
		for _, f := range families {
			if _, err := w.Host("client1").Ping(t.Context(), f.vip); err != nil {
				t.Errorf("after pieces of pings: %v", err)
			}
		}
		after := resident(t, p.Pid())
		t.Logf("%d KiB of memory before, %d after all classes, %d after pieces of pings", before>>10, between>>10, after>>10)
		if between > before+20<<20 {
			t.Errorf("weir grew from %d to %d MiB, by more than 20", before>>20, between>>20)
		}
		// gVisor keeps 4 MiB of each IP version, and Go's heap room for twice that.
		if after > between+32<<20 {
			t.Errorf("weir grew from %d to %d MiB over pieces of pings, by more than 32", between>>20, after>>20)
		}
		b.link.judge(t, b)
	})
}

// resident is a process's memory in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
