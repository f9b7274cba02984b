package appliance

import (
	"fmt"
	"os"
	"testing"

	"weir/appliance/announce"
	"weir/appliance/control"
	"weir/netstack/packet"
)

// mapped is how much address space the process has, in bytes.
func mapped(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var pages int
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// An appliance that has ended keeps nothing of its flows' memory, and who asks
// it then is told so.
func TestFlowsMemoryIsGivenBack(t *testing.T) {
	cfg := configOf(t, routed)
	cycle := func() (taken int) {
		a, err := New(cfg, Options{OpenDevice: layCables(cfg).open, Host: announce.None})
		if err != nil {
			t.Fatal(err)
		}
		var p packet.Packet
		for port := range 200 {
			if err := packet.Build(&p, fmt.Sprintf("tcp 10.1.0.9:%d > 192.0.2.10:80 S", 1024+port)); err != nil {
				t.Fatal(err)
			}
			a.director.Ingress(a.clock(), 0, &p)
		}
		listed := func() (n int) {
			a.Flows(func(control.Flow) bool { n++; return true })
			return n
		}
		if n := listed(); n != 200 {
			t.Fatalf("%d flows, want 200", n)
		}
		for _, b := range a.memory.blocks {
			taken += len(b)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if n := listed(); n != 0 {
			t.Errorf("%d flows after Close", n)
		}
		if _, err := a.Explain("tcp 10.1.0.9:4000 > 192.0.2.10:80 S"); err == nil {
			t.Error("a packet was explained after Close")
		}
		a.Snapshot()
		return taken
	}
	cycle()
	before, taken := mapped(t), 0
	for range 50 {
		taken += cycle()
	}
	if taken < 100<<20 {
		t.Fatalf("only %d bytes were taken: nothing is proven", taken)
	}
	if grown := mapped(t) - before; grown > taken/2 { // Go's own heap may have grown
		t.Errorf("%d bytes more are mapped after 50 appliances that took %d", grown, taken)
	}
}
