package netstack

import (
	"net/netip"
	"time"

	"weir/netstack/packet"
)

// answer sends the ICMP error that v owes the sender of p, which came in by
// in. Errors to ourselves, about packets that gVisor could not send, go into
// gVisor.
func (w *worker) answer(now time.Duration, in *port, p *packet.Packet, v packet.Verdict) {
	if !w.buildError(now, w.s.egress(in, p.Src()), p, v) {
		return
	}
	w.s.stats.answers.Add(1)
	if at, ours := w.s.owner(w.reply.DstAddr()); ours {
		w.deliver(w.s.nicOf(at, in), &w.reply)
		return
	}
	if r := w.output(now, in, &w.reply); r != packet.OK {
		w.s.count(now, in, &w.reply, r)
	}
}

// answerBehind sends the error about p, which the hook has rewritten and which
// out could not take. Quoting it to its sender would be wrong, who never sent
// it like that; so the error goes through the hook as one from a router behind
// out, and is translated like any other.
func (w *worker) answerBehind(now time.Duration, out *port, p *packet.Packet, v packet.Verdict) {
	if !w.buildError(now, out, p, v) {
		return
	}
	w.s.stats.answers.Add(1)
	if b := w.s.bridge; b != nil {
		// A hook that leaves MACs alone must find the sender's there.
		w.reply.SetHop(&packet.Hop{Link: packet.LinkEthernet, Src: b.link.mac, Dst: p.SrcMAC()})
	}
	v = w.s.hook.Ingress(now, out.id, &w.reply)
	if v.Action != packet.Pass {
		w.execute(now, out, &w.reply, v)
		return
	}
	if r := w.output(now, out, &w.reply); r != packet.OK {
		w.s.count(now, out, &w.reply, r)
	}
}

// buildError makes w.reply the error that v owes for p, if one may be sent and
// the rate allows it.
func (w *worker) buildError(now time.Duration, from *port, p *packet.Packet, v packet.Verdict) bool {
	if w.s.fromBroadcast(p) || !packet.BuildError(&w.reply, p, v, w.s.errorSource(from, p, v.Answer)) {
		return false
	}
	if !w.s.answerLimit.allow(now, p.SrcAddr()) {
		w.s.stats.suppressed.Add(1)
		return false
	}
	return true
}

// errorSource is the address that an error about p comes from. A host speaks
// as the address that was spoken to (RFC 1122 3.2.2); a router as the port by
// which the error leaves (RFC 1812 4.3.2.4), or, where that port has no
// address of the family, as any other that has. What gVisor is told about its
// own packet comes from the packet's destination: from ourselves it would be
// taken for a spoof.
func (s *Stack) errorSource(from *port, p *packet.Packet, a packet.Answer) netip.Addr {
	dst := p.Dst()
	if _, ours := s.owner(p.SrcAddr()); ours {
		return dst
	}
	if a == packet.AnswerPortUnreachable {
		if _, ours := s.owner(p.DstAddr()); ours {
			return dst
		}
	}
	if src := from.source(p.Src()); src.IsValid() {
		return src
	}
	for _, other := range s.links {
		if src := other.source(p.Src()); src.IsValid() {
			return src
		}
	}
	if _, ours := s.owner(p.DstAddr()); ours {
		return dst
	}
	return netip.Addr{}
}
