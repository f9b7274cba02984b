package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// asWeir marks the test binary that is to be weir itself.
const asWeir = "WEIR_TEST_AS_WEIR"

func TestMain(m *testing.M) {
	if os.Getenv(asWeir) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process starts weir as a process of its own, in a user and network namespace
// of its own.
func process(t *testing.T, out, log *screen, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asWeir+"=1")
	cmd.Stdout, cmd.Stderr = out, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := cmd.Start(); err != nil {
		forbidden(t, err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, if the test has not failed
	return cmd
}

// forbidden skips a test that this machine does not allow, or fails it where a
// skip would hide that nothing was tested.
func forbidden(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("WEIR_NO_SKIP") == "1" {
		t.Fatalf("%v (a failure because WEIR_NO_SKIP=1)", err)
	}
	t.Skipf("no namespaces of our own here: %v", err)
}

func TestProcessWithSignalsOnTheKernel(t *testing.T) {
	file := write(t, "weir.yaml", good)
	socket := filepath.Join(t.TempDir(), "w.sock")
	out, log := newScreen(), newScreen()
	cmd := process(t, out, log, "run", file, "--socket", socket)
	out.until(t, "weir: ready: 2 virtual services on tun weir0 (pid ")
	log.until(t, "offloads=")
	if a := weir(t, "", "show", "services", "--socket", socket); a.exit != 0 || !strings.Contains(a.out, "web") {
		t.Errorf("show: %+v", a)
	}
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGPIPE} { // the second is what a dead pipe sends
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	log.until(t, file+":5:58: ")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, log)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("standard output has %d lines:\n%s", n, out)
	}
}

func TestProcessWithoutPermission(t *testing.T) {
	out, log := newScreen(), newScreen()
	file := write(t, "weir.yaml", good)
	cmd := exec.Command("/proc/self/exe", "run", file, "--socket", filepath.Join(t.TempDir(), "w.sock"))
	cmd.Env = append(os.Environ(), asWeir+"=1")
	cmd.Stdout, cmd.Stderr = out, log
	cmd.SysProcAttr = &syscall.SysProcAttr{ // a user without rights, in a namespace without them
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
	}
	err := cmd.Run()
	exited := new(exec.ExitError)
	if err != nil && !errors.As(err, &exited) {
		forbidden(t, err)
	}
	if cmd.ProcessState.ExitCode() != 1 || out.String() != "" {
		t.Errorf("exit code %d, output %q", cmd.ProcessState.ExitCode(), out)
	}
	if s := log.String(); strings.Count(s, "\n") != 1 || !strings.HasPrefix(s, "weir: port tun: TUN weir0: no permission") {
		t.Errorf("it says\n%s", s)
	}
}
