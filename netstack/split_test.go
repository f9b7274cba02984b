package netstack

import (
	"testing"
	"time"

	"weir/netstack/packet"
)

// splitting is the hook of a balancer whose tunnels carry no super-packets: it
// has those split, and sends every packet to real.
func splitting(r *rig, asked *[]string) *hookFuncs {
	return &hookFuncs{ingress: func(_ time.Duration, _ packet.PortID, p *packet.Packet) packet.Verdict {
		*asked = append(*asked, named(p.String()))
		if p.Offload.GSO != packet.GSONone {
			return packet.Verdict{Action: packet.Split}
		}
		hop := r.port("wan").hop(stations["real"])
		p.SetHop(&hop)
		return emitBy(hop.Port)
	}}
}

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		name, script string
		asked        int
	}{
		{"the hook is asked about every segment, and each goes its way", `
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 PA seq 100 id 7 df len 2500 gso 1000 mac client>lan
			out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A seq 100 id 7 df len 1000 mac wan>real
			out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A seq 1100 id 8 df len 1000 mac wan>real
			out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 PA seq 2100 id 9 df len 500 mac wan>real
			count lan`, 4},
		{"IPv6 and UDP likewise", `
			in  lan: udp [2001:db8:a::9]:4000 > [2001:db8:a::100]:80 len 1500 gso 1000 mac client>lan
			out wan: udp [2001:db8:a::9]:4000 > [2001:db8:a::100]:80 len 1000 mac wan>real
			out wan: udp [2001:db8:a::9]:4000 > [2001:db8:a::100]:80 len 500 mac wan>real
			count lan`, 3},
		{"segments that the hook fragments by the port's MTU come whole", `
			in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A id 7 len 1600 gso 800 mac client>lan
			out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A id 7 len 800 mac wan>real
			out wan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A seq 800 id 8 len 800 mac wan>real
			count lan`, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			var asked []string
			r.s.SetHook(splitting(r, &asked))
			r.play(test.script)
			if len(asked) != test.asked {
				t.Errorf("the hook was asked %d times, want %d: %q", len(asked), test.asked, asked)
			}
		})
	}
}

// What is no super-packet would be its own only segment for ever.
func TestSplitOfOneSegmentIsAFault(t *testing.T) {
	r := newRig(t)
	r.s.SetHook(&hookFuncs{ingress: func(time.Duration, packet.PortID, *packet.Packet) packet.Verdict {
		return packet.Verdict{Action: packet.Split}
	}})
	r.play(`
		in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A len 100 mac client>lan
		in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 A len 2500 gso 1000 mac client>lan
		count lan rewrite-failed=4`)
}
