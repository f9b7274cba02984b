package netstack

import (
	"net/netip"
	"strings"
	"testing"

	"weir/netstack/packet"
)

func TestSnooping(t *testing.T) {
	for _, test := range []struct {
		name, script string
		spoofs       uint64
	}{
		{"a gratuitous ARP moves a neighbour once its old MAC stays silent", `
			in  wan: arp who-has 192.0.2.9 tell 192.0.2.9 mac nobody>all
			out wan: arp who-has 192.0.2.9 tell 192.0.2.2 mac wan>real
			at  900ms
			out wan: arp who-has 192.0.2.9 tell 192.0.2.2 mac wan>real
			out wan: arp who-has 192.0.2.9 tell 192.0.2.2 mac wan>real
			in  lan: udp 10.0.0.9:1 > 192.0.2.9:1 mac client>lan
			out wan: udp 10.0.0.9:1 > 192.0.2.9:1 ttl 63 mac wan>real
			at  1100ms
			out wan: arp who-has 192.0.2.9 tell 192.0.2.2 mac wan>nobody
			in  wan: arp 192.0.2.9 is-at nobody mac nobody>wan
			in  lan: udp 10.0.0.9:1 > 192.0.2.9:1 mac client>lan
			out wan: udp 10.0.0.9:1 > 192.0.2.9:1 ttl 63 mac wan>nobody`, 0},
		{"a real server's address is not stolen while it answers", `
			in  wan: arp 192.0.2.9 is-at thief mac thief>all
			out wan: arp who-has 192.0.2.9 tell 192.0.2.2 mac wan>real
			in  wan: arp 192.0.2.9 is-at real mac real>wan
			at  2s
			in  lan: udp 10.0.0.9:1 > 192.0.2.9:1 mac client>lan
			out wan: udp 10.0.0.9:1 > 192.0.2.9:1 ttl 63 mac wan>real`, 0},
		{"a VIP is not stolen, and claimed back", `
			in  lan: arp who-has 10.0.0.100 tell 10.0.0.100 mac thief>all
			out lan: arp who-has 10.0.0.100 tell 10.0.0.100 mac lan>all
			in  lan: icmp 2001:db8:a::100 > ff02::1 neighbour-advert 2001:db8:a::100 override link thief mac thief>nodes
			out lan: icmp 2001:db8:a::100 > ff02::1 neighbour-advert 2001:db8:a::100 router override link lan mac lan>nodes
			in  lan: udp 10.0.0.9:1 > 192.0.2.9:1 mac client>lan
			out wan: udp 10.0.0.9:1 > 192.0.2.9:1 ttl 63 mac wan>real`, 2},
		{"what a port of ours says on another of our links is no theft", `
			in  lan: arp who-has 10.0.0.9 tell 192.0.2.2 mac wan>all`, 0},
		{"ARP whose sender is not the frame's source is not believed", `
			in  wan: arp 192.0.2.9 is-at thief mac nobody>all
			at  2s
			in  lan: udp 10.0.0.9:1 > 192.0.2.9:1 mac client>lan
			out wan: udp 10.0.0.9:1 > 192.0.2.9:1 ttl 63 mac wan>real`, 0},
		{"a VIP given to a third station is claimed back, by whomever it was given", `
			in  lan: arp 10.0.0.100 is-at nobody mac thief>all
			out lan: arp who-has 10.0.0.100 tell 10.0.0.100 mac lan>all
			in  lan: icmp 2001:db8:a::100 > ff02::1 neighbour-advert 2001:db8:a::100 override link nobody mac thief>nodes
			out lan: icmp 2001:db8:a::100 > ff02::1 neighbour-advert 2001:db8:a::100 router override link lan mac lan>nodes`, 2},
		{"an answer that nobody asked for is not believed", `
			in  wan: arp 192.0.2.50 is-at real mac real>wan
			in  lan: udp 10.0.0.9:1 > 192.0.2.50:1 mac client>lan
			out wan: arp who-has 192.0.2.50 tell 192.0.2.2 mac wan>all`, 0},
		{"neighbour discovery from beyond a router is dropped", `
			in  lan: icmp 2001:db8:a::9 > 2001:db8:a::2 neighbour-solicit 2001:db8:a::2 link thief ttl 254 mac thief>lan
			in  lan: icmp 2001:db8:a::9 > ff02::2 type 133 ttl 255 mac client>33:33:00:00:00:02
			count lan martian=1 not-forwarding=1`, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, forwarding)
			for _, vip := range []string{"10.0.0.100", "2001:db8:a::100"} {
				if err := r.s.AddVIP(netip.MustParseAddr(vip)); err != nil {
					t.Fatal(err)
				}
			}
			r.play(learned)
			r.play(test.script)
			if n := r.s.Counters().Spoofs; n != test.spoofs {
				t.Errorf("%d spoofs counted, want %d", n, test.spoofs)
			}
		})
	}
}

// A flood of claims to our own addresses is answered once a second.
func TestSpoofFloodIsBounded(t *testing.T) {
	r := newRig(t)
	w := r.s.worker()
	for range 10_000 {
		in := r.load(&w.frame, "lan: arp who-has 10.0.0.2 tell 10.0.0.2 mac thief>all")
		w.ingress(r.now, in, &w.frame)
	}
	if n := len(r.ports["lan"].take(t)); n != 3 {
		t.Errorf("%d claims in return, want the burst of 3", n)
	}
	if n := r.s.Counters().Spoofs; n != 10_000 {
		t.Errorf("%d spoofs counted, want 10000", n)
	}
	if n := strings.Count(r.log.String(), "claims an address of ours"); n != 3 {
		t.Errorf("%d lines logged, want 3", n)
	}
}

func TestAnnounce(t *testing.T) {
	r := newRig(t)
	vip4, vip6 := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:ff::1")
	for _, vip := range []netip.Addr{vip4, vip6} {
		if err := r.s.AddVIP(vip); err != nil {
			t.Fatal(err)
		}
		r.s.Announce(vip)
	}
	r.s.Announce(netip.MustParseAddr("192.0.2.2"))
	r.s.Announce(netip.MustParseAddr("203.0.113.1")) // not ours: nothing
	r.collect()
	r.play(`
		out lan: arp who-has 198.51.100.1 tell 198.51.100.1 mac lan>all
		out lan: icmp 2001:db8:ff::1 > ff02::1 neighbour-advert 2001:db8:ff::1 override link lan mac lan>nodes
		out wan: arp who-has 198.51.100.1 tell 198.51.100.1 mac wan>all
		out wan: icmp 2001:db8:ff::1 > ff02::1 neighbour-advert 2001:db8:ff::1 override link wan mac wan>nodes
		out wan: arp who-has 192.0.2.2 tell 192.0.2.2 mac wan>all`)
}

func TestNextHop(t *testing.T) {
	r := newRig(t, routeTo("0.0.0.0/0", "192.0.2.1", ""))
	vip, real := netip.MustParseAddr("10.0.0.100"), netip.MustParseAddr("10.0.0.9")
	if err := r.s.AddVIP(vip); err != nil {
		t.Fatal(err)
	}
	ask := func(dst netip.Addr, want packet.Reason) packet.Hop {
		t.Helper()
		hop, got := r.s.NextHop(r.now, dst)
		if got != want {
			t.Fatalf("next hop of %s: %s, want %s", dst, got, want)
		}
		return hop
	}
	for _, dst := range []string{"10.0.0.100", "10.0.0.2", "10.0.0.255", "224.0.0.5", "2001:db8:c::1", "fe80::1"} {
		ask(netip.MustParseAddr(dst), packet.NoRoute)
	}
	before := r.s.Generation()
	ask(real, packet.NeighbourWait)
	if r.s.Generation() != before {
		t.Error("a first question changes no answer that anybody has")
	}
	r.collect()
	r.play(`
		out lan: arp who-has 10.0.0.9 tell 10.0.0.2 mac lan>all
		in  lan: arp 10.0.0.9 is-at real mac real>lan`)
	if r.s.Generation() == before {
		t.Error("the answer did not change the generation")
	}
	want := packet.Hop{Port: 0, Link: packet.LinkEthernet, MTU: 1500, Src: stations["lan"], Dst: stations["real"]}
	if hop := ask(real, packet.OK); hop != want {
		t.Errorf("hop is %+v, want %+v", hop, want)
	}
	before = r.s.Generation()
	if err := r.s.SetNeighbour(netip.MustParseAddr("192.0.2.1"), stations["gw"]); err != nil {
		t.Fatal(err)
	}
	if r.s.Generation() == before {
		t.Error("a static neighbour did not change the generation")
	}
	if hop := ask(netip.MustParseAddr("8.8.8.8"), packet.OK); hop.Dst != stations["gw"] || hop.Port != 1 {
		t.Errorf("hop by the static gateway is %+v", hop)
	}
	rows := r.s.Neighbours()
	if len(rows) != 2 || rows[0].State != Reachable || rows[0].Addr != real || rows[1].State != Static {
		t.Errorf("neighbours are %+v", rows)
	}
	for _, bad := range []struct {
		addr string
		mac  packet.MAC
	}{{"8.8.8.8", stations["gw"]}, {"10.0.0.9", packet.Broadcast}, {"10.0.0.9", packet.MAC{}}} {
		if err := r.s.SetNeighbour(netip.MustParseAddr(bad.addr), bad.mac); err == nil {
			t.Errorf("neighbour %v was taken", bad)
		}
	}
}

func TestVIPs(t *testing.T) {
	r := newRig(t)
	add := func(a string) error { return r.s.AddVIP(netip.MustParseAddr(a)) }
	vip := netip.MustParseAddr("198.51.100.1")
	before := r.s.Generation()
	for range 2 {
		if err := add("198.51.100.1"); err != nil {
			t.Fatal(err)
		}
	}
	if !r.s.Local(vip) || r.s.Generation() == before {
		t.Error("the VIP was not taken in")
	}
	for _, bad := range []string{"10.0.0.2", "224.0.0.1", "0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "fe80::1", "::ffff:1.2.3.4"} {
		if err := add(bad); err == nil {
			t.Errorf("VIP %s was taken", bad)
		}
	}
	if err := r.s.RemoveVIP(vip); err != nil {
		t.Fatal(err)
	}
	if r.s.Local(vip) {
		t.Error("the VIP is still ours")
	}
	r.play(`in lan: arp who-has 198.51.100.1 tell 10.0.0.9 mac client>all`)
	for _, bad := range []string{"198.51.100.1", "10.0.0.2"} {
		if err := r.s.RemoveVIP(netip.MustParseAddr(bad)); err == nil {
			t.Errorf("VIP %s was removed, which was none", bad)
		}
	}
	if err := add("198.51.100.1"); err != nil {
		t.Errorf("a VIP that was removed cannot come back: %v", err)
	}
}
