package endpoint

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/device"
	"weir/netstack/packet"
	"weir/tunnel"
)

// state is all that an Endpoint may change on the real server.
func (w *world) state() string {
	w.t.Helper()
	var lines []string
	within(w.t, w.real, func() {
		links, err := netlink.LinkList()
		must(w.t, err)
		for _, l := range links {
			lines = append(lines, "link "+l.Attrs().Name)
		}
		for _, family := range families {
			addrs, err := netlink.AddrList(nil, family)
			must(w.t, err)
			for _, a := range addrs {
				lines = append(lines, fmt.Sprintf("address %s on %d", a.IPNet, a.LinkIndex))
			}
			routes, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
			must(w.t, err)
			for _, r := range routes {
				lines = append(lines, fmt.Sprintf("mark %s in table %#x metric %d", r.Dst, r.Table, r.Priority))
			}
		}
		for _, name := range []string{"arp_ignore", "arp_announce", "rp_filter"} {
			lines = append(lines, name+" "+sysctl(w.t, "ipv4/conf/all/"+name))
		}
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func sysctl(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(proc + "/" + name)
	must(t, err)
	return strings.TrimSpace(string(b))
}

func setSysctl(t *testing.T, name, value string) {
	t.Helper()
	must(t, os.WriteFile(proc+"/"+name, []byte(value), 0))
}

func (w *world) unchanged(when, before string) {
	w.t.Helper()
	if now := w.state(); now != before {
		w.t.Errorf("%s: the host is\n%s\nand was\n%s", when, now, before)
	}
}

// has asserts what holds of lines of the real server's state.
func (w *world) has(when string, yes bool, lines ...string) {
	w.t.Helper()
	state := strings.Split(w.state(), "\n")
	for _, line := range lines {
		if slices.Contains(state, line) != yes {
			w.t.Errorf("%s: %q is there: %t\n%s", when, line, !yes, strings.Join(state, "\n"))
		}
	}
}

var onLo = []string{"address 192.0.2.10/32 on 1", "address 2001:db8:f::10/128 on 1"}

func TestTakesAllBack(t *testing.T) {
	w := newWorld(t)
	before := w.state()
	_, stop := w.start(Config{VIPs: []netip.Addr{vip4, vip6}})
	w.has("running", true, append(onLo, "arp_ignore 1", "arp_announce 2", "link weir-decap")...)
	must(t, stop())
	w.unchanged("after the end", before)
}

func TestOnlyIPv6LeavesARPAlone(t *testing.T) {
	w := newWorld(t)
	_, stop := w.start(Config{VIPs: []netip.Addr{vip6}})
	w.has("running", true, onLo[1], "arp_ignore 0", "arp_announce 0")
	must(t, stop())
}

func TestNoSetupLeavesTheHostAlone(t *testing.T) {
	w := newWorld(t)
	before := w.state()
	w.start(Config{VIPs: []netip.Addr{vip4, vip6}, NoSetup: true})
	w.unchanged("running", strings.Replace(before, "link lo", "link lo\nlink weir-decap", 1))
}

func TestLeavesWhatWasThere(t *testing.T) {
	w := newWorld(t)
	within(t, w.real, func() {
		lo, err := netlink.LinkByName("lo")
		must(t, err)
		addAddr(t, lo, vip4, 32)
		setSysctl(t, "ipv4/conf/all/arp_ignore", "2")
		setSysctl(t, "ipv4/conf/all/arp_announce", "1")
	})
	before := w.state()
	_, stop := w.start(Config{VIPs: []netip.Addr{vip4, vip6}})
	w.has("running", true, append(onLo, "arp_ignore 2", "arp_announce 2")...)
	must(t, stop())
	w.unchanged("after the end", before)
}

// TestAfterKill leaves an Endpoint no chance to clean up. The next one takes
// back what is not wanted any more, adopts the rest, and takes that back too.
func TestAfterKill(t *testing.T) {
	w := newWorld(t)
	before := w.state()
	w.kill()
	w.has("killed", true, append(onLo, "arp_ignore 1", "arp_announce 2")...)
	w.has("killed", false, "link weir-decap")
	_, stop := w.start(Config{VIPs: []netip.Addr{vip6}})
	w.has("with another VIP", true, onLo[1], "arp_ignore 0", "arp_announce 0")
	w.has("with another VIP", false, onLo[0])
	must(t, stop())
	w.unchanged("after the end", before)
	w.kill()
	_, stop = w.start(Config{VIPs: []netip.Addr{vip4, vip6}})
	w.has("with the same VIPs", true, append(onLo, "arp_ignore 1", "arp_announce 2")...)
	must(t, stop())
	w.unchanged("after the second end", before)
}

// kill runs an Endpoint with both VIPs in a process, and kills it.
func (w *world) kill() {
	w.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.StdoutPipe()
	must(w.t, err)
	within(w.t, w.real, func() { must(w.t, cmd.Start()) })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		w.t.Fatalf("the process says %q, %v", line, err)
	}
	must(w.t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed, as it will say
	// Its device goes when the kernel has closed its files, a moment later.
	w.await(func() bool { return !strings.Contains(w.state(), "link weir-decap") })
}

func TestTwoEndpointsShareAHost(t *testing.T) {
	w := newWorld(t)
	before := w.state()
	_, stopA := w.start(Config{Device: "a", VIPs: []netip.Addr{vip4, vip6}, Types: []tunnel.Type{tunnel.GRE}})
	_, stopB := w.start(Config{Device: "b", VIPs: []netip.Addr{vip4}, Types: []tunnel.Type{tunnel.IPIP}})
	must(t, stopA())
	w.has("with one left", true, onLo[0], "arp_ignore 1", "arp_announce 2")
	w.has("with one left", false, onLo[1])
	must(t, stopB())
	w.unchanged("after both", before)
}

func TestSecondOfOneNameTouchesNothing(t *testing.T) {
	w := newWorld(t)
	w.start(Config{VIPs: []netip.Addr{vip4}})
	before := w.state()
	within(t, w.real, func() {
		if e, err := Open(Config{VIPs: []netip.Addr{vip6}}); err == nil {
			t.Error("there are two", e.Close())
		} else if !strings.Contains(err.Error(), "in use by another program") {
			t.Error(err)
		}
	})
	w.unchanged("after the second", before)
}

func TestFailureTakesAllBack(t *testing.T) {
	w := newWorld(t)
	within(t, w.real, func() {
		addAddr(t, w.far, addr("10.2.0.50"), 24)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		must(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		must(t, unix.Bind(fd, &unix.SockaddrInet4{Port: 7000}))
	})
	before := w.state()
	for _, row := range []struct {
		name, says string
		config     Config
	}{
		{"a VIP on another interface", "host: the VIP 10.2.0.50 is an address of far, where ARP or NDP answers for it: remove it there",
			Config{VIPs: []netip.Addr{vip4, addr("10.2.0.50")}}},
		{"a port that is taken", "gue socket, UDP port 7000 over IPv4: address already in use: another program or a tunnel device of the kernel has it",
			Config{VIPs: []netip.Addr{vip4}, GUEPort: 7000}},
		{"an MTU that is too small", "MTU 60", Config{VIPs: []netip.Addr{vip4}, MTU: 60}},
		{"no VIP", "tunnel end: no VIP", Config{}},
		{"a group as VIP", "must be one host's", Config{VIPs: []netip.Addr{addr("224.0.0.1")}}},
		{"loopback as VIP", "clients cannot reach", Config{VIPs: []netip.Addr{addr("127.0.0.1")}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			within(t, w.real, func() {
				e, err := Open(row.config)
				if err == nil {
					t.Fatal("it runs", e.Close())
				}
				if !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %q, want one line with %q", err, row.says)
				}
			})
			w.unchanged("after the failure", before)
		})
	}
}

// TestStrictHost has the host filter by reverse path and by strangers' ARP.
func TestStrictHost(t *testing.T) {
	w := newWorld(t)
	within(t, w.real, func() { setSysctl(t, "ipv4/conf/all/rp_filter", "1") })
	_, stop := w.start(Config{VIPs: []netip.Addr{vip4}})
	within(t, w.real, func() {
		if got := sysctl(t, "ipv4/conf/weir-decap/rp_filter"); got != "2" {
			t.Errorf("rp_filter of the TUN is %s", got)
		}
	})
	defer w.direct(encap(t, tunnel.IPIP, 4))()
	w.converse(4)
	must(t, stop())
}

// TestNobodyAnswersARP asks on the segment for the VIP while it is on lo, with
// and without an Endpoint.
func TestNobodyAnswersARP(t *testing.T) {
	w := newWorld(t)
	within(t, w.real, func() {
		lo, err := netlink.LinkByName("lo")
		must(t, err)
		addAddr(t, lo, vip4, 32)
	})
	if got := w.ask(vip4, rip4); got != vip4 {
		t.Fatalf("without an Endpoint %s answers: nothing is tested here", got)
	}
	w.start(Config{VIPs: []netip.Addr{vip4}})
	if got := w.ask(vip4, rip4); got != rip4 {
		t.Errorf("ARP is answered for %s", got)
	}
}

// ask sends an ARP request for each address, in turn, and returns the one that
// the first answer is for.
func (w *world) ask(addrs ...netip.Addr) netip.Addr {
	w.t.Helper()
	fd := -1
	within(w.t, w.front, func() {
		var err error
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(htons(unix.ETH_P_ARP)))
		must(w.t, err)
		must(w.t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: w.near.Attrs().Index}))
	})
	defer unix.Close(fd)
	must(w.t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
	near := packet.MAC(w.near.Attrs().HardwareAddr)
	for _, a := range addrs {
		var p packet.Packet
		packet.BuildARP(&p, &packet.ARP{Op: packet.ARPRequest, SenderMAC: near, Sender: dip4, Target: a}, packet.Broadcast)
		_, err := unix.Write(fd, p.Bytes())
		must(w.t, err)
	}
	for {
		var p packet.Packet
		frame := make([]byte, 2000)
		n, err := unix.Read(fd, frame)
		must(w.t, err)
		p.Load(frame[:n])
		p.Parse(packet.LinkEthernet)
		if arp, ok := p.ARP(); ok && arp.Op == packet.ARPReply {
			return arp.Sender
		}
	}
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

func TestDeviceGone(t *testing.T) {
	w := newWorld(t)
	var e *Endpoint
	within(t, w.real, func() {
		var err error
		e, err = Open(Config{VIPs: []netip.Addr{vip4}})
		must(t, err)
	})
	ended := make(chan error, 1)
	go func() { ended <- e.Run(t.Context()) }()
	<-e.Ready()
	within(t, w.real, func() {
		link, err := netlink.LinkByName("weir-decap")
		must(t, err)
		must(t, netlink.LinkDel(link))
	})
	p := build(t, "udp 198.51.100.9:4000 > 192.0.2.10:53 len 4")
	must(t, reason(encap(t, tunnel.GRE, 4).Push(p, 1)))
	w.send(p)
	if err := <-ended; !errors.Is(err, device.ErrRemoved) {
		t.Errorf("Run says %v", err)
	}
	must(t, e.Close())
	w.has("after the end", false, onLo...)
}
