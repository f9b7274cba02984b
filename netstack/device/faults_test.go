package device

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"weir/netstack/packet"
)

// through sends n numbered datagrams over a wire with faults and returns the
// ids that arrive with a right checksum, and how many arrive broken.
func through(t *testing.T, n int, f Faults) (ids []int, broken int) {
	t.Helper()
	a, b := NewWire(WireConfig{Queue: 2 * n}, WireConfig{Queue: 2 * n})
	out := WithFaults(a, f)
	for i := range n {
		p := build(t, fmt.Sprintf("udp 10.1.0.9:4000 > 192.0.2.10:%d len 100", i+1))
		partial(p)
		if err := out.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	out.Close()
	var p packet.Packet
	for b.Read(0, &p) == nil {
		reason := p.Parse(packet.LinkRaw)
		id := int(p.DstPort)
		if reason != packet.OK || p.String() != fmt.Sprintf("udp 10.1.0.9:4000 > 192.0.2.10:%d len 100", id) {
			broken++
			continue
		}
		ids = append(ids, id)
	}
	return ids, broken
}

func TestFaultsHappenInTheirShare(t *testing.T) {
	const n = 3000
	about := func(what string, got int, share float64) {
		t.Helper()
		if want := share * n; float64(got) < 0.7*want || float64(got) > 1.3*want {
			t.Errorf("%s: %d of %d, want about %.0f", what, got, n, want)
		}
	}
	if ids, broken := through(t, n, Faults{Seed: 1}); len(ids) != n || broken != 0 || !slices.IsSorted(ids) {
		t.Errorf("without faults %d of %d arrived, %d broken, in order: %v", len(ids), n, broken, slices.IsSorted(ids))
	}
	ids, _ := through(t, n, Faults{Seed: 1, Loss: 0.01})
	about("lost", n-len(ids), 0.01)
	ids, _ = through(t, n, Faults{Seed: 1, Duplicate: 0.05})
	about("doubled", len(ids)-n, 0.05)
	_, broken := through(t, n, Faults{Seed: 1, Corrupt: 0.02})
	about("broken", broken, 0.02)
	ids, _ = through(t, n, Faults{Seed: 1, Reorder: 0.05})
	late := 0
	for i := 1; i < len(ids); i++ {
		if ids[i] < ids[i-1] {
			late++
		}
	}
	about("late", late, 0.05)
	if len(ids) < n-1 { // the last one may still be held back
		t.Errorf("reordering lost %d", n-len(ids))
	}
}

func TestFaultsRepeatWithTheirSeed(t *testing.T) {
	f := Faults{Seed: 7, Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Corrupt: 0.1}
	first, _ := through(t, 500, f)
	again, _ := through(t, 500, f)
	if !slices.Equal(first, again) {
		t.Error("the same seed gave other faults")
	}
	f.Seed = 8
	if other, _ := through(t, 500, f); slices.Equal(first, other) {
		t.Error("another seed gave the same faults")
	}
}

func TestFaultsLeaveTheWrittenPacketAlone(t *testing.T) {
	a, _ := NewWire(WireConfig{}, WireConfig{})
	d := WithFaults(a, Faults{Corrupt: 1, Reorder: 1, Duplicate: 1})
	p := build(t, data)
	before := bytes.Clone(p.Bytes())
	for range 10 {
		if err := d.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(p.Bytes(), before) {
		t.Error("changed")
	}
}
