package netstack

import (
	"net/netip"
	"strings"
	"testing"

	"weir/netstack/packet"
)

func TestRoutes(t *testing.T) {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	ports := []PortConfig{
		{Name: "lan", Device: newRecorder("lan", packet.LinkEthernet, 1500),
			Addresses: []netip.Prefix{prefix("10.0.0.2/24"), prefix("10.0.0.3/24"), prefix("2001:db8:a::2/64")}},
		{Name: "wan", Device: newRecorder("wan", packet.LinkEthernet, 1500), Addresses: []netip.Prefix{prefix("192.0.2.2/24")}},
		{Name: "tun", Device: newRecorder("tun", packet.LinkRaw, 1500)},
	}
	routes := []Route{
		{To: prefix("0.0.0.0/0"), Via: addr("192.0.2.1")},
		{To: prefix("198.51.100.0/24"), Port: "tun"},
		{To: prefix("198.51.100.128/25"), Via: addr("10.0.0.1")},
		{To: prefix("10.0.0.200/32"), Via: addr("192.0.2.9"), Port: "wan"},
		{To: prefix("::/0"), Via: addr("fe80::1"), Port: "lan"},
		{To: prefix("203.0.113.77/24"), Via: addr("172.16.0.1"), Port: "tun"},
	}
	table, err := buildRoutes(ports, routes)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ dst, want string }{
		{"10.0.0.9", "lan 10.0.0.9"},
		{"10.0.0.200", "wan 192.0.2.9"},
		{"192.0.2.77", "wan 192.0.2.77"},
		{"8.8.8.8", "wan 192.0.2.1"},
		{"198.51.100.1", "tun 198.51.100.1"},
		{"198.51.100.129", "lan 10.0.0.1"},
		{"203.0.113.5", "tun 172.16.0.1"},
		{"2001:db8:a::9", "lan 2001:db8:a::9"},
		{"2001:db8:c::9", "lan fe80::1"},
	} {
		r, ok := table.lookup(addr(test.dst))
		if !ok {
			t.Errorf("%s: no route", test.dst)
			continue
		}
		if got := ports[r.port].Name + " " + r.next(addr(test.dst)).String(); got != test.want {
			t.Errorf("%s goes %s, want %s", test.dst, got, test.want)
		}
	}
	for _, test := range []struct {
		route Route
		want  string
	}{
		{Route{To: prefix("1.0.0.0/8")}, "neither gateway nor port"},
		{Route{To: prefix("1.0.0.0/8"), Via: addr("172.16.0.1")}, "in no port's network"},
		{Route{To: prefix("1.0.0.0/8"), Via: addr("192.0.2.1"), Port: "lan"}, "in no network of port lan"},
		{Route{To: prefix("1.0.0.0/8"), Via: addr("2001:db8:a::1")}, "other IP version"},
		{Route{To: prefix("1.0.0.0/8"), Via: addr("192.0.2.1"), Port: "lna"}, `no port "lna"`},
		{Route{To: prefix("10.0.0.0/24"), Via: addr("192.0.2.1")}, "there is one already"},
		{Route{To: prefix("::/0"), Via: addr("fe80::1")}, "in no port's network"},
		{Route{Via: addr("192.0.2.1")}, "no destination"},
	} {
		if _, err := buildRoutes(ports, []Route{test.route}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want one that says %q", test.route, err, test.want)
		}
	}
}

func TestRouteOfOneTUN(t *testing.T) {
	ports := []PortConfig{{Name: "tun", Device: newRecorder("tun", packet.LinkRaw, 1500)}}
	table, err := buildRoutes(ports, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, dst := range []string{"10.0.0.9", "2001:db8::1"} {
		if _, ok := table.lookup(netip.MustParseAddr(dst)); !ok {
			t.Errorf("%s: no route, though there is only one way", dst)
		}
	}
	explicit := []Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Port: "tun"}}
	if _, err := buildRoutes(ports, explicit); err != nil {
		t.Errorf("saying so is no error: %v", err)
	}
}

func TestOneNetworkOnTwoPorts(t *testing.T) {
	ports := []PortConfig{
		{Name: "a", Device: newRecorder("lan", packet.LinkEthernet, 1500), Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}},
		{Name: "b", Device: newRecorder("wan", packet.LinkEthernet, 1500), Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.3/24")}},
	}
	if _, err := buildRoutes(ports, nil); err == nil || !strings.Contains(err.Error(), "on port a too") {
		t.Errorf("error %v", err)
	}
}
