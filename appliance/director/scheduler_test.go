package director

import (
	"net/netip"
	"strings"
	"testing"

	"weir/netstack/packet"
)

// reals makes real servers a, b, c … of the given weights, in file order.
func reals(weights ...int) []*Real {
	var spec ServiceSpec
	for i, w := range weights {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(i + 1)}), 80)
		spec.Reals = append(spec.Reals, RealSpec{Name: string(rune('a' + i)), Addr: addr, Weight: w})
	}
	spec.Scheduler, spec.Proto = "rr", packet.TCP
	return NewTable([]ServiceSpec{spec}, DefaultTimeouts(), nil).services[0].reals
}

func picks(s Scheduler, n int) string {
	var b strings.Builder
	for range n {
		name := "-"
		if r := s.Pick(&packet.FlowKey{}, true); r != nil {
			name = r.Name
		}
		b.WriteString(name)
	}
	return b.String()
}

// The sequences are those of the kernel's modules for reals added with
// `ipvsadm -a` in this order: the last one added stands first in its list.
func TestSequences(t *testing.T) {
	for _, c := range []struct {
		what, scheduler string
		weights         []int
		want            string
	}{
		{"rr gives each its turn, the last added first", "rr", []int{1, 1, 1}, "cbacba"},
		{"rr does not care for weights", "rr", []int{5, 1, 1}, "cbacba"},
		{"rr passes over weight 0", "rr", []int{1, 0, 1}, "cacaca"},
		{"rr of one", "rr", []int{1}, "aaa"},
		{"rr has none to give when all have weight 0", "rr", []int{0, 0}, "--"},
		{"rr has none to give when there is none", "rr", nil, "--"},
		{"wrr with equal weights is rr", "wrr", []int{1, 1, 1}, "cbacba"},
		{"wrr begins at the level of the first real added, then interleaves", "wrr", []int{4, 3, 2}, "cbaabacbacbaaba"},
		{"wrr steps by the common divisor", "wrr", []int{4, 2}, "baabaaba"},
		{"wrr passes over weight 0", "wrr", []int{2, 0, 1}, "caacaaca"},
		{"wrr has none to give when all have weight 0", "wrr", []int{0, 0}, "--"},
		{"wrr has none to give when there is none", "wrr", nil, "--"},
	} {
		s := schedulers[c.scheduler](reals(c.weights...), nil)
		if got := picks(s, len(c.want)); got != c.want {
			t.Errorf("%s: weights %v give %s, want %s", c.what, c.weights, got, c.want)
		}
	}
}

func TestWeightsAreHonouredInEveryCycle(t *testing.T) {
	weights := []int{7, 3, 5, 1}
	s := newWeightedRoundRobin(reals(weights...), nil)
	picks(s, 4) // to the end of the first, low level
	for cycle := range 5 {
		got := picks(s, 16)
		for i, w := range weights {
			if n := strings.Count(got, string(rune('a'+i))); n != w {
				t.Errorf("cycle %d, %s: %d times %c, want %d", cycle, got, n, 'a'+i, w)
			}
		}
	}
}

func TestPickWithoutCommitOnlyLooks(t *testing.T) {
	for name, build := range schedulers {
		s := build(reals(3, 2, 1), nil)
		for range 20 {
			peek := s.Pick(&packet.FlowKey{}, false)
			if again := s.Pick(&packet.FlowKey{}, false); again != peek {
				t.Fatalf("%s: looking twice gave %s and %s", name, peek.Name, again.Name)
			}
			if r := s.Pick(&packet.FlowKey{}, true); r != peek {
				t.Fatalf("%s: looked at %s, then got %s", name, peek.Name, r.Name)
			}
		}
	}
}

// A change of the table carries the turn over: nobody gets two turns because
// another service was edited.
func TestTurnSurvivesANewTable(t *testing.T) {
	for name := range schedulers {
		spec := ServiceSpec{Scheduler: name, Proto: packet.TCP, VIP: netip.MustParseAddrPort("192.0.2.10:80")}
		for i, r := range reals(1, 1, 1) {
			spec.Reals = append(spec.Reals, RealSpec{Name: string(rune('a' + i)), Addr: r.Addr, Weight: 1})
		}
		before := NewTable([]ServiceSpec{spec}, DefaultTimeouts(), nil)
		first := picks(before.services[0].scheduler, 1)
		after := NewTable([]ServiceSpec{spec}, DefaultTimeouts(), before)
		if got := first + picks(after.services[0].scheduler, 2); got != "cba" {
			t.Errorf("%s: over a new table the turns went %s, want cba", name, got)
		}
	}
}

func TestRemovedRealsKeepTheirIDWhileFlowsUseIt(t *testing.T) {
	spec := ServiceSpec{Scheduler: "rr", Proto: packet.TCP, VIP: netip.MustParseAddrPort("192.0.2.10:80")}
	withReal := func(last byte) ServiceSpec {
		s := spec
		s.Reals = []RealSpec{{Name: "r", Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, last}), 80), Weight: 1}}
		return s
	}
	t1 := NewTable([]ServiceSpec{withReal(1)}, DefaultTimeouts(), nil)
	gone := t1.services[0].reals[0]
	gone.count(Established, 1)
	t2 := NewTable([]ServiceSpec{withReal(2)}, DefaultTimeouts(), t1)
	t3 := NewTable([]ServiceSpec{withReal(3)}, DefaultTimeouts(), t2)
	for i, tbl := range []*Table{t2, t3} {
		if r := tbl.real(gone.id); r == nil || r.tally != gone.tally {
			t.Fatalf("table %d: the id of a removed real with a flow is no longer its own", i+2)
		}
		if list := tbl.Leaving(); len(list) != 1 || list[0].tally != gone.tally || list[0].Proto != packet.TCP {
			t.Errorf("table %d: leaving are %v, want the removed real with a flow", i+2, list)
		}
	}
	gone.count(Established, -1)
	if list := t3.Leaving(); list != nil {
		t.Errorf("leaving are %v, and none of them has a flow", list)
	}
	t4 := NewTable([]ServiceSpec{withReal(3)}, DefaultTimeouts(), t3)
	if r := t4.real(gone.id); r != nil && r.tally == gone.tally {
		t.Error("a removed real without flows is still kept")
	}
	d := New(Options{MaxFlows: 100})
	d.flows.shards[3].count.of(gone.id).ReplyBytes = 7 // of the one that is gone
	t5 := NewTable([]ServiceSpec{withReal(5)}, DefaultTimeouts(), t4)
	if t5.services[0].reals[0].id != gone.id {
		t.Fatalf("the new real has id %d: the test expects the free one, %d", t5.services[0].reals[0].id, gone.id)
	}
	d.SetTable(t5)
	if _, traffic := d.Counts(); traffic[gone.id] != (Traffic{}) {
		t.Errorf("a new real begins with the traffic of one that had its id before: %+v", traffic[gone.id])
	}
}
