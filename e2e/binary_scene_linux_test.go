package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/e2e/lab"
)

// greet names the real server and sends back what comes.
func greet(name string, c net.Conn) {
	fmt.Fprintln(c, name)
	io.Copy(c, c)
}

// serve answers everything that the services of services are for.
func serve(t testing.TB, w lab.World) {
	for _, f := range families {
		serveTCP(t, w, f, 8080, greet)
		echoUDP(t, w, f, 5353)
	}
}

// talk is a connection to a VIP that is kept over an event.
type talk struct {
	net.Conn
	in    *bufio.Reader
	real  string // who serves it
	lines int
}

// converse opens a connection to an address where greet serves.
func converse(t testing.TB, w lab.World, address string) *talk {
	t.Helper()
	k := &talk{Conn: dial(t, w, "tcp", address)}
	k.in = bufio.NewReader(k)
	line, err := k.in.ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	k.real = strings.TrimSpace(line)
	k.echo(t, "at its beginning")
	return k
}

// converseAll opens one of each family.
func converseAll(t testing.TB, w lab.World) (all []*talk) {
	t.Helper()
	for _, f := range families {
		all = append(all, converse(t, w, f.at(80)))
	}
	return all
}

// echo sends a line that was not sent before and expects it back.
func (k *talk) echo(t testing.TB, when string) {
	t.Helper()
	k.lines++
	line := fmt.Sprintf("line %d\n", k.lines)
	k.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(k, line); err != nil {
		t.Fatalf("the connection to %s %s: %v", k.RemoteAddr(), when, err)
	}
	got, err := k.in.ReadString('\n')
	if err != nil || got != line {
		t.Fatalf("the connection to %s %s: sent %q, got %q, %v", k.RemoteAddr(), when, line, got, err)
	}
}

func echoAll(t testing.TB, all []*talk, when string) {
	t.Helper()
	for _, k := range all {
		k.echo(t, when)
	}
}

// carries asserts that each service answers: one datagram, which nobody would
// send again, and a connection.
func carries(t testing.TB, w lab.World, when string) {
	t.Helper()
	for _, f := range families {
		c := dial(t, w, "udp", f.at(53))
		if _, err := io.WriteString(c, "anybody?"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Fatalf("%s: one datagram to %s: %v", when, c.RemoteAddr(), err)
		}
		converse(t, w, f.at(80)).Close()
	}
}

// without drops the lines of a real server.
func without(services, name string) (text string) {
	for l := range strings.Lines(services) {
		if !strings.Contains(l, "{name: "+name+",") {
			text += l
		}
	}
	return text
}

// untilUDP sends a datagram to the address every few milliseconds until one
// comes back, and returns how long that took.
func untilUDP(t testing.TB, w lab.World, address string) time.Duration {
	t.Helper()
	const every = 5 * time.Millisecond
	c := dial(t, w, "udp", address)
	defer c.Close()
	began := time.Now()
	for time.Since(began) < limit {
		_, _ = io.WriteString(c, "back?") // refused while there is no way: that is what is waited for
		c.SetReadDeadline(time.Now().Add(every))
		wait := time.After(every)
		if _, err := c.Read(make([]byte, 100)); err == nil {
			return time.Since(began)
		}
		<-wait // a refusal ends Read at once
	}
	t.Fatalf("%s does not answer within %v", address, limit)
	return 0
}

// joined waits until TAPs of weir's, or all of them, are in their segments: the
// lab puts them there when they appear, in its own time. What is sent before
// goes nowhere.
func joined(t testing.TB, w lab.World, taps ...string) {
	t.Helper()
	if onHost(w) {
		return
	}
	if taps == nil {
		taps = devices(w)
	}
	eventually(t, "weir's TAPs are not in their segments", func() bool {
		in := 0
		inPlace(t, w, func() error {
			for _, name := range taps {
				if l, err := netlink.LinkByName(name); err == nil && l.Attrs().MasterIndex != 0 {
					in++
				}
			}
			return nil
		})
		return in == len(taps)
	})
}

// onHost reports that weir has a TUN inside a host.
func onHost(w lab.World) bool { return strings.HasPrefix(w.Weir().Config(), "topology: host") }

// eventually polls until yes, and fails with what otherwise.
func eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !yes(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// inPlace runs f in weir's network namespace.
func inPlace(t testing.TB, w lab.World, f func() error) {
	t.Helper()
	if err := w.Weir().Do(f); err != nil {
		t.Fatal(err)
	}
}

// state is all that weir could leave on the host: links, rules and routes of
// its namespace, one a line.
func state(t testing.TB, w lab.World) (text string) {
	t.Helper()
	inPlace(t, w, func() (err error) { text, err = hostState(); return err })
	return text
}

func hostState() (string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return "", err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	var lines []string
	line := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, l := range links {
		a := l.Attrs()
		line("link %s %s master %q up %t mtu %d", a.Name, l.Type(), names[a.MasterIndex], a.Flags&net.FlagUp != 0, a.MTU)
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		rules, err := netlink.RuleList(family)
		if err != nil {
			return "", err
		}
		for _, r := range rules {
			sport := ""
			if r.Sport != nil {
				sport = fmt.Sprintf("%d-%d", r.Sport.Start, r.Sport.End)
			}
			line("rule %d family %d from %v to %v iif %q protocol %d sport %q goto %d table %d", r.Priority, family, r.Src, r.Dst, r.IifName, r.IPProto, sport, r.Goto, r.Table)
		}
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return "", err
		}
		for _, r := range routes {
			dev := names[r.LinkIndex]
			if r.Protocol == unix.RTPROT_KERNEL && !strings.HasPrefix(dev, "weir") {
				continue // of the host's own addresses: they come when they like
			}
			line("route %v table %d via %v dev %s type %d protocol %d", r.Dst, r.Table, r.Gw, dev, r.Type, r.Protocol)
		}
	}
	return sorted(lines), nil
}

func sorted(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// becomes waits until the host's state is this one again: the kernel tidies up
// after a device in the background.
func becomes(t testing.TB, w lab.World, want, when string) {
	t.Helper()
	var got string
	for end := time.Now().Add(limit / 6); ; {
		if got = state(t, w); got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s the host differs:\n%s", when, difference(want, got))
		}
	}
}

// difference lists the lines of only one of two texts.
func difference(want, got string) string {
	var b strings.Builder
	each := func(mark, a, other string) {
		has := strings.Split(other, "\n")
		for l := range strings.SplitSeq(a, "\n") {
			if !slices.Contains(has, l) {
				fmt.Fprintf(&b, "%s %s\n", mark, l)
			}
		}
	}
	each("-", want, got)
	each("+", got, want)
	return b.String()
}
