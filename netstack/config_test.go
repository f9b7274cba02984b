package netstack

import (
	"net/netip"
	"strings"
	"testing"

	"weir/netstack/packet"
)

// A bad Config is refused in one line, and its devices are closed.
func TestConfigErrors(t *testing.T) {
	tap := func(name string, addresses ...string) PortConfig {
		c := PortConfig{Name: name, Device: newRecorder("lan", packet.LinkEthernet, 1500)}
		for _, a := range addresses {
			c.Addresses = append(c.Addresses, netip.MustParsePrefix(a))
		}
		return c
	}
	for _, test := range []struct {
		ports []PortConfig
		want  string
	}{
		{nil, "0 ports"},
		{[]PortConfig{tap("")}, "port 1 has no name"},
		{[]PortConfig{tap("a"), tap("a")}, "two ports are named a"},
		{[]PortConfig{tap("a"), {Name: "b"}}, "port b has no device"},
		{[]PortConfig{tap("a", "224.0.0.1/24")}, "224.0.0.1/24 is no address of a host"},
		{[]PortConfig{tap("a", "::ffff:10.0.0.1/120")}, "no address of a host"},
		{[]PortConfig{tap("a", "10.0.0.1/24"), tap("b", "10.0.0.2/24")}, "network 10.0.0.0/24 is on port a too"},
		{[]PortConfig{tap("a", "10.0.0.1/24", "10.0.0.1/16")}, "add address 10.0.0.1/16"},
	} {
		s, err := New(Config{Ports: test.ports})
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one that says %q", err, test.want)
		}
		for _, p := range test.ports {
			if p.Device != nil {
				select {
				case <-p.Device.(*recorder).closed:
				default:
					t.Errorf("%s: the device of port %q was left open", test.want, p.Name)
				}
			}
		}
	}
}

func TestPeekHopAsksNobody(t *testing.T) {
	r := newRig(t, tun("wan"))
	for _, test := range []struct {
		dst  string
		want packet.Reason
	}{
		{"10.0.0.9", packet.NeighbourWait}, {"192.0.2.9", packet.OK}, {"8.8.8.8", packet.NoRoute},
		{"10.0.0.2", packet.NoRoute}, {"10.0.0.255", packet.NoRoute}, {"224.0.0.1", packet.NoRoute},
	} {
		if _, got := r.s.PeekHop(mustAddr(test.dst)); got != test.want {
			t.Errorf("%s: %s, want %s", test.dst, got, test.want)
		}
	}
	r.play("at 5s") // and nothing goes out
	if n := len(r.s.Neighbours()); n != 0 {
		t.Errorf("%d neighbours, want none", n)
	}
	r.s.NextHop(r.now, mustAddr("10.0.0.9"))
	r.collect()
	r.play("out lan: arp who-has 10.0.0.9 tell 10.0.0.2 mac lan>all\nin lan: arp 10.0.0.9 is-at real mac real>lan")
	hop, reason := r.s.PeekHop(mustAddr("10.0.0.9"))
	asked, _ := r.s.NextHop(r.now, mustAddr("10.0.0.9"))
	if reason != packet.OK || hop != asked {
		t.Errorf("%s %+v, want what NextHop says: %+v", reason, hop, asked)
	}
}

func TestSource(t *testing.T) {
	r := newRig(t, routeTo("0.0.0.0/0", "192.0.2.1", ""))
	for _, test := range []struct{ dst, want string }{
		{"10.0.0.9", "10.0.0.2"}, {"8.8.8.8", "192.0.2.2"}, {"2001:db8:b::9", "2001:db8:b::2"},
		{"fe80::1", linkLocal(stations["lan"]).Addr().String()}, {"2001:db8:c::9", "invalid IP"},
	} {
		if got := r.s.Source(mustAddr(test.dst)).String(); got != test.want {
			t.Errorf("source towards %s is %s, want %s", test.dst, got, test.want)
		}
	}
}

// Own packets: sent, kept for their neighbour, or refused and counted.
func TestSend(t *testing.T) {
	r := newRig(t)
	send := func(text string, want packet.Reason) {
		t.Helper()
		var p packet.Packet
		if err := packet.Build(&p, text); err != nil {
			t.Fatal(err)
		}
		if got := r.s.Send(&p); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		r.collect()
	}
	send("udp 10.0.0.2:1 > 10.0.0.9:1", packet.OK)
	r.play(`
		out lan: arp who-has 10.0.0.9 tell 10.0.0.2 mac lan>all
		in  lan: arp 10.0.0.9 is-at real mac real>lan
		out lan: udp 10.0.0.2:1 > 10.0.0.9:1 mac lan>real`)
	send("udp 10.0.0.2:1 > 10.0.0.255:1", packet.OK)
	send("udp 192.0.2.2:1 > 255.255.255.255:1", packet.OK)
	send("udp 10.0.0.2:1 > 224.1.2.3:1", packet.OK)
	send("udp [2001:db8:a::2]:1 > [ff02::1]:1", packet.OK)
	r.play(`
		out lan: udp 10.0.0.2:1 > 10.0.0.255:1 mac lan>all
		out wan: udp 192.0.2.2:1 > 255.255.255.255:1 mac wan>all
		out lan: udp 10.0.0.2:1 > 224.1.2.3:1 mac lan>01:00:5e:01:02:03
		out lan: udp [2001:db8:a::2]:1 > [ff02::1]:1 mac lan>nodes`)
	send("udp 10.0.0.2:1 > 8.8.8.8:1", packet.NoRoute)
	send("udp 10.0.0.2:1 > 10.0.0.9:1 df len 3000", packet.TooBig)
	r.play("count lan no-route=1 too-big=1")
}

// What a device leaves undone is done before gVisor sees it.
func TestOffloadedPacketsAreDelivered(t *testing.T) {
	r := newRig(t)
	server, err := r.s.ListenPacket("udp", at("10.0.0.2:53"))
	if err != nil {
		t.Fatal(err)
	}
	r.play(`
		in lan: udp 10.0.0.9:1 > 10.0.0.2:53 len 10 partial mac client>lan
		in lan: udp 10.0.0.9:1 > 10.0.0.2:53 len 2500 gso 1000 mac client>lan
		in lan: udp 10.0.0.9:1 > 10.0.0.2:53 len 20 badsum mac client>lan
		in lan: udp 10.0.0.9:1 > 10.0.0.2:53 len 30 mac client>lan`)
	for _, want := range []int{10, 1000, 1000, 500, 30} {
		n, _, err := server.ReadFrom(make([]byte, 3000))
		if err != nil || n != want {
			t.Errorf("read %d bytes, error %v, want %d", n, err, want)
		}
	}
}

// A port that has only VIPs asks for its neighbours as one of them.
func TestPortWithoutAddresses(t *testing.T) {
	clear := func(c *Config) { c.Ports[0].Addresses = nil }
	r := newRig(t, clear, forwarding, routeTo("10.0.0.0/24", "", "lan"), routeTo("2001:db8:a::/64", "", "lan"))
	r.s.NextHop(r.now, mustAddr("10.0.0.9")) // cannot be asked for at all
	if err := r.s.AddVIP(mustAddr("10.0.0.100")); err != nil {
		t.Fatal(err)
	}
	r.s.NextHop(r.now, mustAddr("10.0.0.8"))
	r.s.NextHop(r.now, mustAddr("2001:db8:a::9"))
	r.collect()
	r.play(`
		out lan: arp who-has 10.0.0.8 tell 10.0.0.100 mac lan>all
		out lan: icmp ` + linkLocal(stations["lan"]).Addr().String() + ` > ff02::1:ff00:9 neighbour-solicit 2001:db8:a::9 link lan mac lan>33:33:ff:00:00:09
		in  lan: arp 10.0.0.8 is-at client mac client>lan
		in  lan: udp 10.0.0.8:1 > 192.0.2.9:1 ttl 1 mac client>lan
		out lan: icmp 192.0.2.2 > 10.0.0.8 time-exceeded tos 0xc0 df (udp 10.0.0.8:1 > 192.0.2.9:1 ttl 1) mac lan>client`)
}

// A neighbour can be reached, and can reach us, by link-local addresses.
func TestLinkLocal(t *testing.T) {
	r := newRig(t)
	own := linkLocal(stations["lan"]).Addr().String()
	r.play(`
		in  lan: icmp fe80::9 > ` + own + ` echo id 7 seq 1 mac client>lan
		out lan: icmp ` + own + ` > ff02::1:ff00:9 neighbour-solicit fe80::9 link lan mac lan>33:33:ff:00:00:09
		in  lan: icmp fe80::9 > ` + own + ` neighbour-advert fe80::9 solicited link client mac client>lan
		out lan: icmp ` + own + ` > fe80::9 echo-reply id 7 seq 1 mac lan>client
		count lan`)
}

// Packets whose neighbour was evicted from a full table do not wait for ever.
func TestHeldFramesOfEvictedNeighbours(t *testing.T) {
	r := newRig(t, forwarding)
	if err := r.s.SetNeighbour(mustAddr("10.0.0.9"), stations["client"]); err != nil {
		t.Fatal(err)
	}
	r.play(`
		in  lan: udp 10.0.0.9:1 > 192.0.2.9:1 mac client>lan
		out wan: arp who-has 192.0.2.9 tell 192.0.2.2 mac wan>all`)
	clear(r.s.resolver.table.entries)
	if err := r.s.SetNeighbour(mustAddr("10.0.0.9"), stations["client"]); err != nil {
		t.Fatal(err)
	}
	r.play(`
		at  3900ms
		count lan
		at  4s
		out lan: icmp 10.0.0.2 > 10.0.0.9 unreachable host tos 0xc0 df (udp 10.0.0.9:1 > 192.0.2.9:1) mac lan>client
		count lan neighbour-failed=1`)
}
