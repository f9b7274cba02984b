package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/appliance"
	"weir/appliance/announce"
	"weir/appliance/config"
	"weir/appliance/control"
	"weir/netstack/device"
)

const patience = 20 * time.Second

// onAWire has weir open one end of a wire instead of a kernel's device.
func onAWire(t *testing.T) appliance.Options {
	return appliance.Options{Host: announce.None, OpenDevice: func(p config.Port) (device.Device, error) {
		near, far := device.NewWire(device.WireConfig{Name: p.Device, Kind: device.TUN}, device.WireConfig{Name: "far", Kind: device.TUN})
		t.Cleanup(func() { far.Close() })
		return near, nil
	}}
}

// screen is what a program writes, to be waited for.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{}
}

func newScreen() *screen { return &screen{news: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	select {
	case s.news <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// until waits for a text to appear.
func (s *screen) until(t *testing.T, what string) {
	t.Helper()
	for late := time.After(patience); !strings.Contains(s.String(), what); {
		select {
		case <-s.news:
		case <-late:
			t.Fatalf("waited in vain for %q; there is\n%s", what, s)
		}
	}
}

// running is a weir under test.
type running struct {
	file, socket string
	out, log     *screen
	hup          chan os.Signal
	end          context.CancelFunc
	ended        chan error
}

func start(t *testing.T, text string) *running {
	t.Helper()
	r := &running{file: write(t, "weir.yaml", text), socket: filepath.Join(t.TempDir(), "w.sock"),
		out: newScreen(), log: newScreen(), hup: make(chan os.Signal), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	r.end = cancel
	run := runner{file: r.file, socket: r.socket, stdout: r.out, stderr: r.log, reload: r.hup, options: onAWire(t)}
	go func() { r.ended <- run.run(ctx) }() // until end
	t.Cleanup(func() { cancel() })
	r.out.until(t, "ready")
	return r
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.end()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("run: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it does not stop")
	}
}

func (r *running) change(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.hup <- syscall.SIGHUP
}

func TestRunSaysReadyOnceAndReloads(t *testing.T) {
	r := start(t, good)
	ready := "weir: ready: 2 virtual services on tun weir0 (pid " + strconv.Itoa(os.Getpid()) + ")\n"
	r.log.until(t, "port opened")
	r.log.until(t, "offloads=checksum+tso+uso")

	r.change(t, strings.Replace(good, "10.2.0.12:8080", "10.2.0.13:8080", 1))
	r.log.until(t, "changes=2")
	if a := weir(t, "", "show", "reals", "--socket", r.socket); !strings.Contains(a.out, "10.2.0.13:8080") {
		t.Errorf("after the reload: %+v", a)
	}
	r.change(t, bad)
	r.log.until(t, r.file+":3:29: ")
	r.log.until(t, r.file+":5:58: ")
	r.change(t, strings.Replace(good, "10.3.0.2/32", "10.3.0.3/32", 1))
	r.log.until(t, "a running one cannot change: port tun addresses")
	if err := os.Remove(r.file); err != nil {
		t.Fatal(err)
	}
	r.hup <- syscall.SIGHUP
	r.log.until(t, "no such file")
	if a := weir(t, "", "show", "reals", "--socket", r.socket); a.exit != 0 || !strings.Contains(a.out, "10.2.0.13:8080") {
		t.Errorf("after three reloads that failed: %+v", a)
	}
	r.stop(t)
	if r.out.String() != ready {
		t.Errorf("standard output\n%s\nwant\n%s", r.out, ready)
	}
	if _, err := os.Stat(r.socket); err == nil {
		t.Error("the socket is still there")
	}
}

func TestCommandsAskTheRunningWeir(t *testing.T) {
	r := start(t, good)
	defer r.stop(t)
	newer := write(t, "newer.yaml", strings.Replace(good, "{name: r1,", "{name: r1, weight: 5,", 1))
	const changes = "change real r1 of web weight: 1 -> 5"
	for _, row := range []struct {
		name string
		args []string
		exit int
		out  string // lines with their blanks squeezed, one of which must be there
		err  string
	}{
		{"services", []string{"show", "services"}, 0, "web tcp 192.0.2.10:80 nat wrr 2 0 0 0 0 B 0 B", ""},
		{"reals", []string{"show", "reals"}, 0, "dns 10.2.0.11:53 10.2.0.11:53 1 0 0 0 0 0 B 0 0 B", ""},
		{"flows", []string{"show", "flows"}, 0, "no flows", ""},
		{"neighbours", []string{"show", "neighbours"}, 0, "PORT ADDRESS MAC STATE AGE", ""},
		{"counters", []string{"show", "counters"}, 0, "flows at most 262,144", ""},
		{"counters of flows that began anew", []string{"show", "counters"}, 0, "flows replaced 0", ""},
		{"plan of a file that is as it was", []string{"show", "plan"}, 0, "nothing changes", ""},
		{"explain", []string{"explain", "tcp 10.1.0.9:4000 > 192.0.2.10:80"}, 0, "emit: it leaves by port tun; service web, real server 10.2.0.12:8080", ""},
		{"explain of nonsense", []string{"explain", "tcp"}, 1, "", `weir: packet "tcp": `},
		{"check against the running one", []string{"check", newer, "--against", r.socket}, 0, changes, ""},
		{"apply", []string{"apply", newer}, 0, changes, ""},
		{"apply once more", []string{"apply", newer}, 0, "nothing changes", ""},
		{"plan: what SIGHUP would bring back", []string{"show", "plan"}, 0, "change real r1 of web weight: 5 -> 1", ""},
		{"apply of a faulty file", []string{"apply", write(t, "bad.yaml", bad)}, 1, "", "bad.yaml:3:29: "},
		{"apply of what needs a restart", []string{"apply", write(t, "r.yaml", good+"limits: {flows: 1}\n")}, 1, "", "weir: restart weir to apply this file, a running one cannot change: limits flows"},
		{"a second run", []string{"run", r.file}, 1, "", "weir runs there already (pid " + strconv.Itoa(os.Getpid()) + ")"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := weir(t, "", append(row.args, "--socket", r.socket)...)
			if a.exit != row.exit || row.out != "" && !hasLine(a.out, row.out) || !strings.Contains(a.errors, row.err) || row.err == "" && a.errors != "" {
				t.Errorf("exit %d\n%s%s\nwant exit %d, %q, %q", a.exit, a.out, a.errors, row.exit, row.out, row.err)
			}
		})
	}
	for _, what := range []string{"services", "reals", "flows", "neighbours", "counters", "plan"} {
		a := weir(t, "", "show", what, "--json", "--socket", r.socket)
		var v any
		if err := json.Unmarshal([]byte(a.out), &v); err != nil || a.exit != 0 || v == nil {
			t.Errorf("show %s --json: %+v: %v", what, a, err)
		}
	}
}

func hasLine(text, want string) bool {
	for _, l := range strings.Split(text, "\n") {
		if strings.Join(strings.Fields(l), " ") == want {
			return true
		}
	}
	return false
}

func TestRunThatCannotBegin(t *testing.T) {
	// The first to wait for a signal starts a goroutine that stays.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	signal.Stop(signals)
	file := write(t, "weir.yaml", good)
	for _, row := range []struct {
		name, file, socket, says string
	}{
		{"a faulty file", write(t, "bad.yaml", bad), filepath.Join(t.TempDir(), "s"), "bad.yaml:5:58: "},
		{"a file that is not there", file + "x", filepath.Join(t.TempDir(), "s"), "no such file or directory"},
		{"a place where no socket can be", file, "/dev/null/weir.sock", "not a directory"},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			a := weir(t, "", "run", row.file, "--socket", row.socket)
			if a.exit != 1 || a.out != "" || !strings.Contains(a.errors, row.says) {
				t.Errorf("%+v, want exit 1 and %q", a, row.says)
			}
			for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) { // goroutines end when they like
				if time.Now().After(end) {
					t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
				}
			}
		})
	}
}

// serviceManager returns what has the next thing that a service manager is told.
func serviceManager(t *testing.T) (told func() string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the protocol is Linux's")
	}
	at := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	l.SetReadDeadline(time.Now().Add(patience))
	t.Setenv("NOTIFY_SOCKET", at)
	return func() string {
		b := make([]byte, 1000)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// slowHost is a host whose steering is ready when gate is closed.
type slowHost struct {
	announce.Host
	gate chan struct{}
}

func (h slowHost) Attach(device string) (announce.Steering, error) {
	s, err := h.Host.Attach(device)
	return slowSteering{s, h.gate}, err
}

type slowSteering struct {
	announce.Steering
	gate chan struct{}
}

func (s slowSteering) Ready() <-chan struct{} { return s.gate }

// A reload that is asked for before weir is ready waits: the service manager
// must not hear READY from it.
func TestReloadWaitsUntilReady(t *testing.T) {
	told := serviceManager(t)
	o := onAWire(t)
	gate := make(chan struct{})
	o.Host = slowHost{announce.None, gate}
	hup := make(chan os.Signal, 1)
	hup <- syscall.SIGHUP
	log := newScreen()
	r := runner{file: write(t, "weir.yaml", good), socket: filepath.Join(t.TempDir(), "w.sock"), stdout: newScreen(), stderr: log, reload: hup, options: o}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx) }() // until cancel
	log.until(t, "port opened")
	if _, err := control.NewClient(r.socket).Version(ctx); err != nil { // it runs
		t.Fatal(err)
	}
	close(gate)
	for _, want := range []string{"READY=1", "RELOADING=1", "READY=1"} {
		if s := told(); !strings.HasPrefix(s, want) {
			t.Errorf("the service manager is told %q, want %s", s, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	told := serviceManager(t)
	r := start(t, good)
	if s := told(); s != "READY=1" {
		t.Errorf("at the start: %q", s)
	}
	r.hup <- syscall.SIGHUP
	s := told()
	usec, err := strconv.ParseInt(strings.TrimPrefix(s, "RELOADING=1\nMONOTONIC_USEC="), 10, 64)
	if err != nil || usec <= 0 {
		t.Errorf("at a reload: %q", s)
	}
	if s := told(); s != "READY=1" {
		t.Errorf("after the reload: %q", s)
	}
	r.stop(t)
	if s := told(); s != "STOPPING=1" {
		t.Errorf("at the end: %q", s)
	}
}

func TestFlowsBeyondTheLimitAreCounted(t *testing.T) {
	flows := func(n int, live int64) flowsOf {
		return func(yield func(control.Flow) bool) (int64, error) {
			for range n {
				yield(control.Flow{Protocol: "tcp", State: "established"})
			}
			return live, nil
		}
	}
	for _, row := range []struct {
		name  string
		shown int
		live  int64
		lines int
		last  string
	}{
		{"none", 0, 0, 1, "no flows"},
		{"all", 3, 3, 4, "tcp"},
		{"some of many", 1000, 12345, 1002, "11,345 more: --limit 0 shows all"},
		{"more than a page", 2500, 2500, 2503, "tcp"},
	} {
		var b bytes.Buffer
		if err := listFlows(&b, flows(row.shown, row.live)); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if last := lines[len(lines)-1]; len(lines) != row.lines || !strings.HasPrefix(last, row.last) {
			t.Errorf("%s: %d lines, the last %q; want %d and %q", row.name, len(lines), last, row.lines, row.last)
		}
		b.Reset()
		if err := listFlowsJSON(&b, flows(row.shown, row.live)); err != nil {
			t.Fatal(err)
		}
		var v struct {
			Flows []control.Flow
			Live  int64
		}
		if err := json.Unmarshal(b.Bytes(), &v); err != nil || len(v.Flows) != row.shown || v.Live != row.live || v.Flows == nil {
			t.Errorf("%s: %d flows of %d in JSON: %v", row.name, len(v.Flows), v.Live, err)
		}
	}
}
