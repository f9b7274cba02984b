package e2e_test

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/appliance/control"
	"weir/e2e/lab"
)

// wallClock is the wall clock that one program sees, and nobody else. A time
// namespace moves the monotonic clocks only, and the machine's clock is not
// ours to set; so the program is traced, and what the kernel answers to its
// questions for the time is changed on the way.
type wallClock struct {
	ahead atomic.Int64 // seconds
	asked atomic.Int64 // how often the program has
}

// run starts cmd on the calling thread, which must stay its goroutine's, and
// traces it to its end. started gets its process id.
func (c *wallClock) run(cmd *exec.Cmd, started chan<- int) (unix.WaitStatus, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid
	if err := cmd.Process.Release(); err != nil { // this thread waits, and nobody else
		return 0, err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return 0, err
	}
	if err := withoutVDSO(pid); err != nil {
		return 0, errors.Join(err, unix.Kill(pid, unix.SIGKILL))
	}
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACESYSGOOD); err != nil {
		return 0, errors.Join(err, unix.Kill(pid, unix.SIGKILL))
	}
	started <- pid
	for thread, signal := pid, 0; ; {
		if err := unix.PtraceSyscall(thread, signal); err != nil && err != unix.ESRCH { // killed meanwhile
			return 0, err
		}
		for {
			var err error
			if thread, err = unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil); err != nil && err != unix.EINTR {
				return 0, err
			}
			if thread == pid && (status.Exited() || status.Signaled()) {
				return status, nil
			}
			if err == nil && status.Stopped() {
				break
			}
		}
		signal = c.stopped(thread, status)
	}
}

// stopped deals with a thread's stop and returns the signal it is to get.
func (c *wallClock) stopped(thread int, status unix.WaitStatus) (signal int) {
	switch s := status.StopSignal(); s {
	case unix.SIGTRAP | 0x80: // before or after a system call
		c.afterCall(thread)
		return 0
	case unix.SIGTRAP, unix.SIGSTOP: // a thread is new
		return 0
	default:
		return int(s)
	}
}

// afterCall moves what clock_gettime(CLOCK_REALTIME) has answered.
func (c *wallClock) afterCall(thread int) {
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(thread, &regs) != nil || regs.Orig_rax != unix.SYS_CLOCK_GETTIME || regs.Rdi != unix.CLOCK_REALTIME || regs.Rax != 0 {
		return // killed meanwhile, another call, or before it: then rax is ENOSYS
	}
	c.asked.Add(1)
	var seconds [8]byte
	if _, err := unix.PtracePeekData(thread, uintptr(regs.Rsi), seconds[:]); err != nil {
		return
	}
	binary.LittleEndian.PutUint64(seconds[:], binary.LittleEndian.Uint64(seconds[:])+uint64(c.ahead.Load()))
	_, _ = unix.PtracePokeData(thread, uintptr(regs.Rsi), seconds[:])
}

// withoutVDSO hides the kernel's page of functions from a program that is about
// to begin: without it every question for the time is a system call.
func withoutVDSO(pid int) error {
	const sysinfoEHDR, ignore = 33, 1 // AT_SYSINFO_EHDR, AT_IGNORE of linux/auxvec.h
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	word := func(at uintptr) (uint64, error) {
		var b [8]byte
		_, err := unix.PtracePeekData(pid, at, b[:])
		return binary.LittleEndian.Uint64(b[:]), err
	}
	at := uintptr(regs.Rsp) + 8 // the count of arguments; then these, the environment, the vector
	for ended := 0; ended < 2; at += 8 {
		v, err := word(at)
		if err != nil {
			return err
		}
		if v == 0 {
			ended++
		}
	}
	for ; ; at += 16 {
		switch kind, err := word(at); {
		case err != nil:
			return err
		case kind == 0:
			return errors.New("the program gets no vDSO that could be hidden")
		case kind == sysinfoEHDR:
			_, err := unix.PtracePokeData(pid, at, binary.LittleEndian.AppendUint64(nil, ignore))
			return err
		}
	}
}

// startInTime starts weir under a wall clock.
func startInTime(t *testing.T, w lab.World, c *wallClock, config string) *program {
	t.Helper()
	dir := t.TempDir()
	p := &program{file: write(t, filepath.Join(dir, "weir.yaml"), config), socket: filepath.Join(dir, "weir.sock")}
	cmd := exec.Command(executable(t), "run", p.file, "--socket", p.socket)
	var reading sync.WaitGroup
	pipe := func(s *screen) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		reading.Go(func() { io.Copy(s, r); r.Close() }) // ends with the program
		return w
	}
	out, log := pipe(&p.out), pipe(&p.log)
	cmd.Stdout, cmd.Stderr = out, log
	traced := &tracedProcess{done: make(chan struct{})}
	p.Process = traced
	started := make(chan int, 1)
	go func() { // ends with the program
		defer close(traced.done)
		traced.err = w.Weir().Do(func() (err error) { traced.status, err = c.run(cmd, started); return err })
		out.Close()
		log.Close()
		reading.Wait()
	}()
	select {
	case traced.pid = <-started:
	case <-traced.done:
		if errors.Is(traced.err, unix.EPERM) && os.Getenv("WEIR_NO_SKIP") != "1" {
			t.Skipf("this machine lets nobody trace: %v", traced.err)
		}
		t.Fatal(traced.err)
	}
	t.Cleanup(func() { traced.Signal(unix.SIGKILL); <-traced.done })
	p.ready(t)
	return p
}

// tracedProcess is a lab.Process whose tracer waits for it.
type tracedProcess struct {
	pid    int
	done   chan struct{}
	status unix.WaitStatus
	err    error
}

func (p *tracedProcess) Pid() int              { return p.pid }
func (p *tracedProcess) Done() <-chan struct{} { return p.done }
func (p *tracedProcess) Stop()                 { p.Signal(unix.SIGKILL); <-p.done }

func (p *tracedProcess) Signal(s os.Signal) error {
	select {
	case <-p.done:
		return nil // and the number may be another's
	default:
		return unix.Kill(p.pid, s.(syscall.Signal))
	}
}

func (p *tracedProcess) Wait() error {
	<-p.done
	if p.err == nil && p.status != 0 {
		return errors.New("ended badly")
	}
	return p.err
}

// The wall clock jumps to and fro: no connection breaks, no flow ends early, and
// those whose time has come end.
func TestClockJumps(t *testing.T) {
	oneKernel(t, topologies[1], func(t *testing.T, w lab.World) {
		serve(t, w)
		var c wallClock
		p := startInTime(t, w, &c, w.Weir().Config()+services(w)+"timeouts: {udp: 500ms}\n")
		joined(t, w)
		talks := converseAll(t, w)
		for _, jump := range []struct {
			name string
			by   time.Duration
		}{
			{"an hour ahead", time.Hour}, {"two hours back", -2 * time.Hour},
			{"a year ahead", 365 * 24 * time.Hour}, {"a year back", -365 * 24 * time.Hour},
		} {
			c.ahead.Add(int64(jump.by / time.Second))
			echoAll(t, talks, jump.name)
			carries(t, w, jump.name)
			list := tells[struct {
				Flows []control.Flow
				Live  int64
			}](t, p, "show", "flows")
			kept := 0
			for _, f := range list.Flows {
				if f.State == "established" {
					kept++
					if f.Idle < 0 || f.Idle > limit.Seconds() || f.Left > 901 || f.Left < 900-limit.Seconds() {
						t.Errorf("%s: %+v, want all of 15 minutes left", jump.name, f)
					}
				}
			}
			if kept != len(talks) {
				t.Errorf("%s: %d flows are established, want %d", jump.name, kept, len(talks))
			}
			if jump.by > 0 {
				continue
			}
			eventually(t, jump.name+": the UDP flows do not end", func() bool {
				return !strings.Contains(p.says(t, "show", "flows"), "udp")
			})
		}
		c.ahead.Add(int64(24 * 365 * 10 * time.Hour / time.Second))
		asked := c.asked.Load()
		p.signal(t, unix.SIGHUP)
		p.logs(t, "configuration read again")
		if year := time.Now().AddDate(10, 0, -2).Format("time=2006-01"); c.asked.Load() == asked || !strings.Contains(p.log.String(), year) {
			t.Errorf("weir does not see the clock that jumps; it logs\n%s", &p.log)
		}
		p.end(t)
	})
}
