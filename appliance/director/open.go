package director

import (
	"time"

	"weir/netstack/packet"
)

// decision is what the slow way finds out about a packet of no known flow.
type decision struct {
	service *Service
	real    *Real
	verdict packet.Verdict // Pass or Drop where there is no real
}

// decide says which real server a packet of no known flow goes to, or why to
// none. With commit false no scheduler remembers it.
func (d *Director) decide(p *packet.Packet, k *packet.FlowKey, t *Table, commit bool) decision {
	sv := t.lookup(&k.Dst, k.DstPort, k.Proto)
	if sv == nil {
		if t.IsVIP(&k.Dst) {
			return decision{verdict: refuse(packet.NoService, p)}
		}
		if d.pool.owns(&k.Dst) { // a reply of a flow that is over
			return decision{verdict: packet.Dropped(packet.NoFlow)}
		}
		return decision{verdict: packet.Verdict{Action: packet.Pass}}
	}
	if why := d.opening(p); why != packet.OK {
		return decision{service: sv, verdict: packet.Dropped(why)}
	}
	own := *k // what goes through an interface escapes: only first packets may pay for that
	r := sv.scheduler.Pick(&own, commit)
	if r == nil {
		return decision{service: sv, verdict: refuse(packet.NoReal, p)}
	}
	return decision{service: sv, real: r, verdict: packet.Verdict{Action: packet.Emit}}
}

// opening says whether a packet may begin a flow. A TCP packet without a flow
// that is no SYN is dropped in silence, as IPVS does: it must not reach a stack
// that would answer it with RST.
func (d *Director) opening(p *packet.Packet) packet.Reason {
	if why := p.Martian(); why != packet.OK {
		return why
	}
	if !p.HasL4 || p.Proto == packet.TCP && p.Flags&(packet.SYN|packet.ACK|packet.RST|packet.FIN) != packet.SYN {
		return packet.NoFlow
	}
	if d.net.Local(p.Src()) {
		return packet.SpoofedSource
	}
	return packet.OK
}

// refuse drops an opening packet with the answer that makes a client fail at
// once and not at its timeout; anything else is dropped in silence.
func refuse(why packet.Reason, p *packet.Packet) packet.Verdict {
	v := packet.Dropped(why)
	if p.Proto == packet.UDP || p.Flags&(packet.SYN|packet.ACK|packet.RST) == packet.SYN {
		v.Answer = packet.AnswerPortUnreachable
	}
	return v
}

// open begins a flow, if there is to be one, and takes its first packet out.
func (d *Director) open(now time.Duration, in packet.PortID, p *packet.Packet, k *packet.FlowKey, h *flowHash, t *Table) packet.Verdict {
	s := d.flows.shardOf(h.src)
	s.mu.Lock()
	defer s.mu.Unlock()
	// Another queue may have opened it since find looked.
	if f := s.lookup(h.tag, k, request); f != nil {
		return d.send(now, in, p, s, f, request, t)
	}
	c := d.decide(p, k, t, true)
	if c.real == nil {
		return c.verdict
	}
	flow := newFlow(k, c.service.Method, c.real, now)
	if flow.method == FullNAT && !d.pool.lend(&flow) {
		return refuse(packet.PoolExhausted, p)
	}
	f, how := s.insert(&flow, h.tag, t)
	if how != inserted && flow.method == FullNAT {
		d.pool.giveBack(&flow)
	}
	switch how {
	case full:
		return packet.Dropped(packet.TableFull)
	case taken:
		return packet.Dropped(packet.FlowTaken)
	}
	return d.send(now, in, p, s, f, request, t)
}
