package simnet

import (
	"io"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// host is a machine like that of the topology host: a router that steers VIPs
// into a TUN by a route, and replies of a real server by a rule. What stands at
// the TUN's other end is read by the test.
func TestRulesDivert(t *testing.T) {
	lan, wan := NewSegment(SegmentConfig{Name: "lan"}), NewSegment(SegmentConfig{Name: "wan"})
	tun, inside := device.NewWire(device.WireConfig{Name: "tun0"}, device.WireConfig{Name: "weir0"})
	defer func() { _ = inside.Close() }()
	router := must(NewRouter(RouterConfig{Name: "machine", Ports: []Port{
		{Name: "lan", Device: lan.Attach("machine-lan", packet.MAC{}, 0), Addresses: prefixes("10.1.0.1/24")},
		{Name: "wan", Device: wan.Attach("machine-wan", packet.MAC{}, 0), Addresses: prefixes("10.2.0.1/24")},
		{Name: "tun", Device: tun, Addresses: prefixes("192.0.2.1/24")},
	}, Rules: []Rule{
		{Src: netip.MustParsePrefix("10.2.0.9/32"), Proto: packet.TCP, SrcPort: 80, Out: "tun"},
		{In: "lan", Dst: netip.MustParsePrefix("10.2.0.66/32"), Out: "tun"},
	}}))(t)
	defer func() {
		for _, c := range []io.Closer{router, lan, wan} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	for name, mac := range map[string]packet.MAC{"10.1.0.9": MAC("client"), "10.2.0.9": MAC("real")} {
		if err := router.Stack().SetNeighbour(addr(name), mac); err != nil {
			t.Fatal(err)
		}
	}
	client, real := attach(t, lan, "client"), attach(t, wan, "real")
	read := make(chan string, 100)
	go func() {
		var p packet.Packet
		for inside.Read(0, &p) == nil {
			p.Parse(packet.LinkRaw)
			read <- p.Text(false)
		}
	}()
	build := func(text string) *packet.Packet {
		var p packet.Packet
		if err := packet.Build(&p, text); err != nil {
			t.Fatal(err)
		}
		return &p
	}
	toLAN := " mac " + MAC("client").String() + ">" + MAC("machine-lan").String()
	toWAN := " mac " + MAC("real").String() + ">" + MAC("machine-wan").String()
	for _, test := range []struct {
		name string
		from device.Device
		send string
		at   <-chan string
		want string
	}{
		{"a route leads VIPs into the TUN", client, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S" + toLAN,
			read, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S ttl 63"},
		{"what comes out of the TUN is routed", inside, "tcp 10.1.0.9:4000 > 10.2.0.9:80 S ttl 63",
			real.heard, "tcp 10.1.0.9:4000 > 10.2.0.9:80 S ttl 62"},
		{"a rule leads the reply into the TUN, whatever its route", real, "tcp 10.2.0.9:80 > 10.1.0.9:4000 SA" + toWAN,
			read, "tcp 10.2.0.9:80 > 10.1.0.9:4000 SA ttl 63"},
		{"and not again when it comes out of it", inside, "tcp 10.2.0.9:80 > 10.1.0.9:4000 SA ttl 63",
			client.heard, "tcp 10.2.0.9:80 > 10.1.0.9:4000 SA ttl 62"},
		{"another port is not diverted", real, "tcp 10.2.0.9:81 > 10.1.0.9:4000 SA" + toWAN,
			client.heard, "tcp 10.2.0.9:81 > 10.1.0.9:4000 SA ttl 63"},
		{"another protocol is not diverted", real, "udp 10.2.0.9:80 > 10.1.0.9:4000" + toWAN,
			client.heard, "udp 10.2.0.9:80 > 10.1.0.9:4000 ttl 63"},
		{"a fragment has no port to be diverted by", real, "tcp 10.2.0.9:80 > 10.1.0.9:4000 SA id 3 frag 0+ len 100" + toWAN,
			client.heard, "tcp 10.2.0.9:80 > 10.1.0.9:4000 SA ttl 63 id 3 frag 0+ len 100"},
		{"a rule by destination and port of entry", client, "udp 10.1.0.9:1 > 10.2.0.66:1" + toLAN,
			read, "udp 10.1.0.9:1 > 10.2.0.66:1 ttl 63"},
		{"TTL 1 ends here too", real, "tcp 10.2.0.9:80 > 10.1.0.9:4000 SA ttl 1" + toWAN,
			real.heard, "icmp 10.2.0.1 > 10.2.0.9 time-exceeded tos 0xc0 df (tcp 10.2.0.9:80 > 10.1.0.9:4000 SA ttl 1)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := test.from.Write(build(test.send)); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-test.at:
				if got != test.want {
					t.Errorf("arrived\n\t%s\nwant\n\t%s", got, test.want)
				}
			case <-time.After(patience):
				t.Fatal("nothing arrived")
			}
		})
	}
	if err := router.SetRules(nil); err != nil {
		t.Fatal(err)
	}
	if err := real.Write(build("tcp 10.2.0.9:80 > 10.1.0.9:4000 SA" + toWAN)); err != nil {
		t.Fatal(err)
	}
	if got := <-client.heard; got != "tcp 10.2.0.9:80 > 10.1.0.9:4000 SA ttl 63" {
		t.Errorf("after the rules were removed %q arrived", got)
	}
	if err := router.SetRules([]Rule{{Out: "lan"}}); err == nil {
		t.Error("a rule into a port with MACs was taken")
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	settled := func() int {
		n := runtime.NumGoroutine()
		for range 50 { // one that has returned may be counted a moment longer
			time.Sleep(time.Millisecond)
			n = min(n, runtime.NumGoroutine())
		}
		return n
	}
	cycle := func() {
		w := newWorld(t, SegmentConfig{}, SegmentConfig{})
		w.transfer(t, "10.2.0.9:80", 100<<10)
		_ = must(w.client.Listen("tcp", netip.MustParseAddrPort("10.1.0.9:80")))(t)
		_ = must(w.client.ListenPacket("udp", netip.MustParseAddrPort("10.1.0.9:80")))(t)
		w.close(t)
	}
	cycle()
	before := settled()
	for range 3 {
		cycle()
	}
	if after := settled(); after > before {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after:\n%s", before, after, buf[:runtime.Stack(buf, true)])
	}
}
