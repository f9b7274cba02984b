package netstack

import (
	"testing"

	"weir/netstack/packet"
)

// What Judge says of a packet is what then happens to it.
func TestJudgementsAreWhatHappens(t *testing.T) {
	for _, row := range []struct{ name, frame, want string }{
		{"for us", "lan: icmp 10.0.0.9 > 10.0.0.2 echo id 1 seq 1 mac client>lan", "pass ok"},
		{"for another port of ours", "lan: icmp 10.0.0.9 > 192.0.2.2 echo id 1 seq 1 mac client>lan", "pass ok"},
		{"for a VIP", "lan: icmp 10.0.0.9 > 198.51.100.1 echo id 1 seq 1 mac client>lan", "pass ok"},
		{"for all hosts", "lan: udp 10.0.0.9:1 > 10.0.0.255:53 mac client>all", "pass ok"},
		{"for a group that nobody joined", "lan: udp 10.0.0.9:1 > 224.0.0.5:53 mac client>01:00:5e:00:00:05", "drop not-forwarding"},
		{"transit", "lan: udp 10.0.0.9:1 > 192.0.2.9:53 mac client>lan", "emit ok"},
		{"transit with one hop left", "lan: udp 10.0.0.9:1 > 192.0.2.9:53 ttl 1 mac client>lan", "drop ttl-expired"},
		{"transit that is too big and whole", "lan: udp 10.0.0.9:1 > 192.0.2.9:53 df len 3000 mac client>lan", "drop too-big"},
		{"transit that is too big and may be cut", "lan: udp 10.0.0.9:1 > 192.0.2.9:53 len 3000 mac client>lan", "emit ok"},
		{"transit to a neighbour that nobody asked for", "lan: udp 10.0.0.9:1 > 192.0.2.77:53 mac client>lan", "hold neighbour-wait"},
		{"transit to the subnet's broadcast", "lan: udp 10.0.0.9:1 > 192.0.2.255:53 mac client>lan", "drop not-forwarding"},
		{"transit without a route", "lan: udp 10.0.0.9:1 > 203.0.113.1:53 mac client>lan", "drop no-route"},
		{"transit from a link-local address", "lan: udp 169.254.0.9:1 > 192.0.2.9:53 mac client>lan", "drop not-forwarding"},
		{"from loopback", "lan: udp 127.0.0.1:1 > 192.0.2.9:53 mac client>lan", "drop martian"},
		{"from its own destination", "lan: udp 192.0.2.9:1 > 192.0.2.9:53 mac client>lan", "drop land"},
		{"from a VIP", "lan: udp 198.51.100.1:1 > 192.0.2.9:53 mac client>lan", "drop spoofed-source"},
		{"from a broadcast address", "lan: udp 192.0.2.255:1 > 192.0.2.9:53 mac client>lan", "drop martian"},
		{"in a frame for another station", "lan: udp 10.0.0.9:1 > 192.0.2.9:53 mac client>nobody", "drop foreign-mac"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, forwarding)
			if err := r.s.AddVIP(mustAddr("198.51.100.1")); err != nil {
				t.Fatal(err)
			}
			r.play(learned)
			w := r.s.worker()
			in := r.load(&w.frame, row.frame)
			if reason := w.frame.Parse(in.link); reason != packet.OK {
				t.Fatal(reason)
			}
			before := r.s.Counters()
			v := packet.Dropped(r.s.Admit(in.id, &w.frame))
			if v.Reason == packet.OK {
				v = r.s.Judge(in.id, &w.frame, r.s.PeekHop)
			}
			if got := v.Action.String() + " " + v.Reason.String(); got != row.want {
				t.Errorf("judged %s, want %s", got, row.want)
			}
			if after := r.s.Counters(); after.Solicits != before.Solicits || after.Dropped(v.Reason) != before.Dropped(v.Reason) {
				t.Error("the judgement left traces")
			}

			w.ingress(r.now, in, &w.frame)
			after := r.s.Counters()
			happened := map[packet.Action]bool{
				packet.Pass: after.Delivered == before.Delivered+1,
				packet.Emit: after.Forwarded == before.Forwarded+1,
				packet.Hold: r.s.resolver.held.frames == 1,
				packet.Drop: v.Reason != packet.OK && after.Dropped(v.Reason) == before.Dropped(v.Reason)+1,
			}
			if !happened[v.Action] {
				t.Errorf("judged %s %s, and then not so: %+v", v.Action, v.Reason, after)
			}
		})
	}
}
