package lab

import (
	"fmt"
	"os"
	"path"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespace is one anonymous network namespace and the threads that live in it.
// It has no name in the file system: it ends with its last thread, descriptor
// and socket.
//
// A thread that has entered it never leaves: when close ends its goroutine,
// which is still locked to it, the runtime ends the thread too.
type namespace struct {
	name   string
	handle netns.NsHandle

	mu      sync.Mutex
	idle    []chan func() // one per thread that has nothing to do
	closed  bool
	threads sync.WaitGroup // the goroutines of the threads
}

// newNamespace makes a namespace with its loopback interface up.
func newNamespace(name string) (*namespace, error) {
	ns := &namespace{name: name}
	made := make(chan error)
	ns.threads.Add(1)
	lockedThread(func() {
		defer ns.threads.Done()
		var err error
		if ns.handle, err = netns.New(); err != nil {
			made <- fmt.Errorf("network namespace for %s: %w", name, err)
			return
		}
		jobs := make(chan func())
		ns.mu.Lock()
		ns.idle = append(ns.idle, jobs)
		ns.mu.Unlock()
		made <- nil
		ns.work(jobs)
	})
	if err := <-made; err != nil {
		return nil, err
	}
	if err := ns.do(loopbackUp); err != nil {
		ns.close()
		return nil, fmt.Errorf("network namespace for %s: %w", name, err)
	}
	return ns, nil
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// lockedThread runs f on a thread of its own that ends when f returns. The
// process's first thread is never taken: it cannot end, and /proc/self would
// show the namespace it is in.
func lockedThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			f()
			return
		}
		// While this goroutine sits on the first thread, the next cannot.
		started := make(chan struct{})
		lockedThread(func() { close(started); f() })
		<-started
		runtime.UnlockOSThread()
	}()
}

// work runs jobs on the calling thread until close.
func (ns *namespace) work(jobs chan func()) {
	for job := range jobs {
		job()
	}
}

// do runs f on a thread inside the namespace and returns its error. Calls run
// side by side, each on a thread of its own.
func (ns *namespace) do(f func() error) error {
	jobs, err := ns.thread()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	jobs <- func() {
		// Deferred, so that a test's FailNow inside f cannot hang the caller.
		var err error = errGone
		defer func() { done <- err }()
		err = f()
	}
	err = <-done
	if err == errGone {
		return err
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.closed {
		close(jobs)
		return err
	}
	ns.idle = append(ns.idle, jobs)
	return err
}

var errGone = fmt.Errorf("the function ended its goroutine")

// thread takes an idle thread, or starts one more.
func (ns *namespace) thread() (chan func(), error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.closed {
		return nil, errClosed
	}
	if n := len(ns.idle); n > 0 {
		jobs := ns.idle[n-1]
		ns.idle = ns.idle[:n-1]
		return jobs, nil
	}
	jobs := make(chan func())
	entered := make(chan error)
	ns.threads.Add(1)
	lockedThread(func() {
		defer ns.threads.Done()
		err := netns.Set(ns.handle)
		entered <- err
		if err == nil {
			ns.work(jobs)
		}
	})
	if err := <-entered; err != nil {
		return nil, fmt.Errorf("enter the network namespace of %s: %w", ns.name, err)
	}
	return jobs, nil
}

// close ends the threads, once each is done with what it does, and gives the
// namespace up.
func (ns *namespace) close() {
	ns.mu.Lock()
	if ns.closed {
		ns.mu.Unlock()
		return
	}
	ns.closed = true
	for _, jobs := range ns.idle {
		close(jobs)
	}
	ns.idle = nil
	ns.mu.Unlock()
	ns.threads.Wait()
	ns.handle.Close()
}

// sysctl writes a setting below /proc/sys/net. The file shows the namespace of
// the thread that opens it, so this never reaches the machine's own.
func (ns *namespace) sysctl(key, value string) error {
	return ns.do(func() error {
		if err := os.WriteFile(path.Join("/proc/sys/net", key), []byte(value), 0); err != nil {
			return fmt.Errorf("setting in the namespace of %s: %w", ns.name, err)
		}
		return nil
	})
}
