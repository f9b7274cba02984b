package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv marks a process that Enter started.
const insideEnv = "WEIR_LAB_INSIDE"

// Enter makes kernel worlds possible without root and keeps them away from the
// machine's own network. Call it first thing in main or TestMain: it runs this
// very program again, with the same arguments and standard streams, in a
// network namespace of its own and, without root, in a user namespace where it
// is root. When that program has ended, Enter returns its exit code and true,
// and the caller should exit with it.
//
// In the program that Enter started it returns false at once. With an error
// nothing was started, because the machine forbids it; the caller may go on,
// and Available says what is missing.
func Enter() (exit int, done bool, err error) {
	if os.Getenv(insideEnv) != "" {
		return 0, false, loopbackUp() // for whatever else the program does on 127.0.0.1
	}
	// The parent-death signal follows the thread that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd, err := startInside()
	if err != nil {
		return 0, false, fmt.Errorf("kernel world: this machine forbids network namespaces to user %d: %w; allow user namespaces or run as root", os.Getuid(), forbidden(err))
	}
	// A terminal's interrupt reaches the child without us; we only must outlive it.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	passed := make(chan os.Signal, 4)
	signal.Notify(passed, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	ended := make(chan struct{})
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			select {
			case s := <-passed:
				_ = cmd.Process.Signal(s) // it may have ended just now
			case <-ended:
				return
			}
		}
	})
	err = cmd.Wait()
	signal.Stop(passed)
	close(ended)
	passing.Wait()

	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return 0, false, fmt.Errorf("kernel world: wait for the inner process: %w", err)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), true, nil
	}
	return status.ExitStatus(), true, nil
}

// forbidden is the reason alone: that it was an exec says nothing here, and
// ENOSPC is how the kernel reports a limit on namespaces.
func forbidden(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return errors.New("the limit is reached (sysctl user.max_user_namespaces, user.max_net_namespaces)")
	}
	if start, ok := errors.AsType[*fs.PathError](err); ok {
		return start.Err
	}
	return err
}

// startInside tries the namespaces that need the least first: a network
// namespace alone is enough for root.
func startInside() (*exec.Cmd, error) {
	attempts := []*syscall.SysProcAttr{userNamespace()}
	if os.Geteuid() == 0 {
		attempts = []*syscall.SysProcAttr{{Cloneflags: unix.CLONE_NEWNET}, userNamespace()}
	}
	var err error
	for _, attr := range attempts {
		attr.Pdeathsig = unix.SIGKILL
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Args[0] = os.Args[0]
		cmd.Env = append(os.Environ(), insideEnv+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = attr
		if err = cmd.Start(); err == nil {
			return cmd, nil
		}
	}
	return nil, err
}

// userNamespace maps the caller, and nobody else, to root.
func userNamespace() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// Available says why this process cannot build kernel worlds, in one line; nil
// if it can. It tries once and remembers.
func Available() error { return available() }

var available = sync.OnceValue(func() error {
	// Some machines allow the namespace and then none of the rights in it, so
	// the probe does what a world does: make one, bring a link up, change a setting.
	ns, err := newNamespace("a probe")
	if err == nil {
		err = ns.sysctl("ipv4/ip_forward", "1")
		ns.close()
	}
	if err != nil {
		return fmt.Errorf("kernel world: %w; allow user namespaces (and call lab.Enter first) or run as root", err)
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("kernel world: weir's devices need the tun driver: %w", err)
	}
	return tun.Close()
})
