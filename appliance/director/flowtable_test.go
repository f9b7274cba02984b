package director

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"weir/netstack/packet"
)

func oneService(reals int) *Table {
	spec := ServiceSpec{Name: "web", Proto: packet.TCP, VIP: netip.MustParseAddrPort("192.0.2.10:80"), Scheduler: "rr"}
	for i := range reals {
		spec.Reals = append(spec.Reals, RealSpec{Name: string(rune('a' + i)), Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(i + 1)}), 80), Weight: 1})
	}
	return NewTable([]ServiceSpec{spec}, DefaultTimeouts(), nil)
}

// clientKey is the request key of the n-th client.
func clientKey(n uint32) packet.FlowKey {
	a := netip.AddrFrom4([4]byte{10, byte(n >> 24), byte(n >> 16), byte(n >> 8)})
	return packet.FlowKey{Src: packet.AddrFrom(a), Dst: packet.AddrFrom(netip.MustParseAddr("192.0.2.10")),
		SrcPort: 1024 + uint16(n&0xff), DstPort: 80, Proto: packet.TCP, Version: 4}
}

// add stores the n-th client's flow, and returns how that went.
func add(ft *flowTable, t *Table, n uint32, now time.Duration) insertResult {
	k := clientKey(n)
	h := ft.hash(&k)
	s := ft.shardOf(h.src)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := newFlow(&k, NAT, t.services[0].reals[int(n)%len(t.services[0].reals)], now)
	_, how := s.insert(&f, h.tag, t)
	return how
}

// found looks for a key from both directions' point of view.
func found(ft *flowTable, k packet.FlowKey) (direction, bool) {
	h := ft.hash(&k)
	s, f, dir := ft.find(&h, &k, true)
	if f == nil {
		return 0, false
	}
	s.mu.Unlock()
	return dir, true
}

// The table against the simplest thing that could be right: a Go map.
func TestFlowTableAgainstMap(t *testing.T) {
	tbl := oneService(3)
	ft := newFlowTable(2000, 7, heapMemory, nil)
	model := map[uint32]bool{}
	rng := rand.New(rand.NewPCG(1, 2))
	for step := range 60_000 {
		n := uint32(rng.IntN(3000))
		k := clientKey(n)
		back := packet.FlowKey{Src: tbl.services[0].reals[int(n)%3].addr, SrcPort: 80, Dst: k.Src, DstPort: k.SrcPort, Proto: k.Proto, Version: 4}
		dir, ok := found(ft, k)
		if ok != model[n] || ok && dir != request {
			t.Fatalf("step %d: request of client %d found %v %v, want %v", step, n, ok, dir, model[n])
		}
		if dir, ok := found(ft, back); ok != model[n] || ok && dir != reply {
			t.Fatalf("step %d: reply to client %d found %v %v, want %v", step, n, ok, dir, model[n])
		}
		switch {
		case model[n]:
			h := ft.hash(&k)
			s, f, _ := ft.find(&h, &k, true)
			s.remove(f, tbl)
			s.mu.Unlock()
			delete(model, n)
		case len(model) < 1500:
			if how := add(ft, tbl, n, 0); how != inserted {
				t.Fatalf("step %d: insert: %v", step, how)
			}
			model[n] = true
		}
		if step%5000 == 0 {
			checkIndex(t, ft)
		}
	}
	if int(ft.live.Load()) != len(model) {
		t.Errorf("%d flows live, want %d", ft.live.Load(), len(model))
	}
	var active int64
	for _, r := range tbl.services[0].reals {
		active += r.Active()
	}
	if int(active) != len(model) {
		t.Errorf("reals count %d active flows, want %d", active, len(model))
	}
}

// checkIndex holds the index's invariant: sorted by tag, each entry at or
// behind its home, no gap between home and entry.
func checkIndex(t *testing.T, ft *flowTable) {
	t.Helper()
	for i := range ft.shards {
		x := &ft.shards[i].index
		n := 0
		for j, e := range x.slots {
			if e == 0 {
				continue
			}
			n++
			home := x.home(e.tag())
			if home > j || slices.Contains(x.slots[home:j], 0) {
				t.Fatalf("shard %d: entry in slot %d is not reachable from its home %d", i, j, home)
			}
			if j > 0 && x.slots[j-1] != 0 && x.slots[j-1].tag() > e.tag() {
				t.Fatalf("shard %d: slots %d and %d are out of order", i, j-1, j)
			}
		}
		if n != x.used {
			t.Fatalf("shard %d: %d entries, counted %d", i, n, x.used)
		}
	}
}

func TestFullTableEvictsHalfOpenFirstAndNeverEstablished(t *testing.T) {
	tbl := oneService(1)
	ft := newFlowTable(1600, 3, heapMemory, nil)
	establish := func(n uint32) {
		k := clientKey(n)
		h := ft.hash(&k)
		s, f, _ := ft.find(&h, &k, true)
		s.enter(f, Established, 0, tbl)
		s.mu.Unlock()
	}
	for n := range uint32(800) {
		if how := add(ft, tbl, n, 0); how != inserted {
			t.Fatalf("flow %d: %v", n, how)
		}
		establish(n)
	}
	for n := uint32(800); n < 50_000; n++ { // a flood of SYNs
		add(ft, tbl, n, 0)
	}
	for n := range uint32(800) {
		if _, ok := found(ft, clientKey(n)); !ok {
			t.Fatalf("established flow %d was evicted by half-open ones", n)
		}
	}
	if live := ft.live.Load(); live > 1600 {
		t.Errorf("%d flows, more than the bound", live)
	}
	checkIndex(t, ft)
	full2 := newFlowTable(160, 3, heapMemory, nil)
	ft = full2
	refused := 0
	for n := range uint32(400) {
		if add(ft, tbl, n, 0) == full {
			refused++
			continue
		}
		establish(n)
	}
	if refused == 0 || ft.live.Load() > 160 {
		t.Errorf("a table of established flows refused %d of 400, holds %d of 160", refused, ft.live.Load())
	}
}

func TestExpiryIsNeitherEarlyNorLate(t *testing.T) {
	tbl := oneService(1)
	for _, c := range []struct {
		state State
		proto uint8
	}{
		{SynSent, packet.TCP}, {SynRecv, packet.TCP}, {Established, packet.TCP}, {Closed, packet.TCP}, {UDPNew, packet.UDP}, {UDPReplied, packet.UDP},
	} {
		for _, start := range []time.Duration{0, 100 * time.Millisecond, 40 * time.Hour} {
			ft := newFlowTable(100, 1, heapMemory, nil)
			ft.expire(start, tbl)
			add(ft, tbl, 1, start)
			k := clientKey(1)
			h := ft.hash(&k)
			s, f, _ := ft.find(&h, &k, true)
			s.enter(f, c.state, tickOf(start), tbl)
			s.mu.Unlock()
			idle := time.Duration(tbl.timeouts[c.state]-1) * tickLength
			for now := start; now < start+idle; now += 100 * time.Millisecond {
				ft.expire(now, tbl)
			}
			if ft.live.Load() != 1 {
				t.Errorf("%v from %v: ended before %v", c.state, start, idle)
			}
			ft.expire(start+idle+2*tickLength, tbl)
			if ft.live.Load() != 0 {
				t.Errorf("%v from %v: not ended after %v", c.state, start, idle)
			}
		}
	}
}

// A long pause (SIGSTOP) is one call of expire with a time far ahead.
func TestExpiryAfterALongPauseEndsOnlyWhatIsOver(t *testing.T) {
	tbl := oneService(1)
	ft := newFlowTable(100, 1, heapMemory, nil)
	add(ft, tbl, 1, 0)
	k := clientKey(1)
	h := ft.hash(&k)
	s, f, _ := ft.find(&h, &k, true)
	s.enter(f, Established, 0, tbl)
	later := 2 * time.Hour
	f.seen = tickOf(later) // its packet was the first thing after the pause
	s.mu.Unlock()
	ft.expire(later, tbl)
	if ft.live.Load() != 1 {
		t.Fatal("a flow with a fresh packet ended with the pause")
	}
	ft.expire(later+16*time.Minute, tbl)
	if ft.live.Load() != 0 {
		t.Fatal("the flow outlived its timeout after the pause")
	}
}

func TestFlowSize(t *testing.T) {
	if n := unsafe.Sizeof(flow{}); n > 128 {
		t.Errorf("a flow takes %d bytes, more than two cache lines", n)
	}
	if testing.Short() {
		t.Skip("the memory of a million flows is measured without -short")
	}
	tbl := oneService(1)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 1_000_000
	ft := newFlowTable(n, 5, heapMemory, nil)
	for i := range uint32(n) {
		if how := add(ft, tbl, i, 0); how != inserted {
			t.Fatalf("flow %d: %v", i, how)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := float64(after.HeapAlloc-before.HeapAlloc) / n
	if per > 160 {
		t.Errorf("%.1f bytes a flow all in, want at most 160", per)
	}
	t.Logf("%.1f bytes a flow all in", per)
	longest := 0
	for i := range ft.shards {
		for j, e := range ft.shards[i].index.slots {
			if e != 0 {
				longest = max(longest, j-ft.shards[i].index.home(e.tag()))
			}
		}
	}
	if longest > 64 {
		t.Errorf("an entry lies %d slots behind its home", longest)
	}
	t.Logf("longest way from home: %d slots", longest)
	runtime.KeepAlive(ft)
}
