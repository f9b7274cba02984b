package director

import (
	"fmt"
	"strings"
	"time"

	"weir/netstack/packet"
)

// Explanation is what the director would do with a packet, and why. It comes
// from the very functions that decide about packets, and changes nothing.
type Explanation struct {
	Steps   []Step
	Verdict packet.Verdict
	Service string // names, where the packet goes to a real server
	Real    string
}

// Step is one question on the packet's way, and its answer.
type Step struct{ Question, Answer string }

func (e *Explanation) say(question, format string, args ...any) {
	e.Steps = append(e.Steps, Step{question, fmt.Sprintf(format, args...)})
}

// Explain says what Ingress would do with p, and does it to p alone: on Emit p
// has been rewritten. No flow begins, no scheduler moves, nobody is asked for a
// MAC, nothing is counted.
func (d *Director) Explain(now time.Duration, p *packet.Packet) Explanation {
	var e Explanation
	t := d.table.Load()
	switch {
	case p.Proto == packet.ICMP || p.Proto == packet.ICMPv6:
		d.explainICMP(&e, now, p, t)
	case p.Proto != packet.TCP && p.Proto != packet.UDP && !(p.Frag && translatable(p)):
		e.Verdict = d.otherProtocol(p)
		e.say("protocol", "%d: virtual services are TCP or UDP", p.Proto)
	case p.Frag && p.FragOffset > 0:
		d.explainFragment(&e, now, p, t)
	default:
		var k packet.FlowKey
		p.Key(&k)
		d.explainFlow(&e, now, p, k, t)
	}
	return e
}

// explainFragment: a later fragment has the fate of its datagram's first.
func (d *Director) explainFragment(e *Explanation, now time.Duration, p *packet.Packet, t *Table) {
	src, dst := p.SrcAddr(), p.DstAddr()
	f, k, why := passed, packet.FlowKey{}, packet.OK
	if t.hasEnd(&src, &dst) {
		f, k, why = d.frags.peek(fragKeyOf(p, src, dst))
	}
	switch f {
	case undecided:
		e.Verdict = packet.Verdict{Action: packet.Hold, Reason: packet.FragWait}
		e.say("fragment", "its datagram's first has not come; it waits for that up to %v", fragLife)
	case passed:
		e.Verdict = packet.Verdict{Action: packet.Pass}
		e.say("fragment", "of no virtual service's datagram")
	case dropped:
		e.Verdict = packet.Dropped(why)
		e.say("fragment", "its datagram is dropped: %v", why)
	default:
		e.say("fragment", "it follows its datagram's first")
		d.explainFlow(e, now, p, k, t)
	}
}

func (d *Director) explainFlow(e *Explanation, now time.Duration, p *packet.Packet, k packet.FlowKey, t *Table) {
	h := d.flows.hash(&k)
	if s, f, dir := d.flows.find(&h, &k, t.maybeVIP(&k.Dst)); f != nil {
		known := *f
		s.mu.Unlock()
		if dir != request || !reopens(&known, p) {
			e.sayFlow(&known, dir, now, t)
			d.explainWay(e, now, p, &known, dir, t)
			return
		}
		e.say("flow", "one with these ports is over (%v): this SYN begins a new one", known.state)
	}
	c := d.decide(p, &k, t, false)
	e.sayService(&c, &k, t)
	if c.real == nil {
		e.Verdict = c.verdict
		return
	}
	e.say("flow", "none yet: this packet begins one")
	e.sayScheduler(&c)
	e.Service, e.Real = c.service.Name, c.real.Name
	f := newFlow(&k, c.service.Method, c.real, now)
	if f.method == FullNAT {
		if !d.pool.peek(&f) {
			e.say("source address", "no address and port of the pool is left for %s", c.real.Name)
			e.Verdict = refuse(packet.PoolExhausted, p)
			return
		}
		e.say("source address", "%v port %d of the pool", f.local.Netip(), f.localPort)
	}
	d.explainWay(e, now, p, &f, request, t)
}

// explainWay takes the packet of a flow, known or not yet stored, out.
func (d *Director) explainWay(e *Explanation, now time.Duration, p *packet.Packet, f *flow, dir direction, t *Table) {
	var hop packet.Hop
	r := t.real(f.server)
	v := d.way(now, d.net.Generation(), p, f, dir, r, &hop, peeking)
	e.say("method", "%v: %s", f.method, changes(f, dir, d.crosses(f)))
	e.sayWay(&hop, v, f, dir)
	if v.Action == packet.Emit {
		if why := d.rewrite(p, f, dir, &hop, r); why != packet.OK {
			v = packet.Dropped(why)
		}
	}
	e.Verdict = v
}

// changes says in words what a method changes on the way.
func changes(f *flow, dir direction, crosses bool) string {
	switch {
	case f.method == DSR:
		return "only the MACs change; the real server answers the client itself"
	case f.method == Tunnel:
		return "the packet travels whole inside an outer one; the real server answers the client itself"
	case f.method == FullNAT && f.translates():
		return "source, destination and the IP version change"
	case f.method == FullNAT:
		return "source and destination change; replies come back to the pool's address"
	case crosses && dir == request:
		return "the destination changes, and the destination MAC; source MAC and TTL stay"
	case crosses:
		return "the source becomes the VIP; MACs and TTL stay"
	case dir == reply:
		return "the source becomes the VIP"
	}
	return "the destination changes; replies come back through weir"
}

func (d *Director) explainICMP(e *Explanation, now time.Duration, p *packet.Packet, t *Table) {
	if !isTranslatable(p) {
		e.Verdict = d.icmpQuery(p, t)
		e.say("ICMP", "%s", map[packet.Action]string{
			packet.Pass: "not about a flow: weir's own stack answers or routes it", packet.Drop: "no answer to this kind is weir's to give",
		}[e.Verdict.Action])
		return
	}
	var q packet.Packet
	s, f, dir, v := d.quoted(p, &q, t)
	if f == nil {
		e.Verdict = v
		e.say("ICMP error", "the packet that it quotes belongs to no known flow")
		return
	}
	known := *f
	s.mu.Unlock()
	e.say("ICMP error", "about a packet of a known flow: it goes where the flow goes, and what is rewritten of the flow is rewritten in it")
	e.sayFlow(&known, dir, now, t)
	var hop packet.Hop
	r := t.real(known.server)
	v = d.way(now, d.net.Generation(), p, &known, dir, r, &hop, peeking)
	e.sayWay(&hop, v, &known, dir)
	if v.Action == packet.Emit {
		if why := d.passError(p, &q, &known, dir, &hop, r); why != packet.OK {
			v = packet.Dropped(why)
		}
	} else {
		v.Answer = packet.AnswerNone
	}
	e.Verdict = v
}

func (e *Explanation) sayFlow(f *flow, dir direction, now time.Duration, t *Table) {
	i := f.info(tickOf(now), t)
	e.Service, e.Real = i.Service, i.Server
	way := "request"
	if dir == reply {
		way = "reply"
	}
	e.say("flow", "known (%s): %v > %v, service %s, real server %s %v; %v, idle %v", way, i.Client, i.VIP, i.Service, i.Server, i.Real, i.State, i.Idle)
}

func (e *Explanation) sayService(c *decision, k *packet.FlowKey, t *Table) {
	switch {
	case c.service == nil && t.IsVIP(&k.Dst):
		e.say("virtual service", "none on port %d of %v, which is a VIP", k.DstPort, k.Dst.Netip())
		return
	case c.service == nil:
		e.say("virtual service", "none: %v is no VIP, and no flow has these addresses and ports", k.Dst.Netip())
		return
	}
	e.say("virtual service", "%s (%v)", c.service.Name, c.service.VIP)
	switch c.verdict.Reason {
	case packet.NoFlow:
		e.say("flow", "none, and only a SYN begins one")
	case packet.NoReal:
		e.say("scheduler", "%v has no real server to give: %s", c.service.scheduler, weights(c.service.reals))
	case packet.OK:
	default:
		e.say("source", "%v: %v", k.Src.Netip(), c.verdict.Reason)
	}
}

func (e *Explanation) sayScheduler(c *decision) {
	e.say("scheduler", "%v gives %s; candidates: %s", c.service.scheduler, c.real.Name, weights(c.service.reals))
}

func weights(reals []*Real) string {
	var b strings.Builder
	for i, r := range reals {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s weight %d", r.Name, r.Weight)
		if r.Weight == 0 {
			b.WriteString(" (no new flows)")
		}
	}
	return b.String()
}

func (e *Explanation) sayWay(h *packet.Hop, v packet.Verdict, f *flow, dir direction) {
	to := f.towards(dir).Netip()
	switch {
	case v.Action == packet.Split:
		e.say("next hop", "%v; no offload carries a tunnel's super-packet: it is cut into segments first", to)
	case v.Action == packet.Emit && v.Port == packet.NoPort:
		e.say("next hop", "%v, where the bridge has learned its MAC", to)
	case v.Action == packet.Emit && h.Link == packet.LinkRaw:
		e.say("next hop", "%v through port %d, which has no MACs; MTU %d", to, h.Port, h.MTU)
	case v.Action == packet.Emit:
		e.say("next hop", "%v through port %d, MAC %v; MTU %d", to, h.Port, h.Dst, h.MTU)
	case v.Reason == packet.TooBig:
		e.say("next hop", "%v, but the MTU of %d is too small for the packet", to, v.MTU)
	case v.Reason == packet.NeighbourWait:
		e.say("next hop", "%v, whose MAC is not known yet: the packet would wait while it is asked for", to)
	default:
		e.say("next hop", "%v: %v", to, v.Reason)
	}
}
