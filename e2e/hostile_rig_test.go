package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/appliance"
	"weir/appliance/control"
	"weir/e2e/hostile"
	"weir/e2e/lab"
	"weir/netstack/packet"
)

// hostileSoak asks for the full volume, 10,000 units of each class and 50,000
// fragments: minutes instead of seconds.
var hostileSoak = os.Getenv("WEIR_SOAK") == "1"

// hostileVolume is how much of something a run does: shortly, ordinarily, fully.
func hostileVolume(short, ordinary, full int) int {
	switch {
	case hostileSoak:
		return full
	case testing.Short():
		return short
	}
	return ordinary
}

// secondVIP is served by nobody; weir owns it.
var secondVIP = [2]netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8::11")}

// hostileServices are services, with a second VIP.
func hostileServices(w lab.World) string {
	text := services(w)
	for i, vip := range secondVIP {
		text += fmt.Sprintf("  - {name: second%d, vip: \"%s\", method: nat, reals: []}\n", i, netip.AddrPortFrom(vip, 80))
	}
	return text
}

// stageOf is what client2 attacks in a topology of two clients.
func stageOf(topology lab.Topology, w lab.World) hostile.Stage {
	s := hostile.Stage{
		From: topology.Node("client2").Interfaces[0].MAC,
		Src:  [2]netip.Addr{w.Host("client2").Addr4(), w.Host("client2").Addr6()},
		VIP:  [2]netip.Addr{lab.VIP4, lab.VIP6},
		TCP:  80, UDP: 53,
	}
	if around := topology.Node(topology.Weir.Node); around != nil {
		s.To = around.Interfaces[0].MAC
	} else {
		s.To = topology.Weir.Ports[0].MAC
	}
	for _, p := range topology.Weir.Ports {
		for _, a := range p.Addresses {
			i := 0
			if a.Addr().Is6() {
				i = 1
			}
			s.Own[i] = append(s.Own[i], a.Addr())
		}
	}
	for i := range s.Own {
		s.Own[i] = append(s.Own[i], secondVIP[i])
	}
	return s
}

// answerLines is a server that names itself and repeats the line it was sent:
// once, or as long as lines begin with "stay".
func answerLines(name string, c net.Conn) {
	r := bufio.NewReader(c)
	for {
		c.SetDeadline(time.Now().Add(limit))
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := io.WriteString(c, name+" "+line); err != nil || !strings.HasPrefix(line, "stay") {
			return
		}
	}
}

// honestTraffic is what honest clients do meanwhile: one connection after the other,
// and one that stays, in each family.
type honestTraffic struct {
	t    *testing.T
	w    lab.World
	long map[string]net.Conn
	stop context.CancelFunc
	done sync.WaitGroup

	requests, failed atomic.Int64
	slowest          atomic.Int64 // nanoseconds of a request
}

// newHonestTraffic opens the connections that stay.
func newHonestTraffic(t *testing.T, w lab.World) *honestTraffic {
	l := &honestTraffic{t: t, w: w, long: map[string]net.Conn{}}
	for _, f := range families {
		serveTCP(t, w, f, 8080, answerLines)
		l.long[f.name] = dial(t, w, "tcp", f.at(80))
	}
	return l
}

// start lets the clients go on until end is called.
func (l *honestTraffic) start() {
	ctx, cancel := context.WithCancel(l.t.Context())
	l.stop = cancel
	for _, f := range families {
		l.done.Go(func() { l.every(ctx, 10*time.Millisecond, func(i int) error { return l.request(f, i) }) })
		l.done.Go(func() { l.every(ctx, 50*time.Millisecond, func(i int) error { return l.stay(f, i) }) })
	}
}

func (l *honestTraffic) end() {
	l.stop()
	l.done.Wait()
}

// warmUp goes once around: neighbours, threads and pools are there. The
// attacker is known too, so that answers to it need not wait for its MAC.
func (l *honestTraffic) warmUp() {
	l.t.Helper()
	l.start()
	within(limit, func() bool { return l.requests.Load() > 40 })
	l.end()
	for _, f := range families {
		if _, err := l.w.Host("client2").Ping(l.t.Context(), f.vip); err != nil {
			l.t.Fatal(err)
		}
	}
}

// every calls do until ctx ends.
func (l *honestTraffic) every(ctx context.Context, pause time.Duration, do func(i int) error) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := 0; ; i++ {
		began := time.Now()
		l.requests.Add(1)
		if err := do(i); err != nil {
			l.failed.Add(1)
			l.t.Errorf("honest traffic, after %v: %v", time.Since(began), err)
		}
		if took := int64(time.Since(began)); took > l.slowest.Load() {
			l.slowest.Store(took)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// request is a new connection with a line and its answer.
func (l *honestTraffic) request(f family, i int) error {
	c, err := tryDial(l.t, l.w, "tcp", f.at(80))
	if err != nil {
		return err
	}
	defer c.Close()
	line := fmt.Sprintf("get %s %d\n", f.name, i)
	if _, err := io.WriteString(c, line); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if _, rest, _ := strings.Cut(string(answer), " "); err == nil && rest != line {
		err = fmt.Errorf("%q was answered with %q", line, answer)
	}
	return err
}

// stay is a line and its answer on the connection that stays.
func (l *honestTraffic) stay(f family, i int) error {
	c := l.long[f.name]
	c.SetDeadline(time.Now().Add(limit))
	line := fmt.Sprintf("stay %s %d\n", f.name, i)
	if _, err := io.WriteString(c, line); err != nil {
		return fmt.Errorf("the long connection: %w", err)
	}
	answer := make([]byte, len("realN ")+len(line))
	if _, err := io.ReadFull(c, answer); err != nil {
		return fmt.Errorf("the long connection: %w", err)
	}
	if string(answer[len("realN "):]) != line {
		return fmt.Errorf("the long connection: %q was answered with %q", line, answer)
	}
	return nil
}

// frameSource sends frames at a bounded rate.
type frameSource struct {
	out  io.WriteCloser
	tick *time.Ticker
	left int // frames of this tick
	each int
}

// burstEvery is how often an frameSource sends a burst.
const burstEvery = 2 * time.Millisecond

// newFrameSource sends at node's interface no more than rate frames a second. A
// burst that is late is not made up for: queues on the way are not the target.
func newFrameSource(t *testing.T, w lab.World, node, segment string, rate int) *frameSource {
	t.Helper()
	out, err := w.Inject(node, segment)
	if err != nil {
		t.Fatal(err)
	}
	i := &frameSource{out: out, tick: time.NewTicker(burstEvery), each: rate * int(burstEvery) / int(time.Second)}
	t.Cleanup(func() { i.tick.Stop(); i.out.Close() })
	return i
}

func (i *frameSource) send(t *testing.T, frame []byte) {
	t.Helper()
	if i.left == 0 {
		<-i.tick.C
		i.left = i.each
	}
	i.left--
	if _, err := i.out.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// dropsBy are the drop counters of all ports.
func dropsBy(a *appliance.Appliance) map[string]uint64 { return dropsIn(a.Snapshot().Counters) }

func dropsIn(c control.Counters) map[string]uint64 {
	sum := map[string]uint64{}
	for _, p := range c.Ports {
		for reason, n := range p.Drops {
			sum[reason] += n
		}
	}
	return sum
}

// countedSince is what has been counted after before, without zeros.
func countedSince(before, now map[string]uint64) map[string]uint64 {
	more := maps.Clone(now)
	for reason := range more {
		if more[reason] -= before[reason]; more[reason] == 0 {
			delete(more, reason)
		}
	}
	return more
}

// within polls until is holds, for as long as limit at most.
func within(most time.Duration, is func() bool) bool {
	for deadline := time.Now().Add(most); ; time.Sleep(time.Millisecond) { // polling, bounded by the deadline
		if is() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// capturesOf records at several nodes on a segment.
func capturesOf(t *testing.T, w lab.World, segment string, nodes ...string) (list []*lab.Capture) {
	t.Helper()
	for _, n := range nodes {
		c, err := w.Capture(n, segment)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// stopped ends captures and returns what was received, and what was sent.
func stopped(t *testing.T, captures []*lab.Capture) (in, out []lab.Frame) {
	t.Helper()
	for _, c := range captures {
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		if c.Lost() > 0 {
			t.Errorf("a capture had no room for %d frames", c.Lost())
		}
		in = append(in, received(c.Frames())...)
		out = append(out, sent(c.Frames(), true)...)
	}
	return in, out
}

// parseFrame parses a frame of Ethernet.
func parseFrame(data []byte) (*packet.Packet, packet.Reason) {
	p := &packet.Packet{}
	p.Load(data)
	return p, p.Parse(packet.LinkEthernet)
}

// share is what of a class does not come to weir.
type share uint8

const (
	none share = iota
	part       // what is wrong in one way of several
	all
)

// stopsBefore are classes, by topology and world, that a host around weir keeps
// from it. Of the routed topology nothing is missing: weir is on the link itself.
var stopsBefore = map[string]map[string]share{
	// The simulated host parses as weir does.
	"host sim": {
		"tiny": all, "ping-of-death": all, "bad-piece": all, "runt": all, "vlan": all, "ethertype": all, "unicast-in-group": all,
		"foreign-mac": all, "arp": all, "ndp": all, "ihl": all, "total-length": all, "version": all, "ip-checksum": all,
		"source-route": all, "bad-option": all, "l4-cut": all, "tcp-offset": all, "udp-length": all, "payload-length": all,
		"chain": all, "chain-order": all, "routing-0": all, "extension-cut": all,
		"redirect": part, // of those to weir's own addresses, which it routes to
	},
	// Linux judges IP headers, and sources as far as it routes by them.
	"host kernel": {
		"runt": all, "vlan": all, "ethertype": all, "unicast-in-group": all, "foreign-mac": all, "arp": all, "ndp": all,
		"ihl": all, "total-length": all, "version": all, "ip-checksum": all, "source-route": all, "bad-option": all,
		"payload-length": all,
		"extension-cut":  part, // jumbograms
		"martian":        part,
	},
}

// routersOf is how many hops a packet of a client's makes to a real server.
func routersOf(w lab.World) uint8 {
	if strings.HasPrefix(w.Weir().Config(), "topology: host") {
		return 3 // the host, weir, the host again
	}
	return 1
}
