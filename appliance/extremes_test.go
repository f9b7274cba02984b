package appliance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/appliance/announce"
	"weir/appliance/config"
)

// deepPath is the path of a socket that has exactly so many bytes, and a name
// of one.
func deepPath(t *testing.T, bytes int) string {
	t.Helper()
	top, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	fill := bytes - len(top) - len("/") - len("/s")
	if fill < 1 {
		t.Fatalf("%s is too long for a path of %d bytes: set TMPDIR", top, bytes)
	}
	return filepath.Join(top, strings.Repeat("d", fill), "s")
}

// manyPorts is a routed configuration of n ports.
func manyPorts(n int) string {
	var b strings.Builder
	b.WriteString("topology: routed\nports:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {name: p%d, tap: weir%d, addresses: [10.%d.0.1/24]}\n", i, i, i)
	}
	return b.String() + "services: []\n"
}

// What `weir check` accepts at its bounds, the rooms take; one step further it
// is refused by check, not by run.
func TestBoundsOfTheFileAreThoseOfTheRooms(t *testing.T) {
	host := func(vip string) string {
		return "topology: host\nports: [{name: tun, tun: weir0}]\nservices: [{name: a, vip: \"" + vip + "\", method: nat, reals: []}]\n"
	}
	socket := func(bytes int) string {
		return host("192.0.2.10:80") + "control: {socket: " + deepPath(t, bytes) + "}\n"
	}
	limits := func(flows int) string { return host("192.0.2.10:80") + fmt.Sprintf("limits: {flows: %d}\n", flows) }
	timeout := func(d string) string { return host("192.0.2.10:80") + "timeouts: {established: " + d + "}\n" }
	mtu := func(n int) string {
		return strings.Replace(host("192.0.2.10:80"), "tun: weir0", fmt.Sprintf("tun: weir0, mtu: %d", n), 1)
	}
	for _, row := range []struct {
		name, takes, refuses string
	}{
		{"the number of ports", manyPorts(255), manyPorts(256)},
		{"the path of the socket", socket(90), socket(91)},
		{"the smallest MTU", mtu(576), mtu(575)},
		{"the largest MTU", mtu(65521), mtu(65522)},
		{"the fewest flows", limits(1), limits(0)},
		{"the most flows", limits(1 << 24), limits(1<<24 + 1)},
		{"the shortest timeout", timeout("100ms"), timeout("99ms")},
		{"the longest timeout", timeout("168h"), timeout("168h1s")},
		{"link-local VIPs", host("169.255.0.1:80"), host("169.254.0.1:80")},
		{"link-local VIPs of IPv6", host("[fec0::1]:80"), host("[fe80::1]:80")},
		{"VIPs of groups", host("223.255.255.1:80"), host("224.0.0.1:80")},
		{"VIPs of the reserved block", host("192.0.2.11:80"), host("240.0.0.1:80")},
		{"VIPs of this network", host("1.0.0.1:80"), host("0.0.0.1:80")},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := config.Parse("weir.yaml", []byte(row.refuses)); err == nil {
				t.Error("what lies beyond the bound is accepted")
			}
			cfg := configOf(t, row.takes)
			a, err := New(cfg, Options{OpenDevice: layCables(cfg).open, Host: announce.None, Socket: cfg.Control.Socket})
			if err != nil {
				t.Fatalf("what lies at the bound is accepted by check, and then: %v", err)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
