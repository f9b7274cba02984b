package announce

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var nat = want("192.0.2.10 2001:db8::10", append(append(replies("10.2.0.11:8080", 6), replies("10.2.0.12:53", 17)...),
	replies("[fd00:2::11]:8080", 6)...)...)

func TestHostSendsIntoTheTUNWhatIsWanted(t *testing.T) {
	w := newWorld(t)
	before := w.state()
	s := w.attach()
	w.extend(s, nat)
	for _, row := range []struct {
		name, text string
		from, to   *end
	}{
		{"a request", "tcp 10.1.0.9:4000 > 192.0.2.10:80 S", w.lan, w.weir},
		{"a request over IPv6", "tcp [fd00:1::9]:4000 > [2001:db8::10]:80 S", w.lan, w.weir},
		{"a rewritten request goes to the real server", "tcp 10.1.0.9:4000 > 10.2.0.11:8080 S", w.weir, w.lan},
		{"a reply", "tcp 10.2.0.11:8080 > 10.1.0.9:4000 SA", w.lan, w.weir},
		{"a reply over IPv6", "tcp [fd00:2::11]:8080 > [fd00:1::9]:4000 SA", w.lan, w.weir},
		{"a rewritten reply goes to the client", "tcp 192.0.2.10:80 > 10.1.0.9:4000 SA", w.weir, w.lan},
		{"what the real server sends from another port", "tcp 10.2.0.11:22 > 10.1.0.9:4000 SA", w.lan, w.lan},
		{"what another host sends from that port", "tcp 10.2.0.99:8080 > 10.1.0.9:4000 SA", w.lan, w.lan},
		{"a UDP reply", "udp 10.2.0.12:53 > 10.1.0.9:4000 len 10", w.lan, w.weir},
		{"a later fragment of one, which has no ports", "udp 10.2.0.12 > 10.1.0.9 id 7 frag 1480 len 10", w.lan, w.weir},
		{"a real server's ICMP error", "icmp 10.2.0.11 > 10.1.0.9 unreachable port (tcp 10.1.0.9:4000 > 10.2.0.11:8080 S)", w.lan, w.weir},
		{"what weir passes on does not come back to it", "tcp 10.2.0.11:8080 > 10.1.0.9:4001 SA", w.weir, w.lan},
		{"nor over IPv6", "tcp [fd00:2::11]:8080 > [fd00:1::9]:4001 SA", w.weir, w.lan},
	} {
		w.travels(row.name, row.text, row.from, row.to)
	}
	if log := w.log.take(); log != "" {
		t.Errorf("there is nothing to warn of, yet the log says %s", log)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	w.unchanged("after Close", before)
}

func TestChangesWhileRunning(t *testing.T) {
	w := newWorld(t)
	s := w.attach()
	w.extend(s, want("192.0.2.10"))
	plain := w.state()
	w.extend(s, want("192.0.2.10 192.0.2.11", replies("10.2.0.11:8080", 6)...))
	w.travels("a VIP that was added", "tcp 10.1.0.9:4000 > 192.0.2.11:80 S", w.lan, w.weir)
	w.travels("a reply", "tcp 10.2.0.11:8080 > 10.1.0.9:4000 SA", w.lan, w.weir)
	w.travels("a VIP that was there before", "tcp 10.1.0.9:4000 > 192.0.2.10:80 S", w.lan, w.weir)
	if err := s.Reduce(want("192.0.2.10")); err != nil {
		t.Error(err)
	}
	w.unchanged("after the way back", plain)
	w.travels("a real server that was removed", "tcp 10.2.0.11:8080 > 10.1.0.9:4000 SA", w.lan, w.lan)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// The second of three additions is refused: the first must not stay.
func TestFailureLeavesTheHostAsItWas(t *testing.T) {
	for _, row := range []struct {
		name    string
		prepare func(*world)
		want    Want
		says    string
	}{
		{"a VIP that is an address of the host", func(w *world) { w.address("192.0.2.11/32") },
			want("192.0.2.10 192.0.2.11", nat.From...), "192.0.2.11 is an address of this host"},
		{"a VIP that somebody else has a route to", func(w *world) { w.route("192.0.2.11/32") },
			want("192.0.2.10 192.0.2.11", nat.From...), "there is a route to it already"},
		{"the same over IPv6", func(w *world) { w.route("2001:db8::11/128") },
			want("2001:db8::10 2001:db8::11", nat.From...), "there is a route to it already"},
		{"a rule that the kernel refuses", func(*world) {},
			want("192.0.2.10", Source{Addr: netip.MustParseAddr("10.2.0.11"), Proto: 6, Port: 80}, Source{Addr: netip.MustParseAddr("10.2.0.11"), Proto: 6, Port: 65535}),
			"rule for protocol 6 from 10.2.0.11:65535: invalid argument"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.attach()
			row.prepare(w)
			before := w.state()
			if err := s.Extend(row.want); err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Extend: %v, want one line with %q", err, row.says)
			}
			w.unchanged("after the failure", before)
			w.extend(s, want("192.0.2.12"))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func (w *world) route(dst string) {
	w.t.Helper()
	link, err := w.nl.LinkByName("lan0")
	if err != nil {
		w.t.Fatal(err)
	}
	ipnet, _ := netlink.ParseIPNet(dst)
	if err := w.nl.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipnet}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) address(a string) {
	w.t.Helper()
	link, err := w.nl.LinkByName("lan0")
	if err != nil {
		w.t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(a)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.nl.AddrAdd(link, addr); err != nil {
		w.t.Fatal(err)
	}
}

// A weir that was killed leaves its rules, and on a persistent device its
// routes. The next one of this device sweeps them; those of others stay.
func TestLeftoversAreSweptAndNobodyElsesAre(t *testing.T) {
	w := newWorld(t)
	fresh := w.attach().(*steering)
	others := []*netlink.Rule{
		{Family: unix.AF_INET, Priority: priorityReply, Table: tableOf("weir1"), Protocol: protocol},    // another weir's
		{Family: unix.AF_INET, Priority: priorityReply, Table: tableOf("weir0"), Protocol: 3},           // an administrator's
		{Family: unix.AF_INET6, Priority: priorityReply, Table: tableOf("other"), Protocol: protocol},   // another weir's
		{Family: unix.AF_INET6, Priority: 100, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC}, // anybody's
	}
	for _, r := range others {
		n := netlink.NewRule()
		n.Family, n.Priority, n.Table, n.Protocol = r.Family, r.Priority, r.Table, r.Protocol
		if err := w.nl.RuleAdd(n); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := w.nl.RuleDel(n); err != nil {
				t.Errorf("somebody else's rule is gone: %v", err)
			}
		})
	}
	w.route("192.0.2.99/32")
	with := w.state()
	w.extend(fresh, nat)
	if w.state() == with {
		t.Fatal("nothing was left to sweep")
	}
	// Killed here: nothing of fresh is closed.
	w.log.take()
	again := w.attach()
	w.unchanged("after the sweep", with)
	if log := w.log.take(); !strings.Contains(log, "removed what an earlier weir had left") || strings.Count(log, "\n") != 1 {
		t.Errorf("the log says %q, want one line about the sweep", log)
	}
	w.extend(again, nat)
	w.travels("a reply after the restart", "tcp 10.2.0.11:8080 > 10.1.0.9:4000 SA", w.lan, w.weir)
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestTwoWeirsOnOneHost(t *testing.T) {
	w := newWorld(t)
	one := w.attach()
	second := w.open("weir1")
	two, err := Kernel(one.(*steering).log).Attach("weir1")
	if err != nil {
		t.Fatal(err)
	}
	up(t, second)
	w.extend(one, want("192.0.2.10", replies("10.2.0.11:8080", 6)...))
	w.extend(two, want("192.0.2.20", replies("10.2.0.21:8080", 6)...))
	if err := two.Close(); err != nil {
		t.Error(err)
	}
	// The first still skips its own rules, though the second took a rule of
	// that priority away.
	w.travels("a reply", "tcp 10.2.0.11:8080 > 10.1.0.9:4000 SA", w.lan, w.weir)
	w.travels("what weir passes on", "tcp 10.2.0.11:8080 > 10.1.0.9:4001 SA", w.weir, w.lan)
	if err := one.Close(); err != nil {
		t.Error(err)
	}
}

func TestDeviceThatVanishesTakesNothingWithIt(t *testing.T) {
	w := newWorld(t)
	s := w.attach()
	w.extend(s, nat)
	if err := w.weir.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close after the device is gone: %v", err)
	}
	for _, family := range families {
		rules, err := w.nl.RuleList(family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if r.Protocol == protocol {
				t.Errorf("left behind: %s", r)
			}
		}
	}
	if _, err := Kernel(s.(*steering).log).Attach("weir0"); err == nil || !strings.Contains(err.Error(), "weir0") {
		t.Errorf("Attach to a device that is not there: %v", err)
	}
}

func TestOtherDevicesAndTheHostKeepTheirSettings(t *testing.T) {
	w := newWorld(t)
	read := func() string {
		var all []string
		for _, conf := range []string{"all", "default", "lan0", "lo"} {
			for _, d := range deviceSettings {
				b, err := os.ReadFile("/proc/sys/net/" + d.version + "/conf/" + conf + "/" + d.name)
				all = append(all, fmt.Sprint(conf, d.name, string(b), err))
			}
		}
		return strings.Join(all, "\n")
	}
	before := read()
	s := w.attach()
	w.extend(s, nat)
	if now := read(); now != before {
		t.Errorf("settings that are not weir's:\n%s\nwere\n%s", diff(now, before), diff(before, now))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestWarnings(t *testing.T) {
	for _, row := range []struct {
		name    string
		prepare func(*world)
		want    Want
		says    string // "": nothing
	}{
		{"no forwarding", func(w *world) { w.sysctl("ipv4/ip_forward", "0") }, want("192.0.2.10 192.0.2.11"), "sysctl -w net.ipv4.ip_forward=1"},
		{"no forwarding of IPv6", func(w *world) { w.sysctl("ipv6/conf/all/forwarding", "0") }, want("2001:db8::10"), "sysctl -w net.ipv6.conf.all.forwarding=1"},
		{"no forwarding of IPv6, and no VIP needs it", func(w *world) { w.sysctl("ipv6/conf/all/forwarding", "0") }, want("192.0.2.10"), ""},
		{"a strict reverse path filter", func(w *world) { w.sysctl("ipv4/conf/all/rp_filter", "1") }, want("192.0.2.10"), "sysctl -w net.ipv4.conf.all.rp_filter=2"},
		{"a loose one", func(w *world) { w.sysctl("ipv4/conf/all/rp_filter", "2") }, want("192.0.2.10"), ""},
		{"a real server on the host itself", func(w *world) { w.address("10.2.0.11/24") }, want("192.0.2.10", replies("10.2.0.11:80", 6)...), "a real server on this host itself"},
		{"a VIP in the network of another interface", func(w *world) { w.address("192.0.2.1/24") }, want("192.0.2.10"), "ip neigh add proxy"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			row.prepare(w)
			s := w.attach()
			for range 2 { // the second adds nothing, and says nothing
				w.extend(s, row.want)
			}
			log := w.log.take()
			lines := strings.Count(log, "\n")
			if row.says == "" && lines != 0 || row.says != "" && (lines != 1 || !strings.Contains(log, row.says)) {
				t.Errorf("the log says %q, want %q on one line", log, row.says)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
