package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestSocketIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "weir.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v, %v; want a socket with 0600", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// dead leaves a socket at path that nobody listens on, as kill -9 does.
func dead(t *testing.T, path string) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestDeadSocketIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	dead(t, path)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the listener
		if conn, err := l.Accept(); err == nil {
			conn.Close()
		}
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the new socket does not answer: %v", err)
	}
	conn.Close()
}

func TestLiveSocketIsRefusedWithItsPID(t *testing.T) {
	path := serve(t, newSource(), nil, nil)
	_, err := Listen(path)
	if err == nil || !strings.Contains(err.Error(), "weir runs there already (pid 4711)") {
		t.Errorf("Listen: %v", err)
	}
	if _, err := NewClient(path).Version(within(t)); err != nil {
		t.Errorf("the first server was disturbed: %v", err)
	}
}

func TestPathsThatCannotBeASocket(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	if err := os.WriteFile(plain, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	silent := filepath.Join(dir, "silent")
	l, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, row := range []struct{ name, path, want string }{
		{"no path", "", "name one with --socket"},
		{"a file", plain, "no socket"},
		{"below a file", filepath.Join(plain, "weir.sock"), "not a directory"},
		{"a path longer than a socket's may be", filepath.Join(dir, strings.Repeat("x", 120)), "too long"},
		{"a process that listens and says nothing", silent, "does not answer"},
	} {
		if _, err := Listen(row.path); err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", row.name, err, row.want)
		}
	}
	if text, _ := os.ReadFile(plain); string(text) != "precious" {
		t.Error("a file that is no socket was harmed")
	}
}

func TestOneOfManyStartsAtOnceWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	dead(t, path)
	const starts = 8
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	var tried, serving sync.WaitGroup
	var won atomic.Int32
	for range starts {
		tried.Add(1)
		serving.Go(func() { // a winner serves until the test ends
			l, err := Listen(path)
			if err == nil {
				won.Add(1)
				s := NewServer(l, newSource(), Version{PID: 4711}, DefaultLimits(), slog.New(slog.DiscardHandler))
				tried.Done()
				_ = s.Run(ctx)
				return
			}
			if !strings.Contains(err.Error(), "(pid 4711)") {
				t.Errorf("a loser is told %v", err)
			}
			tried.Done()
		})
	}
	tried.Wait()
	cancel()
	serving.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of %d starts got the socket, want 1", won.Load(), starts)
	}
}

func TestCloseLeavesASuccessorsSocketAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the second's socket: %v", err)
	}
}

func TestClientSaysWhyNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	dead(t, gone)
	for name, path := range map[string]string{"no file": filepath.Join(dir, "none"), "a dead socket": gone} {
		_, err := NewClient(path).Version(within(t))
		if err == nil || err.Error() != "control socket "+path+": nobody listens there: start weir, or name its socket with --socket" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDefaultSocket(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	want := "/run/user/7/weir.sock"
	if os.Geteuid() == 0 {
		want = "/run/weir/weir.sock"
	}
	if got := DefaultSocket(); got != want {
		t.Errorf("default is %s, want %s", got, want)
	}
	if _, err := Listen(""); errors.Unwrap(err) != nil || err == nil {
		t.Errorf("without a place: %v", err)
	}
}
