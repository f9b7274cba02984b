package labtest

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// settle bounds the wait for what has been told to end: the runtime ends
// threads, and the kernel closes their descriptors, a little later.
const settle = 5 * time.Second

// NoLeaks fails the test if, once it and its later clean-ups have ended, there
// are goroutines, descriptors or network namespaces that were not there at the
// call. Tests that run in parallel would see each other's.
func NoLeaks(t testing.TB) {
	t.Helper()
	goroutines, kernel := stacks(), objects()
	t.Cleanup(func() {
		deadline := time.Now().Add(settle)
		for {
			left := append(left(goroutines, stacks()), left(kernel, objects())...)
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("left behind %v after the end:\n%s", settle, strings.Join(left, "\n"))
				return
			}
			time.Sleep(5 * time.Millisecond) // polling, bounded by the deadline
		}
	})
}

// left lists what there is more of now than before.
func left(before, now map[string]int) []string {
	var more []string
	for _, what := range slices.Sorted(maps.Keys(now)) {
		if n := now[what] - before[what]; n > 0 {
			more = append(more, fmt.Sprintf("%d x %s", n, what))
		}
	}
	return more
}

// stacks counts the goroutines by where they were started.
func stacks() map[string]int {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	counts := map[string]int{}
	for g := range strings.SplitSeq(string(buf[:n]), "\n\n") {
		if strings.Contains(g, "labtest.stacks") {
			continue
		}
		_, from, started := strings.Cut(g, "created by ")
		if started {
			from, _, _ = strings.Cut(from, " in goroutine")
			counts["goroutine of "+from]++
		}
	}
	return counts
}

// objects counts open descriptors by what they lead to, and the network
// namespaces that threads are in. It is empty where there is no /proc.
func objects() map[string]int {
	counts := map[string]int{}
	count := func(kind, dir, link string) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			to, err := os.Readlink(dir + "/" + e.Name() + link)
			if err != nil || strings.HasPrefix(to, "/proc/") || strings.HasPrefix(to, "anon_inode:[event") {
				continue // gone, this directory itself, or the runtime's poller
			}
			// Sockets and pipes are counted, not told apart by their numbers:
			// a number that comes anew is not one more.
			if at := strings.IndexByte(to, ':'); at > 0 && kind == "descriptor" {
				to = to[:at]
			}
			counts[kind+" "+to]++
		}
	}
	count("descriptor", "/proc/self/fd", "")
	count("thread in", "/proc/self/task", "/ns/net")
	for what := range counts {
		// How many threads the runtime has is its own business, as long as
		// they are in a namespace that was there before.
		if strings.HasPrefix(what, "thread in ") {
			counts[what] = 1
		}
	}
	return counts
}
