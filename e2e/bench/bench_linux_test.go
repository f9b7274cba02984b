package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
)

// The generators are this binary again, as they are the benchmark's own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == generatorArg {
		os.Exit(generatorMain(os.Args[2:]))
	}
	os.Exit(labtest.Main(m))
}

// Every measure gives every one of its figures where the kernel itself forwards.
func TestMeasuresGiveFigures(t *testing.T) {
	labtest.RequireKernel(t)
	labtest.NoLeaks(t)
	s, err := newStand(t.Context(), directors[0], "reno", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if got := s.congestion(); got != "reno" {
		t.Errorf("the congestion control is %s, want reno", got)
	}
	for i, m := range append(slices.Clone(measures), measures...) { // a second round is as good as the first
		t.Run(fmt.Sprintf("%s, round %d", m.key, 1+i/len(measures)), func(t *testing.T) {
			w, err := m.take(t.Context(), s, 100*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range m.rows {
				v := r.value(w)
				if share := r.unit == "%"; v < 0 || v == 0 && !share || share && v > 100 {
					t.Errorf("%s: %v %s", r.name, v, r.unit)
				}
			}
		})
	}
}

func TestAMeasurementFailsInOneLineWhereNothingAnswers(t *testing.T) {
	labtest.RequireKernel(t)
	labtest.NoLeaks(t)
	nobody := director{key: "nobody", setUp: func(context.Context, lab.World, string) error { return nil }}
	s, err := newStand(t.Context(), nobody, "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, m := range measures {
		if m.key == "bulk8" || m.key == "http" {
			continue // as bulk1 and rr
		}
		_, err := m.take(t.Context(), s, 100*time.Millisecond)
		if err == nil {
			t.Errorf("%s: a VIP that nobody serves was measured", m.key)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %v", m.key, err)
		}
	}
}

func TestAStandSaysWhyWeirIsMissing(t *testing.T) {
	labtest.RequireKernel(t)
	labtest.NoLeaks(t)
	dir := t.TempDir()
	if err := os.WriteFile(weirFault(dir), []byte("go build weir/cmd/weir: it does not build"), 0o600); err != nil {
		t.Fatal(err)
	}
	weir := directors[len(directors)-1]
	if _, err := newStand(t.Context(), weir, "", dir); err == nil || !strings.Contains(err.Error(), "it does not build") {
		t.Errorf("the error is: %v", err)
	}
}
