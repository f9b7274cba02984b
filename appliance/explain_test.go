package appliance

import (
	"fmt"
	"strings"
	"testing"

	"weir/appliance/control"
)

// told is an explanation as a few lines.
func told(x control.Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "in %s: %s\n", x.Ingress, x.Packet)
	for _, s := range x.Steps {
		fmt.Fprintf(&b, "%s: %s\n", s.Question, s.Answer)
	}
	fmt.Fprintf(&b, "%s\n", strings.Join(strings.Fields(strings.Join([]string{x.Verdict, x.Egress, x.Reason, x.Answer}, " ")), " "))
	for _, h := range x.Headers {
		if h.Changed {
			fmt.Fprintf(&b, "%s: %s -> %s\n", h.Field, h.Before, h.After)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestExplainOfAFileAlone(t *testing.T) {
	for _, row := range []struct {
		name, text, packet, want string
	}{
		{"a request on a TUN", hosted, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S", `
			in tun: tcp 10.1.0.9:4000 > 192.0.2.10:80 S
			virtual service: web (192.0.2.10:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives 10.2.0.11:8080; candidates: 10.2.0.11:8080 weight 1
			method: nat: the destination changes; replies come back through weir
			next hop: 10.2.0.11 through port tun, which has no MACs; MTU 1500
			emit tun
			destination IP: 192.0.2.10 -> 10.2.0.11
			TTL: 64 -> 63
			IP checksum: 0xaebc -> 0x67ba
			destination port: 80 -> 8080
			TCP checksum: 0xd3de -> 0x6c9c`},
		{"a request between TAPs: MACs of others are not known", routed, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S", `
			in lan: tcp 10.1.0.9:4000 > 192.0.2.10:80 S
			virtual service: web (192.0.2.10:80)
			flow: none yet: this packet begins one
			scheduler: rr gives r1; candidates: r1 weight 1
			method: nat: the destination changes; replies come back through weir
			next hop: 10.2.0.11 through port dmz, MAC unknown; MTU 1500
			emit dmz
			destination IP: 192.0.2.10 -> 10.2.0.11
			TTL: 64 -> 63
			IP checksum: 0xaebc -> 0x67ba
			destination port: 80 -> 8080
			TCP checksum: 0xd3de -> 0x6c9c`},
		{"the port's own MAC is known from the file", changed(t, routed, "tap: weir0", `tap: weir0, mac: "02:00:00:00:00:01"`), "tcp [fd00:1::9]:4000 > [2001:db8::10]:80 S", `
			in lan: tcp [fd00:1::9]:4000 > [2001:db8::10]:80 S
			virtual service: web6 ([2001:db8::10]:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives r1; candidates: r1 weight 1
			method: nat: the destination changes; replies come back through weir
			next hop: fd00:2::11 through port dmz, MAC unknown; MTU 1500
			emit dmz
			destination MAC: 02:00:00:00:00:01 -> unknown
			destination IP: 2001:db8::10 -> fd00:2::11
			hop limit: 64 -> 63
			destination port: 80 -> 8080
			TCP checksum: SUM`},
		{"a port that no service has", routed, "tcp 10.1.0.9:4000 > 192.0.2.10:81 S", `
			in lan: tcp 10.1.0.9:4000 > 192.0.2.10:81 S
			virtual service: none on port 81 of 192.0.2.10, which is a VIP
			drop no-service ICMP port unreachable`},
		{"no SYN and no flow", hosted, "tcp 10.1.0.9:4000 > 192.0.2.10:80 A", `
			in tun: tcp 10.1.0.9:4000 > 192.0.2.10:80 A
			virtual service: web (192.0.2.10:80)
			flow: none, and only a SYN begins one
			drop no-flow`},
		{"a packet to weir itself", hosted, "icmp 10.1.0.9 > 10.3.0.2 echo id 7", `
			in tun: icmp 10.1.0.9 > 10.3.0.2 echo id 7 seq 0
			ICMP: not about a flow: weir's own stack answers or routes it
			destination: 10.3.0.2 is weir's own: its stack gets the packet
			pass`},
		{"transit", routed, "udp 10.2.0.11:53 > 10.1.0.9:4000", `
			in dmz: udp 10.2.0.11:53 > 10.1.0.9:4000
			virtual service: none: 10.1.0.9 is no VIP, and no flow has these addresses and ports
			route: 10.1.0.9 through port lan: the packet is routed on as it is
			pass`},
		{"no way back", routed, "udp 10.2.0.11:53 > 203.0.113.9:4000", `
			in dmz: udp 10.2.0.11:53 > 203.0.113.9:4000
			virtual service: none: 203.0.113.9 is no VIP, and no flow has these addresses and ports
			route: none to 203.0.113.9: the packet is dropped
			drop no-route ICMP network unreachable`},
		{"transit whose TTL runs out", routed, "udp 10.2.0.11:53 > 10.1.0.9:4000 ttl 1", `
			in dmz: udp 10.2.0.11:53 > 10.1.0.9:4000 ttl 1
			virtual service: none: 10.1.0.9 is no VIP, and no flow has these addresses and ports
			route: the packet has no hop left: it is dropped
			drop ttl-expired ICMP time exceeded`},
		{"transit that is too big", routed, "udp 10.2.0.11:53 > 10.1.0.9:4000 df len 3000", `
			in dmz: udp 10.2.0.11:53 > 10.1.0.9:4000 df len 3000
			virtual service: none: 10.1.0.9 is no VIP, and no flow has these addresses and ports
			route: to 10.1.0.9, but its MTU of 1500 is too small for the packet
			drop too-big ICMP packet too big, MTU 1500`},
		{"transit from nowhere", routed, "udp 127.0.0.1:53 > 10.1.0.9:4000", `
			in lan: udp 127.0.0.1:53 > 10.1.0.9:4000
			virtual service: none: 10.1.0.9 is no VIP, and no flow has these addresses and ports
			source: no packet comes from 127.0.0.1 to 10.1.0.9: it is dropped
			drop martian`},
		{"a VIP as source", routed, "udp 192.0.2.10:53 > 10.1.0.9:4000", `
			in lan: udp 192.0.2.10:53 > 10.1.0.9:4000
			virtual service: none: 10.1.0.9 is no VIP, and no flow has these addresses and ports
			source: 192.0.2.10 is weir's own: the packet is dropped
			drop spoofed-source`},
		{"a broadcast address as source", routed, "tcp 10.1.0.255:4000 > 192.0.2.10:80 S", `
			in lan: tcp 10.1.0.255:4000 > 192.0.2.10:80 S
			source: 10.1.0.255 is the broadcast address of a subnet: nobody sends from it
			drop martian`},
		{"a question for a neighbour", routed, "icmp fd00:1::9 > fd00:1::1 neighbour-solicit fd00:1::1", `
			in lan: icmp fd00:1::9 > fd00:1::1 neighbour-solicit fd00:1::1
			ICMP: neighbour discovery is about the link: it is weir's own stack's
			pass`},
		{"a port that is named like the number of another", strings.NewReplacer("lan", "1", "dmz", "0").Replace(routed), "tcp 10.1.0.9:4000 > 192.0.2.10:80 S", `
			in 1: tcp 10.1.0.9:4000 > 192.0.2.10:80 S
			virtual service: web (192.0.2.10:80)
			flow: none yet: this packet begins one
			scheduler: rr gives r1; candidates: r1 weight 1
			method: nat: the destination changes; replies come back through weir
			next hop: 10.2.0.11 through port 0, MAC unknown; MTU 1500
			emit 0
			destination IP: 192.0.2.10 -> 10.2.0.11
			TTL: 64 -> 63
			IP checksum: 0xaebc -> 0x67ba
			destination port: 80 -> 8080
			TCP checksum: 0xd3de -> 0x6c9c`},
		{"a TTL that runs out", hosted, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S ttl 1", `
			in tun: tcp 10.1.0.9:4000 > 192.0.2.10:80 S ttl 1
			virtual service: web (192.0.2.10:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives 10.2.0.11:8080; candidates: 10.2.0.11:8080 weight 1
			method: nat: the destination changes; replies come back through weir
			next hop: 10.2.0.11: ttl-expired
			drop ttl-expired ICMP time exceeded`},
		{"too big for the way", hosted, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S df len 1461", `
			in tun: tcp 10.1.0.9:4000 > 192.0.2.10:80 S df len 1461
			virtual service: web (192.0.2.10:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives 10.2.0.11:8080; candidates: 10.2.0.11:8080 weight 1
			method: nat: the destination changes; replies come back through weir
			next hop: 10.2.0.11, but the MTU of 1500 is too small for the packet
			drop too-big ICMP packet too big, MTU 1500`},
		{"a frame for another station", changed(t, routed, "tap: weir0", `tap: weir0, mac: "02:00:00:00:00:01"`),
			"tcp 10.1.0.9:4000 > 192.0.2.10:80 S mac 02:00:00:00:00:09>02:00:00:00:00:77", `
			in lan: tcp 10.1.0.9:4000 > 192.0.2.10:80 S mac 02:00:00:00:00:09>02:00:00:00:00:77
			frame: to 02:00:00:00:00:77, which is not port lan's MAC 02:00:00:00:00:01
			drop foreign-mac`},
	} {
		t.Run(row.name, func(t *testing.T) {
			x, err := Explain(configOf(t, row.text), row.packet)
			if err != nil {
				t.Fatal(err)
			}
			got, want := told(x), lines(row.want)
			if strings.HasSuffix(want, "SUM") { // a sum of sums is not worth a golden line
				got = got[:strings.LastIndex(got, "TCP checksum: ")] + "TCP checksum: SUM"
			}
			if got != want {
				t.Errorf("told\n%s\nwant\n%s", got, want)
			}
			if !x.Offline {
				t.Error("it does not say that nobody was asked")
			}
		})
	}
}

func TestExplainOfWhatIsNoPacket(t *testing.T) {
	_, err := Explain(configOf(t, hosted), "tcp from here to there")
	if err == nil || !strings.HasPrefix(err.Error(), `packet "tcp from here to there": `) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Explain: %v", err)
	}
}

func TestExplainKnowsWhatARunningWeirKnows(t *testing.T) {
	a, c := start(t, routed, nil)
	client, _ := stations(t, c)
	const syn = "tcp 10.1.0.9:4000 > 192.0.2.10:80 S"
	x, err := a.Explain(syn)
	if err != nil {
		t.Fatal(err)
	}
	if x.Verdict != "hold" || x.Reason != "neighbour-wait" || x.Offline {
		t.Errorf("before anybody was asked for a MAC: %+v", x)
	}
	if n := a.Snapshot(); len(n.Neighbours) != 0 || n.Counters.Flows.Created != 0 {
		t.Errorf("explaining left traces: %+v", n)
	}
	conn := dial(t, client, "tcp", "192.0.2.10:80")
	conn.ask("hello")
	if x, err = a.Explain(syn); err != nil || x.Verdict != "emit" || x.Egress != "dmz" {
		t.Fatalf("with the MAC known: %+v, %v", x, err)
	}
	want := map[string][2]string{
		"source MAC":      {c.far["lan"].MAC().String(), c.near["dmz"].MAC().String()},
		"destination MAC": {c.near["lan"].MAC().String(), c.far["dmz"].MAC().String()},
		"source IP":       {"10.1.0.9", "10.1.0.9"},
		"destination IP":  {"192.0.2.10", "10.2.0.11"},
		"TTL":             {"64", "63"},
	}
	for _, h := range x.Headers {
		if w, ok := want[h.Field]; ok && (h.Before != w[0] || h.After != w[1] || h.Changed != (w[0] != w[1])) {
			t.Errorf("%+v, want %v", h, w)
		}
		delete(want, h.Field)
	}
	if len(want) > 0 {
		t.Errorf("fields that are missing: %v", want)
	}

	// The reply of the connection that is open now, and an ICMP error about it.
	local := conn.conn.LocalAddr().String()
	x, err = a.Explain("tcp 10.2.0.11:8080 > " + local + " A")
	if err != nil || x.Ingress != "dmz" || x.Egress != "lan" || x.Service != "web" || !strings.Contains(told(x), "source IP: 10.2.0.11 -> 192.0.2.10") {
		t.Errorf("a reply: %v\n%s", err, told(x))
	}
	x, err = a.Explain("icmp 10.2.0.11 > 10.1.0.9 unreachable host (tcp " + local + " > 10.2.0.11:8080 A)")
	if err != nil || x.Verdict != "emit" || !strings.Contains(told(x), "quoted destination IP: 10.2.0.11 -> 192.0.2.10\nquoted destination port: 8080 -> 80") {
		t.Errorf("an ICMP error: %v\n%s", err, told(x))
	}
}
