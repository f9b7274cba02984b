package netstack

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// The stations of the scripts, by name.
var stations = map[string]packet.MAC{
	"lan":    {2, 0, 0, 0, 0, 1}, // weir's ports
	"wan":    {2, 0, 0, 0, 0, 2},
	"client": {2, 0, 0, 0, 0, 0x11},
	"real":   {2, 0, 0, 0, 0, 0x12},
	"thief":  {2, 0, 0, 0, 0, 0x13},
	"gw":     {2, 0, 0, 0, 0, 0x14},
	"nobody": {2, 0, 0, 0, 0, 0x99},
	"all":    packet.Broadcast,
	"nodes":  {0x33, 0x33, 0, 0, 0, 1},
}

// recorder is a device that keeps what is written to it.
type recorder struct {
	name   string
	link   packet.Link
	mac    packet.MAC
	mtu    int
	fail   error // what Write returns
	mu     sync.Mutex
	sent   []heldFrame
	read   chan func(*packet.Packet) error
	closed chan struct{}
	once   sync.Once
}

func newRecorder(name string, link packet.Link, mtu int) *recorder {
	r := &recorder{name: name, link: link, mtu: mtu,
		read: make(chan func(*packet.Packet) error), closed: make(chan struct{})}
	if link == packet.LinkEthernet {
		r.mac = stations[name]
	}
	return r
}

func (r *recorder) Name() string              { return r.name + "0" }
func (r *recorder) Link() packet.Link         { return r.link }
func (r *recorder) MTU() int                  { return r.mtu }
func (r *recorder) MAC() packet.MAC           { return r.mac }
func (r *recorder) Features() device.Features { return device.Features{} }
func (r *recorder) Queues() int               { return 1 }

func (r *recorder) Read(_ int, p *packet.Packet) error {
	select {
	case do := <-r.read:
		return do(p)
	case <-r.closed:
		return device.ErrClosed
	}
}

func (r *recorder) Write(p *packet.Packet) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	f := copyFrame(p)
	f.link = r.link
	r.sent = append(r.sent, f)
	return nil
}

func (r *recorder) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// take returns the frames written since the last call, as lines.
func (r *recorder) take(t *testing.T) (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.sent {
		var p packet.Packet
		if reason := r.sent[i].load(&p); reason != packet.OK {
			t.Errorf("%s sent a frame that does not parse: %s", r.name, reason)
		}
		lines = append(lines, r.name+": "+named(p.String()))
	}
	r.sent = nil
	return lines
}

// named puts the stations' names for their MACs; unnamed is the reverse.
func named(line string) string {
	for name, mac := range stations {
		line = strings.ReplaceAll(line, mac.String(), name)
	}
	return line
}

func unnamed(line string) string {
	words := strings.Fields(line)
	for i, w := range words {
		if i > 0 && (words[i-1] == "mac" || words[i-1] == "link" || words[i-1] == "is-at") {
			from, to, pair := strings.Cut(w, ">")
			if mac, ok := stations[from]; ok {
				from = mac.String()
			}
			if mac, ok := stations[to]; ok {
				to = mac.String()
			}
			words[i] = from
			if pair {
				words[i] += ">" + to
			}
		}
	}
	return strings.Join(words, " ")
}

// rig is a Stack over recorders, driven frame by frame: nothing in it runs by
// itself, and the time is what the script says.
type rig struct {
	t     *testing.T
	s     *Stack
	now   time.Duration
	ports map[string]*recorder
	log   strings.Builder
	out   []string // sent, and not yet expected
}

type rigOption func(*Config)

func forwarding(c *Config) { c.Forward = true }

func routeTo(to, via, port string) rigOption {
	return func(c *Config) {
		r := Route{To: netip.MustParsePrefix(to), Port: port}
		if via != "" {
			r.Via = netip.MustParseAddr(via)
		}
		c.Routes = append(c.Routes, r)
	}
}

func mtu(name string, n int) rigOption {
	return func(c *Config) {
		for _, p := range c.Ports {
			if p.Name == name {
				p.Device.(*recorder).mtu = n
			}
		}
	}
}

// tun makes the port a TUN.
func tun(name string) rigOption {
	return func(c *Config) {
		for _, p := range c.Ports {
			if r := p.Device.(*recorder); p.Name == name {
				r.link, r.mac = packet.LinkRaw, packet.MAC{}
			}
		}
	}
}

// newRig has the ports lan (10.0.0.2/24, 2001:db8:a::2/64) and wan
// (192.0.2.2/24, 2001:db8:b::2/64), both TAPs.
func newRig(t *testing.T, options ...rigOption) *rig {
	t.Helper()
	r := &rig{t: t, ports: map[string]*recorder{}}
	cfg := Config{Clock: func() time.Duration { return r.now }, Log: slog.New(slog.NewTextHandler(&r.log, nil))}
	for _, p := range []struct{ name, v4, v6 string }{
		{"lan", "10.0.0.2/24", "2001:db8:a::2/64"}, {"wan", "192.0.2.2/24", "2001:db8:b::2/64"},
	} {
		r.ports[p.name] = newRecorder(p.name, packet.LinkEthernet, 1500)
		cfg.Ports = append(cfg.Ports, PortConfig{Name: p.name, Device: r.ports[p.name],
			Addresses: []netip.Prefix{netip.MustParsePrefix(p.v4), netip.MustParsePrefix(p.v6)}})
	}
	for _, o := range options {
		o(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.s = s
	t.Cleanup(func() { _ = s.Close() })
	return r
}

func (r *rig) port(name string) *port {
	for _, p := range r.s.ports {
		if p.name == name {
			return p
		}
	}
	r.t.Fatalf("there is no port %s", name)
	return nil
}

// load makes p the frame of a line such as "lan: tcp ... mac client>lan".
func (r *rig) load(p *packet.Packet, line string) *port {
	r.t.Helper()
	at, text, _ := strings.Cut(line, ": ")
	if op, ok := strings.CutPrefix(text, "arp "); ok {
		r.buildARP(p, op)
	} else if err := packet.Build(p, unnamed(text)); err != nil {
		r.t.Fatal(err)
	}
	return r.port(at)
}

// buildARP reads "who-has A tell B mac x>y" and "A is-at z mac x>y".
func (r *rig) buildARP(p *packet.Packet, text string) {
	r.t.Helper()
	var a packet.ARP
	var one, two, macs string
	if n, _ := fmt.Sscanf(text, "who-has %s tell %s mac %s", &one, &two, &macs); n == 3 {
		a.Op, a.Target, a.Sender = packet.ARPRequest, netip.MustParseAddr(one), netip.MustParseAddr(two)
	} else if n, _ := fmt.Sscanf(text, "%s is-at %s mac %s", &one, &two, &macs); n == 3 {
		a.Op, a.Sender, a.Target = packet.ARPReply, netip.MustParseAddr(one), netip.MustParseAddr(one)
	} else {
		r.t.Fatalf("cannot read arp %q", text)
	}
	from, to, _ := strings.Cut(macs, ">")
	a.SenderMAC = stations[from]
	if a.Op == packet.ARPReply {
		a.SenderMAC = stations[two]
	}
	packet.BuildARP(p, &a, stations[to])
	p.SetMACs(stations[from], stations[to])
}

// play runs a script, line by line:
//
//	in PORT: FRAME      the frame comes in
//	out PORT: FRAME     this is the next frame that goes out; * is any word
//	at TIME             time moves on to TIME; what is due is done
//	count PORT REASON=N drops that were counted since the start
//
// All that goes out must be said.
func (r *rig) play(script string) {
	r.t.Helper()
	for _, line := range strings.Split(script, "\n") {
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if verb == "" || verb == "#" {
			continue
		}
		if verb != "out" {
			r.silent()
		}
		switch verb {
		case "in":
			w := r.s.worker()
			in := r.load(&w.frame, rest)
			w.ingress(r.now, in, &w.frame)
			w.drain(r.now)
			r.s.retire(w)
			r.collect()
		case "out":
			if len(r.out) == 0 {
				r.t.Fatalf("nothing went out; want\n\t%s", rest)
			}
			if !alike(r.out[0], rest) {
				r.t.Fatalf("went out\n\t%s\nwant\n\t%s", r.out[0], rest)
			}
			r.out = r.out[1:]
		case "at":
			d, err := time.ParseDuration(rest)
			if err != nil || d < r.now {
				r.t.Fatalf("bad time in %q", line)
			}
			for r.now < d {
				r.now = min(d, r.now+tickEvery)
				w := r.s.worker()
				r.s.guarded(w, r.s.tick)
				r.s.retire(w)
			}
			r.collect()
		case "count":
			r.count(rest)
		default:
			r.t.Fatalf("what does %q mean?", line)
		}
	}
	r.silent()
}

// alike compares word by word; * in want stands for any word.
func alike(got, want string) bool {
	g, w := strings.Fields(got), strings.Fields(want)
	for i := range w {
		if i < len(g) && w[i] == "*" {
			w[i] = g[i]
		}
	}
	return slices.Equal(g, w)
}

// collect takes what was sent, and what gVisor is to be told.
func (r *rig) collect() {
	for len(r.s.returns) > 0 {
		r.s.tellHost(r.now, <-r.s.returns)
	}
	for _, p := range r.s.ports {
		r.out = append(r.out, r.ports[p.name].take(r.t)...)
	}
}

func (r *rig) silent() {
	r.t.Helper()
	if len(r.out) > 0 {
		r.t.Fatalf("went out, but was not expected:\n\t%s", strings.Join(r.out, "\n\t"))
	}
}

func (r *rig) count(line string) {
	r.t.Helper()
	at, sums, _ := strings.Cut(line, " ")
	var got []string
	c := r.port(at).snapshot()
	for reason, n := range c.Drops {
		if n > 0 {
			got = append(got, fmt.Sprintf("%s=%d", packet.Reason(reason), n))
		}
	}
	if want := strings.Join(strings.Fields(sums), " "); strings.Join(got, " ") != want {
		r.t.Fatalf("port %s dropped %q, want %q", at, strings.Join(got, " "), want)
	}
}

func mustAddr(a string) netip.Addr { return netip.MustParseAddr(a) }
