// Package labtest gives tests the worlds of package lab: both of them, with one
// line and a skip where the machine forbids one, and with a check that nothing
// is left behind.
//
// A package whose tests use it says
//
//	func TestMain(m *testing.M) { os.Exit(labtest.Main(m)) }
//
// so that its kernel worlds need no root.
package labtest

import (
	"fmt"
	"os"
	"testing"

	"weir/e2e/lab"
)

// noSkipEnv turns the skip of a kernel world into a failure: on a machine that
// is known to allow it, a skip would hide that nothing was tested.
const noSkipEnv = "WEIR_NO_SKIP"

// enterErr is why lab.Enter could not start the tests inside.
var enterErr error

// Main runs the tests where kernel worlds can be built, if there is such a
// place, and returns the exit code.
func Main(m *testing.M) int {
	exit, done, err := lab.Enter()
	if done {
		return exit
	}
	enterErr = err
	return m.Run()
}

// RequireKernel skips the test where kernel worlds cannot be built, or with
// WEIR_NO_SKIP=1 in the environment fails it.
func RequireKernel(t testing.TB) {
	t.Helper()
	err := lab.Available()
	if err == nil {
		return
	}
	if enterErr != nil {
		err = enterErr
	}
	if os.Getenv(noSkipEnv) == "1" {
		t.Fatalf("%v (a failure because %s=1)", err, noSkipEnv)
	}
	t.Skip(err)
}

// Kernel builds the topology out of the kernel. The world is closed when the
// test ends.
func Kernel(t testing.TB, topology lab.Topology) lab.World {
	t.Helper()
	RequireKernel(t)
	return build(t, lab.NewKernel, topology)
}

// Sim builds the topology inside this process. The world is closed when the
// test ends.
func Sim(t testing.TB, topology lab.Topology) lab.World {
	t.Helper()
	return build(t, lab.NewSim, topology)
}

// Run runs the scenario in both worlds, each a subtest with a world of its own,
// after which nothing may be left.
func Run(t *testing.T, topology lab.Topology, scenario func(t *testing.T, w lab.World)) {
	t.Run("sim", func(t *testing.T) {
		NoLeaks(t)
		scenario(t, Sim(t, topology))
	})
	t.Run("kernel", func(t *testing.T) {
		RequireKernel(t)
		NoLeaks(t)
		scenario(t, Kernel(t, topology))
	})
}

func build(t testing.TB, builder func(lab.Topology) (lab.World, error), topology lab.Topology) lab.World {
	t.Helper()
	w, err := builder(topology)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(fmt.Errorf("close the world: %w", err))
		}
	})
	return w
}
