package lab_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
)

// Without weir nothing joins the two segments of the routed topology.
func TestKernelSegmentsAreSeparate(t *testing.T) {
	w := labtest.Kernel(t, lab.RoutedTopology(2, 2))
	client, real := w.Host("client1"), w.Host("real1")
	if _, err := client.Ping(bounded(t), w.Host("client2").Addr4()); err != nil {
		t.Errorf("a neighbour on the same segment: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := client.Ping(ctx, real.Addr4()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ping across segments: %v; want it to get no answer", err)
	}
}

func TestKernelRunsProgramsOnItsHosts(t *testing.T) {
	labtest.RequireKernel(t)
	labtest.NoLeaks(t)
	w := labtest.Kernel(t, lab.HostTopology(1, 1))
	out := &strings.Builder{}
	cmd := exec.Command("cat", "/proc/net/fib_trie")
	cmd.Stdout = out
	p, err := w.Host("client1").(lab.Starter).Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if addr := w.Host("client1").Addr4().String(); !strings.Contains(out.String(), addr) {
		t.Errorf("a program on client1 does not see the address %s", addr)
	}
	if addr := w.Host("real1").Addr4().String(); strings.Contains(out.String(), addr) {
		t.Errorf("a program on client1 sees real1's address %s", addr)
	}
}

// A program that ignores SIGTERM, and the one it has started, end with the world.
func TestKernelCloseEndsPrograms(t *testing.T) {
	labtest.RequireKernel(t)
	labtest.NoLeaks(t)
	w, err := lab.NewKernel(lab.HostTopology(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("sh", "-c", `trap "" TERM; sleep 1000 & echo $!; wait`)
	cmd.Stdout = pipe
	p, err := w.Weir().(lab.Starter).Start(cmd)
	pipe.Close()
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-p.Done():
	default:
		t.Error("Close returned before the program had ended")
	}
	for deadline := time.Now().Add(10 * time.Second); running(grandchild); {
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", grandchild)
		}
		time.Sleep(time.Millisecond) // the signal is on its way; polling, bounded by the deadline
	}
}

// running is false of a zombie: whoever inherits an orphan reaps it in its own
// time.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestKernelCloseEndsADialThatWaits(t *testing.T) {
	labtest.RequireKernel(t)
	labtest.NoLeaks(t)
	w, err := lab.NewKernel(lab.RoutedTopology(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	capture, err := w.Capture("client1", lab.ClientSegment)
	if err != nil {
		t.Fatal(err)
	}
	dialed := make(chan error, 1)
	client := w.Host("client1")
	go func() {
		_, err := client.Dial(t.Context(), "tcp", "192.0.2.10:80")
		dialed <- err
	}()
	// The ARP request for the gateway that is not there.
	if _, err := capture.Await(bounded(t), func(f lab.Frame) bool { return f.Out }); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := <-dialed; err == nil {
		t.Error("the connection came about")
	}
	if _, err := client.Listen("tcp", ":80"); err == nil {
		t.Error("a closed world still listens")
	}
	if err := w.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

func TestKernelWeirPlaceIsInsideItsNamespace(t *testing.T) {
	w := labtest.Kernel(t, lab.RoutedTopology(1, 1))
	var outer, inner string
	var once sync.WaitGroup
	once.Go(func() { outer, _ = os.Readlink("/proc/thread-self/ns/net") })
	once.Wait()
	if err := w.Weir().Do(func() (err error) {
		inner, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if inner == outer {
		t.Errorf("Do ran in the test's own namespace %s", outer)
	}
}
