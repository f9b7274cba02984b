package device

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Close implements Device.
func (d *tuntap) Close() error {
	d.once.Do(func() { d.closeErr = d.shut() })
	return d.closeErr
}

// shut gets the readers out of read(2), then closes the descriptors.
//
// A blocked read of a tun can be ended by a signal only. With O_NONBLOCK set
// first, one is enough: the read is restarted, finds the flag and returns
// EAGAIN; and a read that begins after the flag was set never blocks.
func (d *tuntap) shut() error {
	d.closed.Store(true)
	var errs []error
	for i := range d.queues {
		errs = append(errs, unix.SetNonblock(d.queues[i].fd, true))
	}
	idle := make(chan struct{})
	go func() { // ends when the last Read and Write have returned
		d.mu.Lock()
		close(idle)
	}()
	d.interrupt(idle)
	defer d.mu.Unlock()
	if d.found {
		// Whoever uses the device next may not know of super-packets. If it
		// was removed meanwhile there is nothing to put back.
		_ = unix.IoctlSetInt(d.queues[0].fd, unix.TUNSETOFFLOAD, 0)
	}
	for i := range d.queues {
		errs = append(errs, unix.Close(d.queues[i].fd))
	}
	d.nl.Close()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s %s: %w", d.kind, d.name, err)
	}
	return nil
}

// interrupt signals readers until idle is closed. It begins with the threads
// that Reads were recorded on; if that does not help, a reader was not locked
// to its thread, and every thread of the process is interrupted. SIGURG is the
// runtime's own preemption signal: any thread takes it, and it means nothing.
func (d *tuntap) interrupt(idle <-chan struct{}) {
	signal := d.signalReaders
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		signal()
		select {
		case <-idle:
			return
		case <-time.After(wait):
		}
		signal = signalAll
	}
}

func (d *tuntap) signalReaders() {
	for i := range d.queues {
		if tid := d.queues[i].reader.Load(); tid != 0 {
			signalThread(int(tid))
		}
	}
}

func signalAll() {
	threads, _ := os.ReadDir("/proc/self/task") // without /proc: the recorded ones must do
	for _, t := range threads {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			signalThread(tid)
		}
	}
}

// signalThread interrupts a thread of this process. One that has ended since
// is no fault, and another process's number is refused by the kernel.
func signalThread(tid int) { _ = unix.Tgkill(os.Getpid(), tid, unix.SIGURG) }
