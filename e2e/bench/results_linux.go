package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// results are the samples of a run: by row and director, one per round, NaN
// where a measurement failed.
type results struct {
	samples    map[string]map[string][]float64
	notes      []string
	congestion string // control, of TCP
	took       time.Duration
}

func newResults() *results { return &results{samples: map[string]map[string][]float64{}} }

func (r *results) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *results) add(row, director string, round int, v float64) {
	if r.samples[row] == nil {
		r.samples[row] = map[string][]float64{}
	}
	s := r.samples[row][director]
	for len(s) <= round {
		s = append(s, math.NaN())
	}
	s[round] = v
	r.samples[row][director] = s
}

// haproxyKey is the column of the better of the two HAProxies.
const haproxyKey = "haproxy"

var columns = []string{"kernel", "nft", haproxyKey, "weir"}

// column is what a column shows of a row: the samples, and what to say beside
// them. For HAProxy that is the run with the better median.
func (r *results) column(row row, key string) (samples []float64, remark string) {
	if key != haproxyKey {
		return r.samples[row.name][key], ""
	}
	one, two := r.samples[row.name]["haproxy1"], r.samples[row.name]["haproxy2"]
	better := cmp.Compare(median(two), median(one)) // NaN is less than any number
	if row.lower && len(one) > 0 && len(two) > 0 {
		better = -better
	}
	if better > 0 {
		return two, " (2 threads)"
	}
	if len(one) > 0 {
		remark = " (1 thread)"
	}
	return one, remark
}

// goal compares two columns of a row, and says what the comparison should give.
type goal struct {
	row    string
	of, to string
	bound  float64 // 0: none
	atMost bool    // the bound is an upper one
}

var goals = []goal{
	{row: "TCP bulk, 1 stream", of: "weir", to: haproxyKey, bound: 1.4},
	{row: "TCP bulk, 1 stream", of: "weir", to: "nft", bound: 0.8},
	{row: "TCP bulk, 8 streams", of: "weir", to: haproxyKey, bound: 1.4},
	{row: "TCP bulk, 8 streams", of: "weir", to: "nft", bound: 0.8},
	{row: "UDP 64 B, received", of: "weir", to: "kernel", bound: 0.8},
	{row: "UDP 64 B, received", of: "weir", to: "nft"},
	{row: "TCP 1-byte round trip, p50", of: "weir", to: haproxyKey, bound: 1, atMost: true},
	{row: "TCP 1-byte round trip, p99", of: "weir", to: haproxyKey},
	{row: "HTTP keep-alive, 8 conns", of: "weir", to: haproxyKey},
	{row: "HTTP keep-alive, p50", of: "weir", to: haproxyKey},
	{row: "HTTP, a connection each", of: "weir", to: haproxyKey},
	{row: "HTTP, a connection each", of: "weir", to: "nft"},
}

// met reports whether a ratio reaches the goal.
func (g goal) met(ratio float64) bool {
	if g.atMost {
		return ratio <= g.bound
	}
	return ratio >= g.bound
}

// ratios are those of the rounds that have both sides: what disturbs a round
// disturbs both.
func ratios(of, to []float64) []float64 {
	var q []float64
	for i := range min(len(of), len(to)) {
		if v := of[i] / to[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			q = append(q, v)
		}
	}
	return q
}

// median is NaN of nothing.
func median(samples []float64) float64 {
	s := numbers(samples)
	slices.Sort(s)
	n := len(s)
	switch {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// spread is how far the samples lie apart, as a share of their median; NaN where
// one sample or none says nothing of it.
func spread(samples []float64) float64 {
	s := numbers(samples)
	if len(s) < 2 || median(s) == 0 {
		return math.NaN()
	}
	return (slices.Max(s) - slices.Min(s)) / median(s)
}

func numbers(samples []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(samples), math.IsNaN)
}

// print writes the tables.
func (r *results) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "client - director - real server, each a network namespace of one machine: %d CPUs, Linux %s, %s, TCP %s\n",
		runtime.NumCPU(), kernelRelease(), runtime.Version(), r.congestion)
	fmt.Fprintf(w, "Medians of all rounds, and half the distance from the least to the greatest. The run took %v.\n\n", r.took.Round(time.Second))
	fmt.Fprintln(w, strings.Join(append([]string{"", ""}, columns...), "\t"))
	for _, m := range measures {
		for _, row := range m.rows {
			if len(r.samples[row.name]) == 0 {
				continue
			}
			line := []string{row.name, row.unit}
			for _, key := range columns {
				line = append(line, cell(r.column(row, key)))
			}
			fmt.Fprintln(w, strings.Join(line, "\t"))
		}
	}
	fmt.Fprintln(w)
	r.printGoals(w)
	fmt.Fprintln(w)
	r.printNoise(w)
	for _, n := range r.notes {
		fmt.Fprintln(w, n)
	}
	return w.Flush()
}

func cell(samples []float64, remark string) string {
	m := median(samples)
	if math.IsNaN(m) {
		return "-"
	}
	text := figure(m)
	if s := spread(samples); !math.IsNaN(s) {
		text += fmt.Sprintf(" ±%.0f%%", 50*s)
	}
	return text + remark
}

// figure shows three significant digits and no fewer before the point.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (r *results) printGoals(w io.Writer) {
	title := "ratio, round by round\t\tmedian\trange\tgoal\t\n"
	for _, g := range goals {
		row := findRow(g.row)
		of, _ := r.column(row, g.of)
		to, _ := r.column(row, g.to)
		q := ratios(of, to)
		if len(q) == 0 {
			continue
		}
		fmt.Fprintf(w, "%s%s\t%s/%s\t%.2f\t%.2f - %.2f\t%s\n", title, g.row, g.of, g.to, median(q), slices.Min(q), slices.Max(q), g.verdict(q))
		title = ""
	}
}

// verdict judges the median, and says how many of the rounds agree.
func (g goal) verdict(q []float64) string {
	if g.bound == 0 {
		return "\t"
	}
	sign, word := ">=", "MISSED"
	if g.atMost {
		sign = "<="
	}
	if g.met(median(q)) {
		word = "reached"
	}
	agree := 0
	for _, v := range q {
		if g.met(v) {
			agree++
		}
	}
	return fmt.Sprintf("%s %.1f\t%s (in %d of %d rounds)", sign, g.bound, word, agree, len(q))
}

// printNoise sums up how much the figures that the goals use varied.
func (r *results) printNoise(w io.Writer) {
	var all []float64
	worst, where := 0.0, ""
	for _, g := range goals {
		for _, key := range []string{g.of, g.to} {
			samples, _ := r.column(findRow(g.row), key)
			s := spread(samples)
			if g.bound == 0 || math.IsNaN(s) {
				continue
			}
			all = append(all, s)
			if s >= worst {
				worst, where = s, g.row+", "+key
			}
		}
	}
	if len(all) > 0 {
		fmt.Fprintf(w, "Noise: between rounds a figure with a goal varied by %.0f%% in the median, by %.0f%% at worst (%s).\n",
			100*median(all), 100*worst, where)
	}
}

func findRow(name string) row {
	for _, m := range measures {
		for _, r := range m.rows {
			if r.name == name {
				return r
			}
		}
	}
	return row{}
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "(unknown)"
	}
	return unix.ByteSliceToString(u.Release[:])
}
