package appliance

import (
	"net/netip"
	"regexp"
	"testing"
	"time"

	"weir/appliance/config"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

const oneArm = `topology: one-arm
ports:
  - {name: lan, tap: weir0, mac: "02:00:00:00:00:01", addresses: [10.0.0.2/24, "fd00::2/64"]}
pool: [10.0.0.16, "fd00::16"]
neighbours: [{address: 10.0.0.11, mac: "02:00:00:00:00:11"}]
services:
  - {name: full, vip: 10.0.0.100:80, method: fullnat, reals: [10.0.0.11:8080]}
  - {name: mixed, vip: "[fd00::100]:80", method: fullnat, reals: [10.0.0.11:8080]}
  - {name: direct, vip: 10.0.0.101:80, method: dsr, reals: [10.0.0.11]}
  - {name: inside, vip: 10.0.0.102:80, method: tunnel, reals: [10.0.0.11]}
  - {name: udp, vip: 10.0.0.103:80, method: tunnel, tunnel: {type: gue, port: 7777, ttl: 9}, reals: ["fd00::11"]}
`

const inTheWire = `topology: bridged
ports:
  - {name: out, tap: weir0, mac: "02:00:00:00:00:01", bridge: br0, addresses: [10.0.0.2/24]}
  - {name: in, tap: weir1, mac: "02:00:00:00:00:02", bridge: br1}
services:
  - {name: web, vip: 10.0.0.100:80, method: nat, reals: [10.0.0.11:8080]}
`

// What each method changes, said by the director that carries the traffic too.
func TestExplainOfEachMethod(t *testing.T) {
	const macs = " mac 02:00:00:00:00:09>02:00:00:00:00:01"
	for _, row := range []struct{ name, text, packet, want string }{
		{"fullnat", oneArm, "tcp 10.0.0.9:4000 > 10.0.0.100:80 S" + macs, `
			in lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac 02:00:00:00:00:09>02:00:00:00:00:01
			virtual service: full (10.0.0.100:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives 10.0.0.11:8080; candidates: 10.0.0.11:8080 weight 1
			source address: 10.0.0.16 port 1024 of the pool
			method: fullnat: source and destination change; replies come back to the pool's address
			next hop: 10.0.0.11 through port lan, MAC 02:00:00:00:00:11; MTU 1500
			emit lan
			source MAC: 02:00:00:00:00:09 -> 02:00:00:00:00:01
			destination MAC: 02:00:00:00:00:01 -> 02:00:00:00:00:11
			source IP: 10.0.0.9 -> 10.0.0.16
			destination IP: 10.0.0.100 -> 10.0.0.11
			TTL: 64 -> 63
			IP checksum: 0x6664 -> 0x67b6
			source port: 4000 -> 1024
			destination port: 80 -> 8080
			TCP checksum: 0x8b86 -> 0x7838`},
		{"fullnat from IPv6 to IPv4", oneArm, "tcp [fd00::9]:4000 > [fd00::100]:80 S" + macs, `
			in lan: tcp [fd00::9]:4000 > [fd00::100]:80 S mac 02:00:00:00:00:09>02:00:00:00:00:01
			virtual service: mixed ([fd00::100]:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives 10.0.0.11:8080; candidates: 10.0.0.11:8080 weight 1
			source address: 10.0.0.16 port 1024 of the pool
			method: fullnat: source, destination and the IP version change
			next hop: 10.0.0.11 through port lan, MAC 02:00:00:00:00:11; MTU 1500
			emit lan
			source MAC: 02:00:00:00:00:09 -> 02:00:00:00:00:01
			destination MAC: 02:00:00:00:00:01 -> 02:00:00:00:00:11
			source IP: fd00::9 -> 10.0.0.16
			destination IP: fd00::100 -> 10.0.0.11
			hop limit: 64 ->
			source port: 4000 -> 1024
			destination port: 80 -> 8080
			TCP checksum: 0xa4e8 -> 0x7838
			TTL:  -> 63
			IP checksum:  -> 0xc2cd`},
		{"dsr", oneArm, "tcp 10.0.0.9:4000 > 10.0.0.101:80 S" + macs, `
			in lan: tcp 10.0.0.9:4000 > 10.0.0.101:80 S mac 02:00:00:00:00:09>02:00:00:00:00:01
			virtual service: direct (10.0.0.101:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives 10.0.0.11; candidates: 10.0.0.11 weight 1
			method: dsr: only the MACs change; the real server answers the client itself
			next hop: 10.0.0.11 through port lan, MAC 02:00:00:00:00:11; MTU 1500
			emit lan
			source MAC: 02:00:00:00:00:09 -> 02:00:00:00:00:01
			destination MAC: 02:00:00:00:00:01 -> 02:00:00:00:00:11`},
		{"tunnel", oneArm, "tcp 10.0.0.9:4000 > 10.0.0.102:80 S" + macs, `
			in lan: tcp 10.0.0.9:4000 > 10.0.0.102:80 S mac 02:00:00:00:00:09>02:00:00:00:00:01
			virtual service: inside (10.0.0.102:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives 10.0.0.11; candidates: 10.0.0.11 weight 1
			method: tunnel: the packet travels whole inside an outer one; the real server answers the client itself
			next hop: 10.0.0.11 through port lan, MAC 02:00:00:00:00:11; MTU 1500
			emit lan
			source MAC: 02:00:00:00:00:09 -> 02:00:00:00:00:01
			destination MAC: 02:00:00:00:00:01 -> 02:00:00:00:00:11
			outer source IP:  -> 10.0.0.2
			outer destination IP:  -> 10.0.0.11
			outer TTL:  -> 64
			outer protocol:  -> 4`},
		{"a packet that does not fit into its tunnel", oneArm, "tcp 10.0.0.9:4000 > 10.0.0.102:80 S df len 1441" + macs, `
			in lan: tcp 10.0.0.9:4000 > 10.0.0.102:80 S df len 1441 mac 02:00:00:00:00:09>02:00:00:00:00:01
			virtual service: inside (10.0.0.102:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives 10.0.0.11; candidates: 10.0.0.11 weight 1
			method: tunnel: the packet travels whole inside an outer one; the real server answers the client itself
			next hop: 10.0.0.11, but the MTU of 1480 is too small for the packet
			drop too-big ICMP packet too big, MTU 1480`},
		{"a tunnel in UDP, over the other family", oneArm, "tcp 10.0.0.9:4000 > 10.0.0.103:80 S" + macs, `
			in lan: tcp 10.0.0.9:4000 > 10.0.0.103:80 S mac 02:00:00:00:00:09>02:00:00:00:00:01
			virtual service: udp (10.0.0.103:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives fd00::11; candidates: fd00::11 weight 1
			method: tunnel: the packet travels whole inside an outer one; the real server answers the client itself
			next hop: fd00::11 through port lan, MAC unknown; MTU 1500
			emit lan
			source MAC: 02:00:00:00:00:09 -> 02:00:00:00:00:01
			destination MAC: 02:00:00:00:00:01 -> unknown
			outer source IP:  -> fd00::2
			outer destination IP:  -> fd00::11
			outer TTL:  -> 9
			outer protocol:  -> 17
			outer source port:  -> PORT
			outer destination port:  -> 7777`},
		{"nat across a bridge", inTheWire, "tcp 10.0.0.9:4000 > 10.0.0.100:80 S" + macs, `
			in out: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac 02:00:00:00:00:09>02:00:00:00:00:01
			virtual service: web (10.0.0.100:80)
			flow: none yet: this packet begins one
			scheduler: wrr gives 10.0.0.11:8080; candidates: 10.0.0.11:8080 weight 1
			method: nat: the destination changes, and the destination MAC; source MAC and TTL stay
			next hop: 10.0.0.11, where the bridge has learned its MAC
			emit the bridge
			destination MAC: 02:00:00:00:00:01 -> unknown
			destination IP: 10.0.0.100 -> 10.0.0.11
			IP checksum: 0x6664 -> 0x66bd
			destination port: 80 -> 8080
			TCP checksum: 0x8b86 -> 0x6c9f`},
		{"what only crosses a bridge", inTheWire, "tcp 10.0.0.9:4000 > 10.0.0.12:80 S mac 02:00:00:00:00:09>02:00:00:00:00:12", `
			in out: tcp 10.0.0.9:4000 > 10.0.0.12:80 S mac 02:00:00:00:00:09>02:00:00:00:00:12
			virtual service: none: 10.0.0.12 is no VIP, and no flow has these addresses and ports
			bridge: the frame crosses it as it is, towards its destination MAC
			pass`},
	} {
		t.Run(row.name, func(t *testing.T) {
			x, err := Explain(configOf(t, row.text), row.packet)
			if err != nil {
				t.Fatal(err)
			}
			// The port stands for the flow, by a hash that is another in each run.
			got := lines(regexp.MustCompile(`(outer source port:  -> )[0-9]+`).ReplaceAllString(told(x), "${1}PORT"))
			if want := lines(row.want); got != want {
				t.Errorf("told\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestTAPsAreInTheirBridgesUntilTheEnd(t *testing.T) {
	noLeaks(t)
	h := &recordingHost{}
	cfg := configOf(t, inTheWire)
	c := layCables(cfg)
	a, err := New(cfg, Options{OpenDevice: c.open, Host: h})
	if err != nil {
		t.Fatal(err)
	}
	h.watch = c.opened[0]
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	const want = "weir0 joins br0\nweir1 joins br1\nweir1 leaves br1 after the device was closed\nweir0 leaves br0 after the device was closed"
	if got := h.story(); got != want {
		t.Errorf("the host was told\n%s\nwant\n%s", got, want)
	}
}

func TestABridgeThatCannotBeJoinedLeavesNothing(t *testing.T) {
	noLeaks(t)
	h := &recordingHost{fail: "weir1 joins"}
	cfg := configOf(t, inTheWire)
	c := layCables(cfg)
	if _, err := New(cfg, Options{OpenDevice: c.open, Host: h}); err == nil || err.Error() != "port in: host: weir1 joins refused" {
		t.Errorf("New: %v", err)
	}
	if got, want := h.story(), "weir0 joins br0\nweir1 joins br1\nweir0 leaves br0"; got != want {
		t.Errorf("the host was told\n%s\nwant\n%s", got, want)
	}
	c.allClosed(t)
}

func TestTheHostRoutesThePoolIntoTheTUN(t *testing.T) {
	h := &recordingHost{}
	start(t, changed(t, hosted, "method: nat", "method: fullnat")+"pool: [10.3.0.16-10.3.0.17]\n", func(o *Options) { o.Host = h })
	const want = "attach weir0\nextend 192.0.2.10, 10.3.0.16, 10.3.0.17, 10.3.0.2"
	if got := h.story(); got != want {
		t.Errorf("the host was asked\n%s\nwant\n%s", got, want)
	}
}

// The outer source is weir's address nearest to the real server.
func TestWhereATunnelIsSentFrom(t *testing.T) {
	const text = `topology: routed
ports:
  - {name: lan, tap: weir0, addresses: [10.1.0.1/24, "fe80::1/64"]}
  - {name: dmz, tap: weir1, addresses: [10.2.0.1/24, 10.3.0.1/24, "fd00:2::1/64"]}
routes:
  - {to: 10.9.0.0/16, via: 10.3.0.9}
services: []
`
	cfg := configOf(t, text)
	for _, row := range []struct{ sentence, real, want string }{
		{"the address in the real server's subnet", "10.3.0.11", "10.3.0.1"},
		{"behind a router, the first address of the port that leads there", "10.9.0.11", "10.2.0.1"},
		{"without a route, any of the family", "198.51.100.1", "10.1.0.1"},
		{"never a link-local one", "fe80::11", "fd00:2::1"},
	} {
		if got := sourceFor(cfg, routesOf(cfg), addr(row.real)); got != addr(row.want) {
			t.Errorf("%s: got %v, want %s", row.sentence, got, row.want)
		}
	}
}

// What the configuration says of a tunnel is what the director is given.
func TestATunnelIsMadeAsConfigured(t *testing.T) {
	cfg := configOf(t, changed(t, oneArm, "ttl: 9", "ttl: 9, fragment: outer"))
	list, err := specs(cfg, cfg.Services)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		for _, r := range s.Reals {
			if (r.Encap != nil) != (cfg.Service(s.Name).Method == config.MethodTunnel) {
				t.Errorf("%s: encapsulation %v", s.Name, r.Encap)
			}
		}
	}
	c := list[4].Reals[0].Encap.Config()
	if c.Src != addr("fd00::2") || c.Dst != addr("fd00::11") || c.Port != 7777 || c.TTL != 9 || !c.MayFragment {
		t.Errorf("got %+v", c)
	}
}

// A pool address belongs to weir: it answers for it, and takes it from nobody.
func TestPoolAddressesAnswer(t *testing.T) {
	a, c := start(t, oneArm, nil)
	for _, p := range []string{"10.0.0.16", "fd00::16"} {
		if !a.stack.Local(addr(p)) {
			t.Errorf("%s is not weir's", p)
		}
	}
	s := station(t, c.far["lan"], "10.0.0.9/24")
	conn, err := s.Dial(t.Context(), "udp", netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.16:1024"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte("who is there?"))
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) { // the answer comes when it comes
		for _, n := range s.Neighbours() {
			if n.Addr == addr("10.0.0.16") && n.MAC == c.near["lan"].MAC() {
				return
			}
		}
	}
	t.Errorf("nobody answered for 10.0.0.16: %+v", s.Neighbours())
}
