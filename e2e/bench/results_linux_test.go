package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestTablesShowMediansRatiosAndGoals(t *testing.T) {
	const bulk, trip = "TCP bulk, 1 stream", "TCP 1-byte round trip, p50"
	res := newResults()
	for i, round := range [][]float64{{10, 5, 6, 9}, {12, 4, 5, 7}, {11, 6, 7, 9.1}} {
		for j, director := range []string{"nft", "haproxy1", "haproxy2", "weir"} {
			res.add(bulk, director, i, round[j])
		}
	}
	res.add(trip, "haproxy1", 0, 50)
	res.add(trip, "haproxy2", 0, 40)
	res.add(trip, "weir", 0, 41)
	res.note("kernel: not measured: a reason")
	res.took = 90 * time.Second
	var out strings.Builder
	if err := res.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ rule, want string }{
		{"a cell is the median and half the spread", "11.0 ±9%"},
		{"of two HAProxies the faster counts", "6.00 ±17% (2 threads)"},
		{"for latencies the one with less; one sample has no spread", "40.0 (2 threads)"},
		{"what was not measured is a dash", "Gbit/s  -"},
		{"the ratio is that of rounds, not of medians", "weir/haproxy  1.40    1.30 - 1.50"},
		{"a goal that is reached says in how many rounds", ">= 1.4  reached (in 2 of 3 rounds)"},
		{"a goal may be an upper bound", "<= 1.0  MISSED (in 0 of 1 rounds)"},
		{"the noise is summed up", "by 33% at worst (TCP bulk, 1 stream, haproxy)"},
		{"notes come last", "\nkernel: not measured: a reason\n"},
		{"the run says how long it took", "The run took 1m30s."},
	} {
		if !strings.Contains(out.String(), row.want) {
			t.Errorf("%s: no %q in\n%s", row.rule, row.want, out.String())
		}
	}
}

func TestRatiosLeaveOutRoundsWithAMissingSide(t *testing.T) {
	res := newResults()
	res.add("row", "a", 0, 1)
	res.add("row", "a", 2, 6) // round 1 failed
	for i, v := range []float64{2, 2, 3} {
		res.add("row", "b", i, v)
	}
	got := ratios(res.samples["row"]["a"], res.samples["row"]["b"])
	if len(got) != 2 || got[0] != 0.5 || got[1] != 2 {
		t.Errorf("ratios are %v, want 0.5 and 2", got)
	}
	if !math.IsNaN(median(nil)) || median([]float64{4, math.NaN(), 2}) != 3 {
		t.Errorf("medians: %v of nothing, %v of 4, NaN and 2", median(nil), median([]float64{4, math.NaN(), 2}))
	}
}

func TestPickKnowsItsKeys(t *testing.T) {
	for _, row := range []struct {
		rule, list string
		picked     int
		fails      bool
	}{
		{rule: "an empty list picks all", picked: 6},
		{rule: "a list picks what it names", list: "udp,rr", picked: 2},
		{rule: "an unknown key is an error", list: "udp,tcp", fails: true},
	} {
		picked, err := pick(row.list, measureKeys())
		n := 0
		for _, p := range picked {
			if p {
				n++
			}
		}
		if n != row.picked || (err != nil) != row.fails {
			t.Errorf("%s: %d picked, error %v", row.rule, n, err)
		}
	}
}
