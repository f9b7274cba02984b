package netstack

import (
	"testing"
	"time"

	"weir/netstack/packet"
)

// fullNAT is the hook of a balancer on one segment, with one flow: what client
// sends to the VIP goes to real from the pool's address, and the reply back.
func fullNAT(r *rig) *hookFuncs {
	vip, pool := packet.AddrFrom(mustAddr("10.0.0.100")), packet.AddrFrom(mustAddr("10.0.0.16"))
	client, real := packet.AddrFrom(mustAddr("10.0.0.9")), packet.AddrFrom(mustAddr("10.0.0.11"))
	rewrite := func(p *packet.Packet, src *packet.Addr, sport uint16, dst *packet.Addr, dport uint16) packet.Verdict {
		hop, reason := r.s.NextHop(r.now, dst.Netip())
		if reason != packet.OK {
			return packet.Dropped(reason)
		}
		from, to := p.SrcAddr(), p.DstAddr()
		p.RewriteSrc(src, sport, packet.DeltaOf(&from, src, p.SrcPort, sport))
		p.RewriteDst(dst, dport, packet.DeltaOf(&to, dst, p.DstPort, dport))
		p.SetHop(&hop)
		return emitBy(hop.Port)
	}
	return &hookFuncs{ingress: func(_ time.Duration, _ packet.PortID, p *packet.Packet) packet.Verdict {
		switch {
		case p.Proto != packet.TCP:
		case p.DstAddr() == vip:
			return rewrite(p, &pool, 50000, &real, 8080)
		case p.DstAddr() == pool && p.SrcAddr() == real:
			return rewrite(p, &vip, 80, &client, 4000)
		}
		return packet.Verdict{}
	}}
}

// With one TAP and no forwarding, the pool's addresses are the stack's own on
// the link, and packets to them the hook's.
func TestOneArm(t *testing.T) {
	r := newRig(t, func(c *Config) {
		_ = c.Ports[1].Device.Close()
		c.Ports = c.Ports[:1]
	})
	for _, own := range []string{"10.0.0.100", "10.0.0.16", "2001:db8:a::16"} {
		if err := r.s.AddVIP(mustAddr(own)); err != nil {
			t.Fatal(err)
		}
	}
	for addr, station := range map[string]string{"10.0.0.9": "client", "10.0.0.11": "real"} {
		if err := r.s.SetNeighbour(mustAddr(addr), stations[station]); err != nil {
			t.Fatal(err)
		}
	}
	r.s.SetHook(fullNAT(r))
	r.play(`
		# requests leave and replies return by the same port
		in  lan: tcp 10.0.0.9:4000 > 10.0.0.100:80 S mac client>lan
		out lan: tcp 10.0.0.16:50000 > 10.0.0.11:8080 S mac lan>real
		in  lan: tcp 10.0.0.11:8080 > 10.0.0.16:50000 SA mac real>lan
		out lan: tcp 10.0.0.100:80 > 10.0.0.9:4000 SA mac lan>client
		# the pool is there for the link
		in  lan: arp who-has 10.0.0.16 tell 10.0.0.11 mac real>all
		out lan: arp 10.0.0.16 is-at lan mac lan>real
		in  lan: icmp 10.0.0.11 > 10.0.0.16 echo id 1 seq 1 mac real>lan
		out lan: icmp 10.0.0.16 > 10.0.0.11 echo-reply id 1 seq 1 mac lan>real
		in  lan: icmp 2001:db8:a::11 > ff02::1:ff00:16 neighbour-solicit 2001:db8:a::16 link real mac real>33:33:ff:00:00:16
		out lan: icmp 2001:db8:a::16 > 2001:db8:a::11 neighbour-advert 2001:db8:a::16 solicited override link lan mac lan>real
		count lan
		# what is neither the hook's nor the stack's ends here
		in  lan: tcp 10.0.0.9:4000 > 10.0.0.11:80 S mac client>lan
		count lan not-forwarding=1`)
}
