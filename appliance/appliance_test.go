package appliance

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"weir/appliance/announce"
	"weir/appliance/control"
	"weir/netstack"
	"weir/netstack/device"
)

const routed = `topology: routed
ports:
  - {name: lan, tap: weir0, addresses: [10.1.0.1/24, "fd00:1::1/64"]}
  - {name: dmz, tap: weir1, addresses: [10.2.0.1/24, "fd00:2::1/64"]}
services:
  - {name: web, vip: 192.0.2.10:80, method: nat, scheduler: rr, reals: [{name: r1, address: 10.2.0.11:8080}]}
  - {name: web6, vip: "[2001:db8::10]:80", method: nat, reals: [{name: r1, address: "[fd00:2::11]:8080"}]}
  - {name: dns, vip: 192.0.2.10:53, protocol: udp, method: nat, reals: [{name: r1, address: 10.2.0.11:8080}]}
`

// stations are a client and a real server around a routed appliance.
func stations(t *testing.T, c *cables) (client, real *netstack.Stack) {
	client = station(t, c.far["lan"], "10.1.0.9/24", "fd00:1::9/64")
	real = station(t, c.far["dmz"], "10.2.0.11/24", "fd00:2::11/64")
	serve(t, real, "r1", "10.2.0.11:8080", "[fd00:2::11]:8080")
	return client, real
}

func TestTrafficThroughTheVIP(t *testing.T) {
	noLeaks(t)
	a, c := start(t, routed, nil)
	client, _ := stations(t, c)
	for _, row := range []struct{ network, vip string }{
		{"tcp", "192.0.2.10:80"}, {"tcp", "[2001:db8::10]:80"}, {"udp", "192.0.2.10:53"},
	} {
		if got := dial(t, client, row.network, row.vip).ask("hello"); got != "r1 hello" {
			t.Errorf("%s %s answers %q", row.network, row.vip, got)
		}
	}
	if _, err := tryDial(client, "tcp", "192.0.2.10:81"); err == nil {
		t.Error("a port without a service accepts connections")
	}

	s := a.Snapshot()
	var names []string
	for _, sv := range s.Services {
		names = append(names, sv.Name)
		if sv.Method != "nat" || len(sv.Reals) != 1 || sv.Reals[0].Created != 1 {
			t.Errorf("service %+v; want method nat and one flow created for its real server", sv)
		}
	}
	if !slices.Equal(names, []string{"web", "web6", "dns"}) {
		t.Errorf("services %v", names)
	}
	var flows []string
	a.Flows(func(f control.Flow) bool {
		flows = append(flows, f.Service+" "+f.Real+" "+f.Protocol+" "+f.State)
		return true
	})
	slices.Sort(flows)
	if want := []string{"dns r1 udp udp", "web r1 tcp established", "web6 r1 tcp established"}; !slices.Equal(flows, want) {
		t.Errorf("flows %v, want %v", flows, want)
	}
	if n := s.Counters.Flows; n.Created != 3 || n.Live != 3 || n.Limit != 262144 {
		t.Errorf("flow counters %+v", n)
	}
	if n := s.Counters.Ports[0].Drops["no-service"]; n == 0 {
		t.Error("the refused connection was not counted as no-service")
	}
	hasReal := slices.ContainsFunc(s.Neighbours, func(n control.Neighbour) bool {
		return n.Port == "dmz" && n.Address.String() == "10.2.0.11" && n.State == "reachable" && n.MAC == c.far["dmz"].MAC().String()
	})
	if !hasReal {
		t.Errorf("the real server is not among the neighbours: %+v", s.Neighbours)
	}
}

func TestOperatorsAreAnswered(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "weir.sock")
	pending := strings.Replace(routed, "scheduler: rr", "scheduler: wrr", 1)
	a, _ := start(t, routed, func(o *Options) {
		o.Socket = path
		o.Version = control.Version{PID: 4711}
		o.Reread = func() (string, []byte, error) { return "weir.yaml", []byte(pending), nil }
	})
	c, ctx := control.NewClient(path), t.Context()
	if v, err := c.Version(ctx); err != nil || v.PID != 4711 {
		t.Errorf("version: %+v, %v", v, err)
	}
	services, err := c.Services(ctx)
	if err != nil || len(services) != 3 || services[0].Scheduler != "rr" {
		t.Errorf("services: %+v, %v", services, err)
	}
	const change = "change service web scheduler: rr -> wrr"
	if p, err := c.Pending(ctx); err != nil || p.String() != change {
		t.Errorf("pending: %v, %v", p, err)
	}
	if p, err := c.Plan(ctx, "x.yaml", []byte(pending)); err != nil || p.String() != change {
		t.Errorf("plan: %v, %v", p, err)
	}
	if a.Config().Services[0].Scheduler.String() != "rr" {
		t.Error("a plan was carried out")
	}
	if p, err := c.Apply(ctx, "x.yaml", []byte(pending)); err != nil || p.String() != change {
		t.Errorf("apply: %v, %v", p, err)
	}
	if services, err = c.Services(ctx); err != nil || services[0].Scheduler != "wrr" {
		t.Errorf("services after apply: %+v, %v", services, err)
	}
	_, err = c.Apply(ctx, "x.yaml", []byte(strings.Replace(pending, "scheduler: wrr", "scheduler: wr", 1)))
	if faults := (control.Faults)(nil); !errors.As(err, &faults) || len(faults) != 1 || faults[0].Line != 6 || faults[0].File != "x.yaml" {
		t.Errorf("apply of a faulty file: %v", err)
	}
	if e, err := c.Explain(ctx, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S"); err != nil || e.Service != "web" {
		t.Errorf("explain: %+v, %v", e, err)
	}
}

func TestSocketThatIsTakenIsRefused(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "weir.sock")
	start(t, routed, func(o *Options) { o.Socket, o.Version = path, control.Version{PID: 4711} })
	cfg := configOf(t, routed)
	c := layCables(cfg)
	_, err := New(cfg, Options{OpenDevice: c.open, Host: announce.None, Socket: path})
	if err == nil || !strings.Contains(err.Error(), "pid 4711") {
		t.Errorf("New: %v", err)
	}
	c.allClosed(t)
	if v, err := control.NewClient(path).Version(t.Context()); err != nil || v.PID != 4711 {
		t.Errorf("the first one: %+v, %v", v, err)
	}
}

// recordingHost is a host that writes down what it is asked.
type recordingHost struct {
	mu    sync.Mutex
	said  []string
	fail  string   // the call that fails
	watch *watched // a device whose state is part of the story
}

func (h *recordingHost) note(what string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watch != nil {
		h.watch.mu.Lock()
		defer h.watch.mu.Unlock()
		if h.watch.closed {
			what += " after the device was closed"
		}
	}
	h.said = append(h.said, what)
	if strings.HasPrefix(what, h.fail) && h.fail != "" {
		return errors.New("host: " + h.fail + " refused")
	}
	return nil
}

func (h *recordingHost) story() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.said, "\n")
}

func (h *recordingHost) Attach(device string) (announce.Steering, error) {
	return h, h.note("attach " + device)
}

func (h *recordingHost) Join(device, bridge string) (func() error, error) {
	leave := func() error { return h.note(device + " leaves " + bridge) }
	return leave, h.note(device + " joins " + bridge)
}

func (h *recordingHost) Extend(w announce.Want) error { return h.note("extend " + wantText(w)) }
func (h *recordingHost) Reduce(w announce.Want) error { return h.note("reduce to " + wantText(w)) }
func (h *recordingHost) Close() error                 { return h.note("close") }

func (h *recordingHost) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (h *recordingHost) String() string                { return "host" }
func (h *recordingHost) Ready() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

func wantText(w announce.Want) string {
	var list []string
	for _, a := range w.To {
		list = append(list, a.String())
	}
	for _, s := range w.From {
		list = append(list, s.String())
	}
	return strings.Join(list, ", ")
}

const hosted = `topology: host
ports:
  - {name: tun, tun: weir0, addresses: [10.3.0.2/32]}
services:
  - {name: web, vip: 192.0.2.10:80, method: nat, reals: [10.2.0.11:8080]}
`

func TestHostIsSteeredFromBeforeReadyUntilTheEnd(t *testing.T) {
	noLeaks(t)
	cfg, h := configOf(t, hosted), &recordingHost{}
	c := layCables(cfg)
	a, err := New(cfg, Options{OpenDevice: c.open, Host: h})
	if err != nil {
		t.Fatal(err)
	}
	h.watch = c.opened[0]
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }() // until cancel
	waitFor(t, "ready", a.Ready())
	before := h.story()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	const want = "attach weir0\nextend 192.0.2.10, 10.3.0.2, protocol 6 from 10.2.0.11:8080, protocol 1 from 10.2.0.11"
	if before != want {
		t.Errorf("when ready, the host had been asked\n%s\nwant\n%s", before, want)
	}
	if got := h.story(); got != want+"\nclose" {
		t.Errorf("at the end\n%s", got)
	}
	c.allClosed(t)
}

func TestHostThatManagesItselfIsLeftAlone(t *testing.T) {
	h := &recordingHost{}
	start(t, hosted+"host: {manage: false}\n", func(o *Options) { o.Host = h })
	if s := h.story(); s != "" {
		t.Errorf("the host was asked %s", s)
	}
}

func TestNewThatFailsLeavesNothing(t *testing.T) {
	for _, row := range []struct {
		name, text string
		change     func(*Options, *cables, *recordingHost)
		says       string
		closes     bool // the host
	}{
		{"the second device", routed, func(_ *Options, c *cables, _ *recordingHost) { c.fail = "dmz" }, "port dmz: out of devices", false},
		{"the host cannot be had", hosted, func(_ *Options, _ *cables, h *recordingHost) { h.fail = "attach" }, "attach refused", false},
		{"the host cannot be steered", hosted, func(_ *Options, _ *cables, h *recordingHost) { h.fail = "extend" }, "extend refused", true},
		{"the socket", hosted, func(o *Options, _ *cables, _ *recordingHost) { o.Socket = "/dev/null/weir.sock" }, "not a directory", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			noLeaks(t)
			cfg, h := configOf(t, row.text), &recordingHost{}
			c := layCables(cfg)
			near, far := net.Pipe()
			far.Close()
			l := &listener{Conn: near}
			o := Options{OpenDevice: c.open, Host: h}
			row.change(&o, c, h)
			if o.Socket == "" {
				o.Listener = l
			}
			_, err := New(cfg, o)
			if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("New: %v, want one line with %q", err, row.says)
			}
			c.allClosed(t)
			if got := strings.HasSuffix(h.story(), "close"); got != row.closes {
				t.Errorf("the host was asked\n%s", h.story())
			}
			if o.Listener != nil && !l.closed {
				t.Error("the listener is still open")
			}
		})
	}
}

// listener is one that nobody connects to.
type listener struct {
	net.Conn
	closed bool
}

func (l *listener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (l *listener) Addr() net.Addr            { return l.LocalAddr() }
func (l *listener) Close() error              { l.closed = true; return l.Conn.Close() }

func TestCloseEndsRun(t *testing.T) {
	noLeaks(t)
	cfg := configOf(t, routed)
	c := layCables(cfg)
	a, err := New(cfg, Options{OpenDevice: c.open})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.Background()) }() // until Close
	waitFor(t, "ready", a.Ready())
	if err := a.Run(context.Background()); err == nil {
		t.Error("it runs twice")
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	c.allClosed(t)
	if err := a.Run(context.Background()); err == nil {
		t.Error("it runs after Close")
	}
}

func TestLossOfADeviceEndsRunWithItsName(t *testing.T) {
	noLeaks(t)
	cfg, h := configOf(t, hosted), &recordingHost{}
	c := layCables(cfg)
	a, err := New(cfg, Options{OpenDevice: c.open, Host: h})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.Background()) }() // until the device is gone
	waitFor(t, "ready", a.Ready())
	if err := c.far["tun"].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, device.ErrRemoved) || !strings.Contains(err.Error(), "port tun") {
		t.Errorf("Run: %v", err)
	}
	if !strings.HasSuffix(h.story(), "close") {
		t.Errorf("the host was not let go: %s", h.story())
	}
}

// A task that panics ends the run with one line, and the host is let go.
func TestPanicOfATaskIsAnError(t *testing.T) {
	err := guarded(context.Background(), panicking{})
	if err == nil || !strings.Contains(err.Error(), "oops: a fault in weir itself: boom (weir/appliance.panicking.Run:") || strings.Contains(err.Error(), "\n") {
		t.Errorf("guarded: %v", err)
	}
}

type panicking struct{}

func (panicking) Run(context.Context) error { panic("boom") }
func (panicking) Ready() <-chan struct{}    { return nil }
func (panicking) String() string            { return "oops" }
