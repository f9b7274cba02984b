package announce

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// insideEnv marks the test binary that runs in namespaces of its own.
const insideEnv = "WEIR_ANNOUNCE_INSIDE"

// outside says why these tests cannot run in a namespace; "" if they do.
var outside string

// TestMain runs the tests once more in a new user and network namespace, where
// this process is root and no route, rule or setting is anybody else's.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		Pdeathsig:   unix.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	err := cmd.Run()
	if exited := new(exec.ExitError); err == nil || errors.As(err, &exited) {
		os.Exit(cmd.ProcessState.ExitCode())
	}
	outside = fmt.Sprintf("no user and network namespace here: %v", err)
	os.Exit(m.Run())
}

// world is a host in this process's namespace: a TUN lan0 that stands for its
// segment with the clients 10.1.0.0/24 and the real servers 10.2.0.0/24, and a
// TUN of weir's.
type world struct {
	t         *testing.T
	nl        *netlink.Handle
	lan, weir *end
	log       lockedLog
}

// end is a TUN and what comes out of it.
type end struct {
	device.Device
	frames chan string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if outside != "" {
		if os.Getenv("WEIR_NO_SKIP") == "1" {
			t.Fatal(outside)
		}
		t.Skip(outside)
	}
	w := &world{t: t}
	var err error
	if w.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.nl.Close)
	for name, value := range map[string]string{"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv4/conf/all/rp_filter": "0"} {
		w.sysctl(name, value)
	}
	w.lan = w.open("lan0")
	up(t, w.lan)
	for _, net := range []string{"10.1.0.0/24", "10.2.0.0/24", "fd00:1::/64", "fd00:2::/64"} {
		dst, _ := netlink.ParseIPNet(net)
		link, err := w.nl.LinkByName("lan0")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.nl.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst}); err != nil {
			t.Fatalf("route %s: %v", net, err)
		}
	}
	w.weir = w.open("weir0")
	return w
}

func (w *world) open(name string) *end {
	w.t.Helper()
	d, err := device.Open(device.Config{Name: name, Kind: device.TUN, NoOffload: true})
	if err != nil {
		w.t.Fatal(err)
	}
	e := &end{d, make(chan string, 100)}
	var reading sync.WaitGroup
	reading.Go(func() { // until the device is closed
		for {
			var p packet.Packet
			if err := d.Read(0, &p); errors.Is(err, device.ErrClosed) || errors.Is(err, device.ErrRemoved) {
				return
			} else if err != nil {
				continue
			}
			if p.Parse(packet.LinkRaw) == packet.OK {
				select {
				case e.frames <- p.String():
				default: // the kernel's own chatter
				}
			}
		}
	})
	w.t.Cleanup(func() { d.Close(); reading.Wait() })
	return e
}

func up(t *testing.T, e *end) {
	t.Helper()
	if err := e.Device.(device.UpDowner).Up(); err != nil {
		t.Fatal(err)
	}
}

// attach is what weir does at its start.
func (w *world) attach() Steering {
	w.t.Helper()
	s, err := Kernel(slog.New(slog.NewTextHandler(&w.log, nil))).Attach("weir0")
	if err != nil {
		w.t.Fatal(err)
	}
	up(w.t, w.weir)
	return s
}

func (w *world) extend(s Steering, want Want) {
	w.t.Helper()
	if err := s.Extend(want); err != nil {
		w.t.Fatal(err)
	}
}

// travels has a packet come from one TUN and says by which it must leave, with
// one hop less to go.
func (w *world) travels(name, text string, from, to *end) {
	w.t.Helper()
	var p packet.Packet
	if err := packet.Build(&p, text); err != nil {
		w.t.Fatal(err)
	}
	if err := from.Write(&p); err != nil {
		w.t.Fatal(err)
	}
	p.DecTTL()
	want := p.String()
	other := w.lan
	if to == w.lan {
		other = w.weir
	}
	deadline := time.After(5 * time.Second)
	for {
		select {
		case got := <-to.frames:
			if got == want {
				return
			}
		case got := <-other.frames:
			if got == want {
				w.t.Errorf("%s: %s left by %s, want %s", name, text, other.Name(), to.Name())
				return
			}
		case <-deadline:
			w.t.Errorf("%s: %s did not leave by %s", name, text, to.Name())
			return
		}
	}
}

func (w *world) sysctl(name, value string) {
	w.t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
		w.t.Fatal(err)
	}
}

// state is all that Steering may change: rules, routes, and the device's
// settings and link.
func (w *world) state() string {
	w.t.Helper()
	var lines []string
	for _, family := range families {
		rules, err := w.nl.RuleList(family)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range rules {
			lines = append(lines, fmt.Sprintf("rule %d protocol %d sport %v ipproto %d iif %s: %s", family, r.Protocol, r.Sport, r.IPProto, r.IifName, r))
		}
		routes, err := w.nl.RouteListFiltered(family, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range routes {
			lines = append(lines, fmt.Sprintf("route %d table %d %s", family, r.Table, r.Dst))
		}
	}
	for _, d := range deviceSettings {
		b, err := os.ReadFile("/proc/sys/net/" + d.version + "/conf/weir0/" + d.name)
		if err != nil {
			w.t.Fatal(err)
		}
		lines = append(lines, d.version+" "+d.name+" "+strings.TrimSpace(string(b)))
	}
	link, err := net.InterfaceByName("weir0")
	if err != nil {
		w.t.Fatal(err)
	}
	lines = append(lines, fmt.Sprint("up ", link.Flags&net.FlagUp != 0))
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// unchanged holds that the host is as it was.
func (w *world) unchanged(when, before string) {
	w.t.Helper()
	if now := w.state(); now != before {
		w.t.Errorf("%s: the host is\n%s\nand was\n%s", when, diff(now, before), diff(before, now))
	}
}

// diff are the lines of a that b has not.
func diff(a, b string) string {
	has := strings.Split(b, "\n")
	lines := slices.DeleteFunc(strings.Split(a, "\n"), func(l string) bool { return slices.Contains(has, l) })
	return "\t" + strings.Join(lines, "\n\t")
}

// lockedLog is a log that may be read while it is written.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was logged since the last call.
func (l *lockedLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.b.String()
	l.b.Reset()
	return s
}

func want(to string, from ...Source) Want {
	w := Want{From: from}
	for _, s := range strings.Fields(to) {
		w.To = append(w.To, netip.MustParseAddr(s))
	}
	return w
}

func replies(real string, proto uint8) []Source {
	return Replies(netip.MustParseAddrPort(real), proto)
}
