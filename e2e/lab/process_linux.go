package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopGrace is how long a program may take to end after SIGTERM.
const stopGrace = 2 * time.Second

// process is a Process of a kernel world.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of the program; valid once done is closed
}

// start starts cmd in ns. The child leads a process group, so that what it
// starts itself ends with it, and dies if we do: the thread that starts it
// lives until the namespace is closed.
func (w *kernelWorld) start(ns *namespace, cmd *exec.Cmd) (Process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = stopGrace
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errClosed
	}
	if err := ns.do(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", cmd.Path, ns.name, err)
	}
	w.processes[p] = struct{}{}
	go func() { // ends with the program
		p.err = cmd.Wait()
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // what it left behind; usually nothing
		w.mu.Lock()
		delete(w.processes, p)
		w.mu.Unlock()
		close(p.done)
	}()
	return p, nil
}

func (p *process) Pid() int { return p.cmd.Process.Pid }

func (p *process) Done() <-chan struct{} { return p.done }

func (p *process) Wait() error {
	<-p.done
	return p.err
}

func (p *process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.cmd.Path, err)
	}
	return nil
}

func (p *process) Stop() {
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGKILL} {
		select {
		case <-p.done:
			return
		default:
		}
		_ = unix.Kill(-p.cmd.Process.Pid, s) // it may have ended just now
		select {
		case <-p.done:
			return
		case <-time.After(stopGrace):
		}
	}
	<-p.done
}
