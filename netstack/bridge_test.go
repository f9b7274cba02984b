package netstack

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/netstack/packet"
)

// bridged makes lan and wan one broadcast domain; the bridge's MAC is lan's.
func bridged(c *Config) { c.Bridge = true }

// atBothEnds makes client known at lan, and real at wan.
const atBothEnds = `
	in  lan: udp 10.0.0.9:1 > 10.0.0.11:1 mac client>real
	out wan: udp 10.0.0.9:1 > 10.0.0.11:1 mac client>real
	in  wan: udp 10.0.0.11:1 > 10.0.0.9:1 mac real>client
	out lan: udp 10.0.0.11:1 > 10.0.0.9:1 mac real>client
`

func bridgeRig(t *testing.T, options ...rigOption) *rig {
	t.Helper()
	r := newRig(t, append(options, bridged)...)
	for _, vip := range []string{"10.0.0.100", "2001:db8:a::100"} {
		if err := r.s.AddVIP(mustAddr(vip)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestBridge(t *testing.T) {
	for _, test := range []struct {
		name, script string
	}{
		{"a frame to an unknown station goes to all other ports, one to a known station to its port", `
			in  lan: udp 10.0.0.9:1 > 10.0.0.11:1 mac client>nobody
			out wan: udp 10.0.0.9:1 > 10.0.0.11:1 mac client>nobody`},
		{"a frame to a station of the same port stays there", `
			in  lan: udp 10.0.0.7:1 > 10.0.0.9:1 mac gw>client
			count lan foreign-mac=1`},
		{"a station that moves is found where it spoke last", `
			in  lan: udp 10.0.0.11:1 > 10.0.0.255:1 mac real>all
			out wan: udp 10.0.0.11:1 > 10.0.0.255:1 mac real>all
			in  wan: udp 10.0.0.8:1 > 10.0.0.11:1 mac gw>real
			out lan: udp 10.0.0.8:1 > 10.0.0.11:1 mac gw>real`},
		{"a station that was silent for five minutes is looked for everywhere", `
			at  299s
			in  lan: udp 10.0.0.7:1 > 10.0.0.9:1 mac gw>client
			count lan foreign-mac=1
			at  301s
			in  lan: udp 10.0.0.7:1 > 10.0.0.9:1 mac gw>client
			out wan: udp 10.0.0.7:1 > 10.0.0.9:1 mac gw>client`},
		{"ARP for a VIP is answered by the stack alone, on the port it came by", `
			in  wan: arp who-has 10.0.0.100 tell 10.0.0.11 mac real>all
			out wan: arp 10.0.0.100 is-at lan mac lan>real
			in  lan: arp who-has 10.0.0.100 tell 10.0.0.9 mac client>all
			out lan: arp 10.0.0.100 is-at lan mac lan>client`},
		{"ARP between others crosses", `
			in  lan: arp who-has 10.0.0.11 tell 10.0.0.9 mac client>all
			out wan: arp who-has 10.0.0.11 tell 10.0.0.9 mac client>all
			in  wan: arp 10.0.0.11 is-at real mac real>client
			out lan: arp 10.0.0.11 is-at real mac real>client`},
		{"neighbour discovery likewise", `
			in  lan: icmp 2001:db8:a::9 > ff02::1:ff00:100 neighbour-solicit 2001:db8:a::100 link client mac client>33:33:ff:00:01:00
			out lan: icmp 2001:db8:a::100 > 2001:db8:a::9 neighbour-advert 2001:db8:a::100 solicited override link lan mac lan>client
			in  lan: icmp 2001:db8:a::9 > ff02::1:ff00:11 neighbour-solicit 2001:db8:a::11 link client mac client>33:33:ff:00:00:11
			out wan: icmp 2001:db8:a::9 > ff02::1:ff00:11 neighbour-solicit 2001:db8:a::11 link client mac client>33:33:ff:00:00:11
			in  lan: icmp 2001:db8:a::9 > ff02::2 type 133 code 0 ttl 255 mac client>33:33:00:00:00:02
			out wan: icmp 2001:db8:a::9 > ff02::2 type 133 code 0 ttl 255 mac client>33:33:00:00:00:02`},
		{"a VIP and the stack's own addresses answer pings through either port", `
			in  lan: arp who-has 10.0.0.2 tell 10.0.0.9 mac client>all
			out lan: arp 10.0.0.2 is-at lan mac lan>client
			in  wan: arp who-has 10.0.0.2 tell 10.0.0.11 mac real>all
			out wan: arp 10.0.0.2 is-at lan mac lan>real
			in  lan: icmp 10.0.0.9 > 10.0.0.100 echo id 1 seq 1 mac client>lan
			out lan: arp who-has 10.0.0.9 tell 10.0.0.2 mac lan>client
			out lan: icmp 10.0.0.100 > 10.0.0.9 echo-reply id 1 seq 1 mac lan>client
			in  lan: arp 10.0.0.9 is-at client mac client>lan
			in  wan: icmp 10.0.0.11 > 10.0.0.100 echo id 1 seq 1 mac real>lan
			out wan: arp who-has 10.0.0.11 tell 10.0.0.2 mac lan>real
			out wan: icmp 10.0.0.100 > 10.0.0.11 echo-reply id 1 seq 1 mac lan>real
			in  wan: arp 10.0.0.11 is-at real mac real>lan
			in  wan: icmp 10.0.0.11 > 10.0.0.2 echo id 1 seq 2 mac real>lan
			out wan: icmp 10.0.0.2 > 10.0.0.11 echo-reply id 1 seq 2 mac lan>real
			count lan`},
		{"who claims a VIP is not heard on the other side, and told better", `
			in  lan: arp who-has 10.0.0.100 tell 10.0.0.100 mac thief>all
			out lan: arp who-has 10.0.0.100 tell 10.0.0.100 mac lan>all
			out wan: arp who-has 10.0.0.100 tell 10.0.0.100 mac lan>all
			in  wan: icmp 2001:db8:a::100 > ff02::1 neighbour-advert 2001:db8:a::100 override link thief mac real>nodes
			out lan: icmp 2001:db8:a::100 > ff02::1 neighbour-advert 2001:db8:a::100 override link lan mac lan>nodes
			out wan: icmp 2001:db8:a::100 > ff02::1 neighbour-advert 2001:db8:a::100 override link lan mac lan>nodes
			count lan spoofed-source=1
			count wan spoofed-source=1`},
		{"a packet to a group crosses and is heard by the stack", `
			in  lan: icmp 2001:db8:a::9 > ff02::1 echo id 1 seq 1 mac client>nodes
			out lan: icmp 2001:db8:a::2 > ff02::1:ff00:9 neighbour-solicit 2001:db8:a::9 link lan mac lan>33:33:ff:00:00:09
			out wan: icmp 2001:db8:a::9 > ff02::1 echo id 1 seq 1 mac client>nodes
			out wan: icmp 2001:db8:a::2 > ff02::1:ff00:9 neighbour-solicit 2001:db8:a::9 link lan mac lan>33:33:ff:00:00:09
			in  lan: icmp 2001:db8:a::9 > 2001:db8:a::2 neighbour-advert 2001:db8:a::9 solicited override link client mac client>lan
			out lan: icmp 2001:db8:a::2 > 2001:db8:a::9 echo-reply id 1 seq 1 mac lan>client`},
		{"a packet for others in a frame for the stack is not routed", `
			in  lan: udp 10.0.0.9:1 > 10.0.0.11:1 mac client>lan
			count lan not-forwarding=1`},
		{"groups that end at a bridge end here, spanning tree crosses", `
			in  lan: ip 10.0.0.9 > 10.0.0.11 proto 99 mac client>01:80:c2:00:00:01
			in  lan: ip 10.0.0.9 > 10.0.0.11 proto 99 mac client>01:80:c2:00:00:0e
			count lan bridge-reserved=2
			in  lan: ip 10.0.0.9 > 10.0.0.11 proto 99 mac client>01:80:c2:00:00:00
			out wan: ip 10.0.0.9 > 10.0.0.11 proto 99 mac client>01:80:c2:00:00:00
			in  lan: ip 10.0.0.9 > 10.0.0.11 proto 99 mac client>01:80:c2:00:00:10
			out wan: ip 10.0.0.9 > 10.0.0.11 proto 99 mac client>01:80:c2:00:00:10`},
		{"a group is no source, and neither is nobody", `
			in  lan: udp 10.0.0.9:1 > 10.0.0.11:1 mac all>real
			in  lan: udp 10.0.0.9:1 > 10.0.0.11:1 mac 00:00:00:00:00:00>real
			count lan martian=2`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := bridgeRig(t)
			r.play(atBothEnds)
			r.play(test.script)
		})
	}
}

// A frame that is for others crosses as it came, whatever it is, and the hook
// is asked about no more than IP frames that it can read.
func TestFramesCrossAsTheyAre(t *testing.T) {
	ethernet := func(ether string, n int) []byte {
		real, client := stations["real"], stations["client"]
		return slices.Concat(real[:], client[:], []byte(ether), bytes.Repeat([]byte("payload."), n))
	}
	built := func(line string) []byte {
		var p packet.Packet
		if err := packet.Build(&p, unnamed(line)); err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(p.Bytes())
	}
	padded := func(frame []byte) []byte { return append(frame, "padding behind the packet"...) }
	wrong := func(frame []byte, at int) []byte { frame[at] ^= 0xff; return frame }
	for _, test := range []struct {
		name  string
		frame []byte
		asked int
	}{
		{"IPv4", built("tcp 10.0.0.9:4000 > 10.0.0.11:80 A ttl 1 len 100 mac client>real"), 1},
		{"IPv6", built("udp [2001:db8:a::9]:4000 > [2001:db8:a::11]:80 len 100 mac client>real"), 1},
		{"with padding", padded(built("tcp 10.0.0.9:4000 > 10.0.0.11:80 A mac client>real")), 1},
		{"a wrong L4 checksum", built("tcp 10.0.0.9:4000 > 10.0.0.11:80 A badsum mac client>real"), 1},
		{"a fragment", built("udp 10.0.0.9 > 10.0.0.11 id 5 frag 1008+ len 800 mac client>real"), 1},
		{"broadcast", built("udp 10.0.0.9:4000 > 10.0.0.255:80 mac client>all"), 1},
		{"multicast", built("udp 10.0.0.9:4000 > 239.1.2.3:80 mac client>01:00:5e:01:02:03"), 1},
		{"unicast in a broadcast", built("udp 10.0.0.9:4000 > 10.0.0.11:80 mac client>all"), 0},
		{"from one of the stack's addresses", built("udp 10.0.0.100:4000 > 10.0.0.11:80 mac client>real"), 1},
		{"a wrong IP checksum", wrong(built("udp 10.0.0.9:4000 > 10.0.0.11:80 mac client>real"), 14+10), 0},
		{"an IP version that there is not", wrong(built("udp 10.0.0.9:4000 > 10.0.0.11:80 mac client>real"), 14), 0},
		{"one VLAN tag", built("udp 10.0.0.9:4000 > 10.0.0.11:80 len 1472 mac client>real vlan 5"), 0},
		{"two VLAN tags", built("udp 10.0.0.9:4000 > 10.0.0.11:80 len 1472 mac client>real vlan 5 vlan 6"), 0},
		{"half a VLAN tag", ethernet("\x81\x00", 0), 0},
		{"ARP in a VLAN", ethernet("\x81\x00\x00\x05\x08\x06", 5), 0},
		{"ARP for something else", ethernet("\x08\x06", 5), 0},
		{"another EtherType", ethernet("\x88\xb5", 187), 0},
		{"an 802.3 length", ethernet("\x00\x26", 6), 0},
		{"nothing but a header", ethernet("\x86\xdd", 0), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := bridgeRig(t)
			r.play(atBothEnds)
			asked := 0
			r.s.SetHook(&hookFuncs{ingress: func(_ time.Duration, _ packet.PortID, p *packet.Packet) packet.Verdict {
				asked++
				return packet.Verdict{}
			}})
			w := r.s.worker()
			w.frame.Load(test.frame)
			w.ingress(r.now, r.port("lan"), &w.frame)
			if n := len(r.ports["lan"].sent); n != 0 {
				t.Errorf("%d frames went back", n)
			}
			sent := r.ports["wan"].sent
			if len(sent) != 1 || !bytes.Equal(sent[0].frame, test.frame) {
				t.Fatalf("%d frames crossed, want this one alone: %x", len(sent), test.frame)
			}
			if asked != test.asked {
				t.Errorf("the hook was asked %d times, want %d", asked, test.asked)
			}
			if n := r.s.Counters().Bridged; n != 3 {
				t.Errorf("%d frames bridged, want 3", n)
			}
		})
	}
}

func TestBridgeRespectsTheMTU(t *testing.T) {
	for _, test := range []struct {
		name, script string
	}{
		{"a jumbo frame crosses", `
			in  lan: udp 10.0.0.9:1 > 10.0.0.11:1 df len 8972 mac client>real
			out wan: udp 10.0.0.9:1 > 10.0.0.11:1 df len 8972 mac client>real
			count lan`},
		{"one that is larger than the other port's MTU does not, and is not answered", `
			in  lan: udp 10.0.0.9:1 > 10.0.0.11:1 df len 8973 mac client>real
			count lan too-big=1`},
		{"tags do not count", `
			in  lan: udp 10.0.0.9:1 > 10.0.0.11:1 df len 8972 mac client>real vlan 5 vlan 6
			out wan: udp 10.0.0.9:1 > 10.0.0.11:1 df len 8972 mac client>real vlan 5 vlan 6
			in  lan: udp 10.0.0.9:1 > 10.0.0.11:1 df len 8973 mac client>real vlan 5
			count lan too-big=1`},
		{"a super-packet crosses whole if its segments fit", `
			in  lan: tcp 10.0.0.9:1 > 10.0.0.11:1 A df len 60000 gso 8948 mac client>real
			out wan: tcp 10.0.0.9:1 > 10.0.0.11:1 A df gso 8948 len 60000 mac client>real
			in  lan: tcp 10.0.0.9:1 > 10.0.0.11:1 A df len 60000 gso 8948 mac client>real vlan 7
			out wan: tcp 10.0.0.9:1 > 10.0.0.11:1 A df gso 8948 len 60000 mac client>real vlan 7
			in  lan: tcp 10.0.0.9:1 > 10.0.0.11:1 A df len 60000 gso 8961 mac client>real
			count lan too-big=1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := bridgeRig(t, mtu("lan", 9014), mtu("wan", 9000))
			r.play(atBothEnds)
			r.play(test.script)
			if got := strings.Count(r.log.String(), "different MTUs"); got != 1 {
				t.Errorf("different MTUs were warned of %d times", got)
			}
		})
	}
}

// transparent is the hook of a bridged balancer of one real server: it rewrites
// the destination MAC alone, and leaves the port to the bridge.
func transparent(r *rig) *hookFuncs {
	return &hookFuncs{ingress: func(now time.Duration, _ packet.PortID, p *packet.Packet) packet.Verdict {
		hop, reason := r.s.NextHop(now, mustAddr("10.0.0.11"))
		switch {
		case p.Dst() == mustAddr("10.0.0.100") && p.HasL4 && !p.IsICMPError() && reason == packet.OK:
			p.SetMACs(p.SrcMAC(), hop.Dst)
			return emitBy(packet.NoPort)
		case p.Dst() == mustAddr("10.0.0.9") && p.IsICMPError():
			return emitBy(packet.NoPort)
		}
		return packet.Verdict{}
	}}
}

func TestHookInTheBridge(t *testing.T) {
	r := bridgeRig(t, mtu("wan", 1400))
	r.play(atBothEnds)
	if err := r.s.SetNeighbour(mustAddr("10.0.0.11"), stations["real"]); err != nil {
		t.Fatal(err)
	}
	r.s.SetHook(transparent(r))
	r.play(`
		# what it rewrote leaves by where the destination is, source and TTL untouched
		in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S ttl 1 mac client>lan
		out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S ttl 1 mac client>real
		# it is asked about frames between others too
		in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac client>nobody
		out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac client>real
		# what does not fit is answered with the MACs of its way back
		in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A df len 1400 mac client>lan
		out lan: icmp 10.0.0.2 > 10.0.0.9 frag-needed mtu 1400 tos 0xc0 df cut 548 (tcp 10.0.0.9:4000 > 10.0.0.100:80 A df len 1400) mac lan>client
		count lan too-big=1
		# a station that nobody has heard of is looked for everywhere but where the frame came from
		at  301s
		in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac client>lan
		out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac client>real
		count lan too-big=1`)
	for _, port := range []packet.PortID{2, packet.NoPort} {
		r.s.SetHook(&hookFuncs{ingress: func(time.Duration, packet.PortID, *packet.Packet) packet.Verdict { return emitBy(port) }})
		r.play("in lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac client>lan") // to the stack itself, and to a port that is not there
	}
	r.play("count lan too-big=1 not-forwarding=1 rewrite-failed=1")
}

func TestNextHopFollowsTheTable(t *testing.T) {
	mtus := map[packet.PortID]uint16{0: 1500, 1: 1400, packet.NoPort: 1400}
	r := bridgeRig(t, mtu("wan", 1400))
	lan, wan := r.port("lan").id, r.port("wan").id
	real := mustAddr("10.0.0.11")
	if err := r.s.SetNeighbour(real, stations["real"]); err != nil {
		t.Fatal(err)
	}
	next := func(want packet.PortID) uint32 {
		t.Helper()
		hop, reason := r.s.NextHop(r.now, real)
		if reason != packet.OK || hop.Port != want || hop.MTU != mtus[want] || hop.Dst != stations["real"] || hop.Src != stations["lan"] {
			t.Fatalf("%s %+v, want port %d", reason, hop, want)
		}
		return r.s.Generation()
	}
	grown := func(since uint32, want bool, what string) {
		t.Helper()
		if g := r.s.Generation(); g != since != want {
			t.Errorf("%s: the generation grew from %d to %d", what, since, g)
		}
	}
	next(packet.NoPort)
	r.play(atBothEnds)
	g := next(wan)
	r.play(`
		in  wan: udp 10.0.0.9:1 > 10.0.0.255:1 mac client>all
		out lan: udp 10.0.0.9:1 > 10.0.0.255:1 mac client>all`)
	grown(g, false, "a station moved that nobody asked for")
	r.play(`
		in  lan: udp 10.0.0.11:1 > 10.0.0.255:1 mac real>all
		out wan: udp 10.0.0.11:1 > 10.0.0.255:1 mac real>all`)
	grown(g, true, "the real server moved")
	g = next(lan)
	if n := r.s.Neighbours(); len(n) != 1 || n[0].Port != lan {
		t.Errorf("neighbours %+v, want one at lan", n)
	}
	r.play("at 302s")
	grown(g, true, "the real server fell silent")
	next(packet.NoPort)
	if c := r.s.Counters(); c.Moves != 2 {
		t.Errorf("%d moves counted, want 2", c.Moves)
	}
}

// Neighbours are asked through all ports, and the port of the answer is used.
func TestTheBridgeAsksEverywhere(t *testing.T) {
	r := bridgeRig(t)
	if _, reason := r.s.NextHop(0, mustAddr("10.0.0.11")); reason != packet.NeighbourWait {
		t.Fatalf("an unknown neighbour is %s", reason)
	}
	r.collect()
	r.play(`
		out lan: arp who-has 10.0.0.11 tell 10.0.0.2 mac lan>all
		out wan: arp who-has 10.0.0.11 tell 10.0.0.2 mac lan>all
		in  wan: arp 10.0.0.11 is-at real mac real>lan`)
	if hop, reason := r.s.NextHop(0, mustAddr("10.0.0.11")); reason != packet.OK || hop.Port != r.port("wan").id {
		t.Errorf("%s %+v, want port wan", reason, hop)
	}
	r.s.Announce(mustAddr("10.0.0.100"))
	r.collect()
	r.play(`
		out lan: arp who-has 10.0.0.100 tell 10.0.0.100 mac lan>all
		out wan: arp who-has 10.0.0.100 tell 10.0.0.100 mac lan>all`)
	rows := r.s.Stations()
	if len(rows) != 1 || rows[0] != (Station{MAC: stations["real"], Port: r.port("wan").id}) {
		t.Errorf("stations %+v, want real at wan", rows)
	}
}

func TestTheBridgesTableIsBounded(t *testing.T) {
	r := bridgeRig(t)
	w := r.s.worker()
	for i := range maxStations + 100 {
		line := fmt.Sprintf("lan: udp 10.0.0.9:1 > 10.0.0.11:1 mac %s>real", stationMAC(i))
		w.ingress(r.now, r.load(&w.frame, line), &w.frame)
	}
	if n := len(r.s.Stations()); n != maxStations {
		t.Errorf("%d stations, want %d", n, maxStations)
	}
	if n := len(r.ports["wan"].sent); n != maxStations+100 {
		t.Errorf("%d frames crossed, want all", n)
	}
	if n := strings.Count(r.log.String(), "as many stations"); n != 1 {
		t.Errorf("the full table was reported %d times", n)
	}
}

// ring is what a cable between the two ports' segments does: every frame that
// leaves by one port comes back by the other. It gives up after many.
func (r *rig) ring(most int) (frames int) {
	for frames < most {
		round := 0
		for from, to := range map[string]string{"lan": "wan", "wan": "lan"} {
			sent := r.ports[from].sent
			r.ports[from].sent = nil
			for i := range sent {
				w := r.s.worker()
				w.frame.Load(sent[i].frame)
				w.ingress(r.now, r.port(to), &w.frame)
				r.s.retire(w)
				round++
			}
		}
		if round == 0 {
			break
		}
		frames += round
	}
	return frames
}

func TestALoopIsCut(t *testing.T) {
	r := bridgeRig(t)
	w := r.s.worker()
	// The station's broadcast reaches both ports, since they are one segment.
	for _, at := range []string{"lan", "wan"} {
		w.ingress(r.now, r.load(&w.frame, at+": udp 10.0.0.9:1 > 10.0.0.255:1 mac client>all"), &w.frame)
	}
	if n := r.ring(1000); n > 100 {
		t.Fatalf("%d frames went round", n)
	}
	lan, wan := r.s.Counters().Ports[0], r.s.Counters().Ports[1]
	if lan.Drops[packet.BridgeLoop]+wan.Drops[packet.BridgeLoop] == 0 {
		t.Error("no frame was counted as bridge-loop")
	}
	// While the ring is there, its second port stays shut, and the first works.
	for s := 1; s <= 30; s++ {
		r.now = time.Duration(s) * time.Second
		r.s.guarded(w, r.s.tick)
		w.ingress(r.now, r.load(&w.frame, "lan: udp 10.0.0.9:1 > 10.0.0.255:1 mac client>all"), &w.frame)
		w.ingress(r.now, r.load(&w.frame, "wan: udp 10.0.0.9:1 > 10.0.0.255:1 mac client>all"), &w.frame)
		if n := r.ring(1000); n > 10 {
			t.Fatalf("second %d: %d frames went round", s, n)
		}
	}
	if n := strings.Count(r.log.String(), "come back by another"); n != 1 {
		t.Errorf("the loop was logged %d times:\n%s", n, r.log.String())
	}
	if strings.Contains(r.log.String(), "open again") {
		t.Error("the port was opened into the loop")
	}
	// The cable is pulled.
	for tick := 0; tick < 70; tick++ {
		r.now += tickEvery
		r.s.guarded(w, r.s.tick)
	}
	r.ports["lan"].take(t)
	r.ports["wan"].take(t)
	if n := strings.Count(r.log.String(), "open again"); n != 1 {
		t.Errorf("the port was reported open %d times:\n%s", n, r.log.String())
	}
	r.play(atBothEnds)
}

// A ring in which each station's frames go round one way only: no MAC moves, so
// the flood is what gives it away.
func TestAOneWayStormIsCut(t *testing.T) {
	r := bridgeRig(t)
	w := r.s.worker()
	for range stormFloods + 1 {
		w.ingress(r.now, r.load(&w.frame, "lan: udp 10.0.0.9:1 > 10.0.0.255:1 mac client>all"), &w.frame)
	}
	r.ports["wan"].take(t)
	r.now += tickEvery
	r.s.guarded(w, r.s.tick)
	r.ring(10)
	if !r.s.bridge.shut[r.port("wan").id].Load() {
		t.Error("the loop was not found")
	}
	calm := bridgeRig(t)
	for range stormFloods {
		w := calm.s.worker()
		w.ingress(calm.now, calm.load(&w.frame, "lan: udp 10.0.0.9:1 > 10.0.0.255:1 mac client>all"), &w.frame)
	}
	calm.ports["wan"].take(t)
	calm.play("at 1s") // and nothing is asked
}

// Using a neighbour's MAC shuts no port: the station keeps being heard where it
// was, and who forges is not.
func TestAForgedMACShutsNoPort(t *testing.T) {
	r := bridgeRig(t)
	r.play(atBothEnds)
	w := r.s.worker()
	for range 3 * maxMoves {
		for _, line := range []string{
			"lan: udp 10.0.0.11:1 > 10.0.0.9:1 mac real>client",
			"wan: udp 10.0.0.11:1 > 10.0.0.9:1 mac real>client",
			"lan: udp 10.0.0.11:1 > 10.0.0.9:1 mac lan>client",
		} {
			w.ingress(r.now, r.load(&w.frame, line), &w.frame)
		}
		// The forger returns whatever it hears.
		for _, sent := range r.ports["lan"].sent {
			w.frame.Load(sent.frame)
			w.ingress(r.now, r.port("lan"), &w.frame)
		}
		r.ports["lan"].sent, r.ports["wan"].sent = nil, nil
	}
	if strings.Contains(r.log.String(), "is shut") {
		t.Fatalf("a port was shut:\n%s", r.log.String())
	}
	if n := strings.Count(r.log.String(), "at two ports of the bridge"); n != 1 {
		t.Errorf("the station was reported %d times:\n%s", n, r.log.String())
	}
	r.play(`
		in  lan: udp 10.0.0.11:2 > 10.0.0.9:2 mac real>nobody
		in  wan: udp 10.0.0.11:2 > 10.0.0.9:2 mac real>client
		out lan: udp 10.0.0.11:2 > 10.0.0.9:2 mac real>client
		in  lan: udp 10.0.0.9:2 > 10.0.0.11:2 mac client>real
		out wan: udp 10.0.0.9:2 > 10.0.0.11:2 mac client>real`)
}

// A shut port is there for nobody; what a hook sends by it all the same is a
// drop that is counted.
func TestAShutPort(t *testing.T) {
	r := bridgeRig(t)
	r.play(atBothEnds)
	r.s.bridge.shut[r.port("wan").id].Store(true)
	r.play(`
		in  lan: udp 10.0.0.9:1 > 10.0.0.255:1 mac client>all
		count wan
		in  wan: udp 10.0.0.11:1 > 10.0.0.9:1 mac real>client
		count wan bridge-loop=1`)
	r.s.SetHook(&hookFuncs{ingress: func(time.Duration, packet.PortID, *packet.Packet) packet.Verdict {
		return emitBy(r.port("wan").id)
	}})
	r.play(`
		in  lan: udp 10.0.0.9:1 > 10.0.0.100:1 mac client>lan
		count wan bridge-loop=2`)
}

// Errors to a link-local address look for it on the bridge, by whatever port
// the packet came.
func TestErrorsAcrossTheBridge(t *testing.T) {
	r := bridgeRig(t)
	r.s.SetHook(&hookFuncs{ingress: func(time.Duration, packet.PortID, *packet.Packet) packet.Verdict {
		return packet.Verdict{Action: packet.Drop, Reason: packet.NoService, Answer: packet.AnswerPortUnreachable}
	}})
	r.play(`
		in  wan: udp [fe80::9]:4000 > [2001:db8:a::100]:53 mac real>lan
		out lan: icmp fe80::ff:fe00:1 > ff02::1:ff00:9 neighbour-solicit fe80::9 link lan mac lan>33:33:ff:00:00:09
		out wan: icmp fe80::ff:fe00:1 > ff02::1:ff00:9 neighbour-solicit fe80::9 link lan mac lan>33:33:ff:00:00:09
		in  wan: icmp fe80::9 > fe80::ff:fe00:1 neighbour-advert fe80::9 solicited override link real mac real>lan
		out wan: icmp 2001:db8:a::100 > fe80::9 unreachable port (udp [fe80::9]:4000 > [2001:db8:a::100]:53) mac lan>real
		count wan no-service=1`)
}

// What claims to be from the stack itself crosses, but is not heard by it.
func TestASpoofedGroupPacketIsNotHeard(t *testing.T) {
	r := bridgeRig(t)
	r.play(`
		in  lan: icmp 2001:db8:a::100 > ff02::1 echo id 1 seq 1 mac thief>nodes
		out wan: icmp 2001:db8:a::100 > ff02::1 echo id 1 seq 1 mac thief>nodes`)
	if n := r.s.Counters().Delivered; n != 0 {
		t.Errorf("%d packets were delivered, want none", n)
	}
}

func TestBridgeErrors(t *testing.T) {
	for _, test := range []struct {
		ports []PortConfig
		want  string
	}{
		{[]PortConfig{{Name: "a", Device: newRecorder("lan", packet.LinkEthernet, 1500)}}, "a bridge of 1 port"},
		{[]PortConfig{{Name: "a", Device: newRecorder("lan", packet.LinkEthernet, 1500)},
			{Name: "b", Device: newRecorder("tun", packet.LinkRaw, 1500)}}, "port b: a port without MACs cannot be bridged"},
	} {
		if _, err := New(Config{Ports: test.ports, Bridge: true}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one that says %q", err, test.want)
		}
	}
	r := newRig(t, bridged, routeTo("0.0.0.0/0", "10.0.0.1", "wan"), func(c *Config) {
		c.Ports[1].Addresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.3/24")}
	})
	for _, own := range []string{"10.0.0.2", "10.0.0.3"} {
		if !r.s.Local(mustAddr(own)) {
			t.Errorf("%s is not the bridge's", own)
		}
	}
	if src := r.s.Source(mustAddr("8.8.8.8")); src != mustAddr("10.0.0.2") {
		t.Errorf("speaks from %v", src)
	}
}

// A crossing frame allocates nothing, whether its destination is known or not.
func TestCrossingAllocatesNothing(t *testing.T) {
	for _, dst := range []string{"real", "all"} {
		r := bridgeRig(t)
		r.play(atBothEnds)
		r.s.SetHook(&hookFuncs{})
		for _, p := range r.s.ports {
			p.dev = void{p.dev.(*recorder)}
		}
		w := &worker{s: r.s}
		var p packet.Packet
		in := r.load(&p, "lan: tcp 10.0.0.9:4000 > 10.0.0.11:80 A len 1000 mac client>"+dst)
		frame := bytes.Clone(p.Bytes())
		w.frame.Load(frame)
		if n := testing.AllocsPerRun(1000, func() {
			w.frame.Load(frame)
			w.ingress(r.now, in, &w.frame)
			w.drain(r.now)
		}); n != 0 {
			t.Errorf("to %s: %v allocations a frame, want 0", dst, n)
		}
	}
}

func BenchmarkCross(b *testing.B) {
	t := &testing.T{}
	r := bridgeRig(t)
	r.play(atBothEnds)
	for _, p := range r.s.ports {
		p.dev = void{p.dev.(*recorder)}
	}
	w := &worker{s: r.s}
	var p packet.Packet
	in := r.load(&p, "lan: tcp 10.0.0.9:4000 > 10.0.0.11:80 A mac client>real")
	frame := bytes.Clone(p.Bytes())
	w.frame.Load(frame)
	b.ReportAllocs()
	for b.Loop() {
		w.frame.Load(frame)
		w.ingress(r.now, in, &w.frame)
	}
}
