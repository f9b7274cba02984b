package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
)

// built is the binary that users get, linked once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weir-e2e")
	if err != nil {
		return "", err
	}
	atEnd = append(atEnd, func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	file := filepath.Join(dir, "weir")
	said, err := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", file, "weir/cmd/weir").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build weir: %w\n%s", err, said)
	}
	return file, nil
})

// executable is the path of weir.
func executable(t testing.TB) string {
	t.Helper()
	file, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// inKernel runs a scenario in the kernel world of each topology, where weir is
// a program.
func inKernel(t *testing.T, scenario func(t *testing.T, w lab.World)) {
	labtest.RequireKernel(t)
	executable(t)
	for _, topology := range topologies {
		t.Run(topology.Name, func(t *testing.T) { oneKernel(t, topology, scenario) })
	}
}

// oneKernel runs a scenario in the kernel world of one topology.
func oneKernel(t *testing.T, topology lab.Topology, scenario func(t *testing.T, w lab.World)) {
	labtest.RequireKernel(t)
	executable(t)
	labtest.NoLeaks(t)
	scenario(t, labtest.Kernel(t, topology))
}

// answer is what a program said, and its exit code.
type answer struct {
	exit     int
	out, err string
}

// weir runs a command of weir that ends by itself.
func weir(t testing.TB, args ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out, errors bytes.Buffer
	cmd := exec.CommandContext(ctx, executable(t), args...)
	cmd.Stdout, cmd.Stderr = &out, &errors
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("weir %s: no end: %v", strings.Join(args, " "), err)
	}
	return answer{exitCode(t, err), out.String(), errors.String()}
}

// exitCode is that of a program that ended with err.
func exitCode(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exited := new(exec.ExitError)
	if !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return exited.ExitCode()
}

// program is a `weir run` that was started in a world.
type program struct {
	lab.Process
	file, socket string // its configuration and where operators ask
	out, log     screen
}

// launch starts weir in its place of the world; ready or not.
func launch(t testing.TB, w lab.World, config string, how ...func(*exec.Cmd)) *program {
	t.Helper()
	dir := t.TempDir()
	p := &program{file: write(t, filepath.Join(dir, "weir.yaml"), config), socket: filepath.Join(dir, "weir.sock")}
	p.start(t, w, how...)
	return p
}

// start starts p, which does not run yet or not any more.
func (p *program) start(t testing.TB, w lab.World, how ...func(*exec.Cmd)) {
	t.Helper()
	p.out.clear()
	p.log.clear()
	cmd := exec.Command(executable(t), "run", p.file, "--socket", p.socket)
	cmd.Stdout, cmd.Stderr = &p.out, &p.log
	for _, f := range how {
		f(cmd)
	}
	var err error
	if p.Process, err = w.Weir().(lab.Starter).Start(cmd); err != nil {
		t.Fatal(err)
	}
}

// startProgram starts weir as a program and waits until it says that it is
// ready. It is told to end with the test.
func startProgram(t testing.TB, w lab.World, config string, how ...func(*exec.Cmd)) *program {
	t.Helper()
	p := launch(t, w, config, how...)
	p.ready(t)
	t.Cleanup(func() {
		select {
		case <-p.Done():
		default:
			p.end(t)
		}
	})
	return p
}

// ready waits for the line that scripts wait for.
func (p *program) ready(t testing.TB) {
	t.Helper()
	p.await(t, &p.out, "ready")
}

// logs waits until the log says something.
func (p *program) logs(t testing.TB, what string) {
	t.Helper()
	p.await(t, &p.log, what)
}

func (p *program) await(t testing.TB, s *screen, what string) {
	t.Helper()
	if err := s.until(what, p.Done()); err != nil {
		t.Fatalf("weir: %v; it wrote\n%s%s", err, &p.out, &p.log)
	}
}

// exit waits for the end and returns the exit code.
func (p *program) exit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(limit):
		t.Fatalf("weir does not end; it wrote\n%s%s", &p.out, &p.log)
	}
	return exitCode(t, p.Wait())
}

// end ends it as a service manager does, and looks at what it leaves.
func (p *program) end(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if exit := p.exit(t); exit != 0 {
		t.Errorf("after SIGTERM weir ended with %d:\n%s", exit, &p.log)
	}
	if out := p.out.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "ready") {
		t.Errorf("standard output is %q, want one line with ready", out)
	}
	if _, err := os.Lstat(p.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is still there: %v", err)
	}
}

// kill ends it without a chance to tidy up.
func (p *program) kill(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	p.exit(t)
}

func (p *program) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// says is what a command about the running weir prints.
func (p *program) says(t testing.TB, args ...string) string {
	t.Helper()
	a := weir(t, append(args, "--socket", p.socket)...)
	if a.exit != 0 || a.err != "" {
		t.Fatalf("weir %s: exit %d\n%s%s", strings.Join(args, " "), a.exit, a.out, a.err)
	}
	return a.out
}

// tells is the same as JSON.
func tells[T any](t testing.TB, p *program, args ...string) (v T) {
	t.Helper()
	text := p.says(t, append(args, "--json")...)
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("weir %s --json: %v\n%s", strings.Join(args, " "), err, text)
	}
	return v
}

func write(t testing.TB, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// screen is what a program has written, for those who wait for it.
type screen struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // closed and made anew with every write
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, b...)
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
	return len(b), nil
}

func (s *screen) String() string {
	text, _ := s.look()
	return text
}

func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = nil
}

// look is the text, and a channel that is closed when there is more.
func (s *screen) look() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return string(s.text), s.more
}

// until waits for what, unless the writer ends before.
func (s *screen) until(what string, ended <-chan struct{}) error {
	for late := time.After(limit); ; {
		text, more := s.look()
		if strings.Contains(text, what) {
			return nil
		}
		select {
		case <-more:
		case <-ended:
			if strings.Contains(s.String(), what) {
				return nil
			}
			return fmt.Errorf("it ended without %q", what)
		case <-late:
			return fmt.Errorf("no %q within %v", what, limit)
		}
	}
}
