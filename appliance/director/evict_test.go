package director

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"weir/netstack/packet"
)

// fill puts n flows into a state, clients from..from+n.
func fill(t *testing.T, ft *flowTable, tbl *Table, from, n uint32, st State) {
	t.Helper()
	for c := from; c < from+n; c++ {
		if how := add(ft, tbl, c, 0); how != inserted {
			t.Fatalf("flow %d: %v", c, how)
		}
		k := clientKey(c)
		h := ft.hash(&k)
		s, f, _ := ft.find(&h, &k, true)
		s.enter(f, st, 0, tbl)
		s.mu.Unlock()
	}
}

func alive(ft *flowTable, from, n uint32) (found_ int) {
	for c := from; c < from+n; c++ {
		if _, ok := found(ft, clientKey(c)); ok {
			found_++
		}
	}
	return found_
}

func TestFlowsThatAreOverMakeRoom(t *testing.T) {
	tbl := oneService(1)
	ft := newFlowTable(1600, 3, heapMemory, nil)
	fill(t, ft, tbl, 0, 200, Established)
	fill(t, ft, tbl, 1000, 1400, TimeWait)
	for c := uint32(10_000); c < 14_000; c++ {
		if how := add(ft, tbl, c, 0); how != inserted {
			t.Fatalf("connection %d of a service with many short ones is refused: %v", c-10_000, how)
		}
	}
	if n := alive(ft, 0, 200); n != 200 {
		t.Errorf("%d of 200 established flows are left", n)
	}
}

func TestAFloodOfDatagramsDoesNotCostHandshakes(t *testing.T) {
	tbl := oneService(1)
	ft := newFlowTable(1600, 3, heapMemory, nil)
	fill(t, ft, tbl, 0, 1500, UDPNew)
	fill(t, ft, tbl, 5000, 50, SynSent)
	for c := uint32(10_000); c < 12_000; c++ { // more datagrams that nobody answers
		if how := add(ft, tbl, c, 0); how != inserted {
			t.Fatal(how)
		}
		k := clientKey(c)
		h := ft.hash(&k)
		s, f, _ := ft.find(&h, &k, true)
		s.enter(f, UDPNew, 0, tbl)
		s.mu.Unlock()
	}
	if n := alive(ft, 5000, 50); n != 50 {
		t.Errorf("%d of 50 handshakes survived a flood of datagrams", n)
	}
}

// panicking is a Network that panics when told to, as a fault in weir would.
type panicking struct {
	network
	now bool
}

func (n *panicking) NextHop(now time.Duration, dst netip.Addr) (packet.Hop, packet.Reason) {
	if n.now {
		n.now = false
		panic("a fault")
	}
	return n.network.NextHop(now, dst)
}

func TestAPanicLeavesNoShardLocked(t *testing.T) {
	net := &panicking{network: network{names: []string{"tun"}, ports: []packet.Hop{{MTU: 1500}}, generation: 1,
		routes: map[netip.Prefix]packet.PortID{netip.MustParsePrefix("0.0.0.0/0"): 0}}}
	d := New(Options{Network: net, MaxFlows: 100, Seed: 1})
	d.SetTable(NewTable(oneService(1).specs(), DefaultTimeouts(), nil))
	send := func() (v packet.Verdict) {
		defer func() { _ = recover() }() // as the receive loop does
		var p packet.Packet
		if err := packet.Build(&p, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S"); err != nil {
			t.Fatal(err)
		}
		p.Parse(packet.LinkRaw)
		return d.Ingress(0, 0, &p)
	}
	for range 2 { // of a new flow, and of a known one whose way is asked anew
		net.now = true
		send()
		net.generation++
		done := make(chan packet.Verdict)
		go func() { done <- send() }()
		select {
		case v := <-done:
			if v.Action != packet.Emit {
				t.Errorf("after a panic a packet of the same flow: %v %v", v.Action, v.Reason)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("after a panic the flow's shard is locked for ever")
		}
		net.generation++
	}
	d.Tick(time.Hour)
}

func TestTinyFragmentsLeaveRoomForOthers(t *testing.T) {
	a := "port lan 02:00:00:00:00:01\nroute 10.0.0.0/8 lan\nservice dns udp 192.0.2.10:53 rr\nreal r1 10.2.0.1:53\n"
	s, err := setStage(a)
	if err != nil {
		t.Fatal(err)
	}
	const mac = " mac 02:00:00:00:00:09>02:00:00:00:00:01"
	for i := range 2 * holdFrames {
		if err := s.enter(0, fmt.Sprintf("udp 10.1.0.9 > 192.0.2.10 id %d frag 1480 len 8", i%60_000)+mac); err != nil {
			t.Fatal(err)
		}
	}
	s.said = nil
	if err := s.enter(0, "udp 10.1.0.7:4000 > 192.0.2.10:53"+mac); err != nil {
		t.Fatal(err)
	}
	if len(s.said) != 1 || s.said[0] != "hold" {
		t.Errorf("a packet whose next hop is being asked for, beside a flood of fragments: %v, want hold", s.said)
	}
	if c, _ := s.Counts(); c.HeldFrames > holdFrames || c.HeldBytes > holdBytes {
		t.Errorf("%d frames and %d bytes held", c.HeldFrames, c.HeldBytes)
	}
}

func TestFragmentedRepliesOfARemovedRealServerAreTranslated(t *testing.T) {
	s, err := setStage("port tun raw\nroute 0.0.0.0/0 tun\nservice dns udp 192.0.2.10:53 rr\nreal r1 10.2.0.1:53\n")
	if err != nil {
		t.Fatal(err)
	}
	step := func(text, want string) {
		t.Helper()
		s.said = nil
		if err := s.enter(0, text); err != nil {
			t.Fatal(err)
		}
		if len(s.said) != 1 || s.said[0] != want {
			t.Errorf("%s\n got %v\nwant %s", text, s.said, want)
		}
	}
	step("udp 10.1.0.9:5000 > 192.0.2.10:53", "out tun udp 10.1.0.9:5000 > 10.2.0.1:53 ttl 63")
	s.specs[0].Reals = nil
	s.SetTable(NewTable(s.specs, DefaultTimeouts(), s.Table()))
	step("udp 10.2.0.1:53 > 10.1.0.9:5000 id 9 frag 0+ len 1472", "out tun udp 192.0.2.10:53 > 10.1.0.9:5000 ttl 63 id 9 frag 0+ len 1472")
	step("udp 10.2.0.1 > 10.1.0.9 id 9 frag 1480 len 8", "out tun udp 192.0.2.10 > 10.1.0.9 ttl 63 id 9 frag 1480 len 8")
	s.SetTable(NewTable(nil, DefaultTimeouts(), s.Table())) // the service goes, too
	step("udp 10.1.0.9:5000 > 192.0.2.10:53 id 3 frag 0+ len 1472", "out tun udp 10.1.0.9:5000 > 10.2.0.1:53 ttl 63 id 3 frag 0+ len 1472")
	step("udp 10.1.0.9 > 192.0.2.10 id 3 frag 1480 len 8", "out tun udp 10.1.0.9 > 10.2.0.1 ttl 63 id 3 frag 1480 len 8")
}
