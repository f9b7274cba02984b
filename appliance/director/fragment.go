package director

import (
	"sync"
	"time"

	"weir/netstack/packet"
)

// Bounds of what is known about fragmented datagrams. Fragments that have to
// wait for their first are copied into the hold, which bounds their bytes.
const (
	fragDatagrams = 4096
	fragPieces    = 64              // of one datagram: 64 KiB at an MTU of 1,500 are 45
	fragLife      = 5 * time.Second // from a datagram's first fragment to arrive
	// Their share of the hold: the rest is for what waits for next hops, and for
	// what is ready and not yet taken.
	fragHoldBytes  = holdBytes * 3 / 4
	fragHoldFrames = holdFrames * 3 / 4
)

// fragKey names a datagram (RFC 791 3.2, RFC 8200 4.5).
type fragKey struct {
	src, dst packet.Addr
	id       uint32
	// proto is 0 in IPv6: there a fragment names the header that follows, which
	// need not be TCP's or UDP's own.
	proto, version uint8
}

func fragKeyOf(p *packet.Packet, src, dst packet.Addr) fragKey {
	k := fragKey{src: src, dst: dst, id: p.FragID, version: p.Version}
	if p.Version == 4 {
		k.proto = p.Proto
	}
	return k
}

// translatable reports whether a fragment may belong to a datagram of TCP or
// UDP. Of a later one in IPv6 only its first can tell.
func translatable(p *packet.Packet) bool {
	return p.Proto == packet.TCP || p.Proto == packet.UDP || p.Version == 6 && p.FragOffset > 0
}

// fate is what becomes of a datagram's pieces.
type fate uint8

const (
	undecided fate = iota // the first fragment has not come
	followsFlow
	passed // not ours: the stack's
	dropped
)

// span is a piece of a datagram, in bytes from its start.
type span struct{ from, to uint16 }

// datagram is what is known about one fragmented datagram: the pieces seen, and
// from its first fragment the flow that all of them belong to.
type datagram struct {
	key     fragKey
	born    time.Duration
	fate    fate
	flow    packet.FlowKey // of all pieces, where their fate is followsFlow
	why     packet.Reason  // where it is dropped
	pieces  [fragPieces]span
	n       int
	seen    int // bytes of all pieces
	size    int // of the whole, 0 until the last piece came
	waiting []heldFrame
	bytes   int // of waiting
}

// fragments follows the datagrams that go to a VIP or come from a real server.
// Its one lock is not the fast path's: a fragment costs its sender and its
// receiver more than it costs here.
type fragments struct {
	mu    sync.Mutex
	held  *hold
	known map[fragKey]*datagram
	order []*datagram // by age
	// held by all
	bytes, frames int
}

func newFragments(h *hold) *fragments {
	return &fragments{held: h, known: map[fragKey]*datagram{}}
}

// fragment decides about a fragment of anything but ICMP. The first one takes the way
// of a packet and leaves its flow for the others, which wait for it.
func (d *Director) fragment(now time.Duration, in packet.PortID, p *packet.Packet) packet.Verdict {
	src, dst := p.SrcAddr(), p.DstAddr()
	t := d.table.Load()
	if !translatable(p) {
		return d.otherProtocol(p)
	}
	if !t.hasEnd(&src, &dst) {
		return packet.Verdict{Action: packet.Pass}
	}
	k := fragKeyOf(p, src, dst)
	if p.FragOffset == 0 {
		return d.firstFragment(now, in, p, k)
	}
	flow, v := d.frags.later(now, in, p, k)
	if v.Action != packet.Emit {
		return v
	}
	return d.flow(now, in, p, &flow)
}

// firstFragment sends the first fragment on its way and then lets those that
// waited for it go after it.
func (d *Director) firstFragment(now time.Duration, in packet.PortID, p *packet.Packet, k fragKey) packet.Verdict {
	if why := d.frags.add(now, p, k); why != packet.OK {
		return packet.Dropped(why)
	}
	var flow packet.FlowKey
	p.Key(&flow)
	v := d.flow(now, in, p, &flow)
	switch v.Action {
	case packet.Drop:
		d.frags.decide(k, dropped, packet.FlowKey{}, v.Reason)
	case packet.Pass:
		d.frags.decide(k, passed, packet.FlowKey{}, packet.OK)
	default:
		d.frags.decide(k, followsFlow, flow, packet.OK)
	}
	return v
}

// add books a fragment as a piece of its datagram.
func (g *fragments) add(now time.Duration, p *packet.Packet, k fragKey) packet.Reason {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, why := g.book(now, p, k)
	return why
}

// later books a later fragment and says which flow it belongs to; Hold if that
// is not known yet and a copy waits for it.
func (g *fragments) later(now time.Duration, in packet.PortID, p *packet.Packet, k fragKey) (packet.FlowKey, packet.Verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	dg, why := g.book(now, p, k)
	switch {
	case why != packet.OK:
		return packet.FlowKey{}, packet.Dropped(why)
	case dg.fate == followsFlow:
		g.forgetIfWhole(dg)
		return dg.flow, packet.Verdict{Action: packet.Emit}
	case dg.fate == passed:
		g.forgetIfWhole(dg)
		return packet.FlowKey{}, packet.Verdict{Action: packet.Pass}
	}
	return packet.FlowKey{}, g.wait(in, p, dg)
}

// book finds or makes the datagram of a fragment and enters the piece. The lock
// is held.
func (g *fragments) book(now time.Duration, p *packet.Packet, k fragKey) (*datagram, packet.Reason) {
	dg := g.known[k]
	if dg == nil {
		if len(g.known) >= fragDatagrams {
			g.giveUp(g.order[0], packet.FragLimit)
		}
		dg = &datagram{key: k, born: now}
		g.known[k] = dg
		g.order = append(g.order, dg)
	}
	if dg.fate == dropped {
		return dg, dg.why
	}
	why := dg.enter(span{p.FragOffset, p.FragOffset + p.FragLen}, p.MoreFrags)
	if why == packet.FragOverlap || why == packet.FragLimit {
		dg.fate, dg.why = dropped, why
		g.letGo(dg)
	}
	return dg, why
}

// enter adds a piece. Pieces that overlap spoil the datagram (RFC 5722); an
// exact repetition is only dropped itself.
func (dg *datagram) enter(s span, more bool) packet.Reason {
	for _, o := range dg.pieces[:dg.n] {
		if s == o {
			return packet.FragDuplicate
		}
		if s.from < o.to && o.from < s.to {
			return packet.FragOverlap
		}
	}
	if dg.n == fragPieces {
		return packet.FragLimit
	}
	end := int(s.to)
	if dg.size != 0 && (end > dg.size || !more) {
		return packet.FragOverlap // beyond the end, or a second end
	}
	if !more {
		for _, o := range dg.pieces[:dg.n] {
			if int(o.to) > end {
				return packet.FragOverlap
			}
		}
		dg.size = end
	}
	dg.pieces[dg.n] = s
	dg.n++
	dg.seen += int(s.to - s.from)
	return packet.OK
}

// wait keeps a copy of a fragment until its datagram's first has come. Where
// all hold too much, the oldest datagrams that wait are given up.
func (g *fragments) wait(in packet.PortID, p *packet.Packet, dg *datagram) packet.Verdict {
	n := len(p.Bytes())
	for g.bytes+n > fragHoldBytes || g.frames >= fragHoldFrames {
		oldest := g.oldestWaiting()
		if oldest == nil || oldest == dg {
			return packet.Dropped(packet.FragLimit)
		}
		g.giveUp(oldest, packet.FragLimit)
	}
	f, ok := g.held.keepCopy(in, p)
	if !ok {
		return packet.Dropped(packet.FragLimit)
	}
	dg.waiting = append(dg.waiting, f)
	dg.bytes += n
	g.bytes += n
	g.frames++
	return packet.Verdict{Action: packet.Hold, Reason: packet.FragWait}
}

func (g *fragments) oldestWaiting() *datagram {
	for _, dg := range g.order {
		if dg.bytes > 0 {
			return dg
		}
	}
	return nil
}

// decide records what becomes of a datagram's pieces and lets those go that
// waited to know it.
func (g *fragments) decide(k fragKey, to fate, flow packet.FlowKey, why packet.Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	dg := g.known[k]
	if dg == nil || dg.fate != undecided {
		return
	}
	dg.fate, dg.flow, dg.why = to, flow, why
	g.letGo(dg)
	g.forgetIfWhole(dg)
}

// letGo hands the waiting pieces back to the hold, each with its fate.
func (g *fragments) letGo(dg *datagram) {
	for i := range dg.waiting {
		f := &dg.waiting[i]
		switch dg.fate {
		case followsFlow:
			f.keyed, f.key = true, dg.flow
		case passed:
			f.final, f.verdict = true, packet.Verdict{Action: packet.Pass}
		default:
			f.final, f.verdict = true, packet.Dropped(dg.why)
		}
	}
	g.held.release(dg.waiting)
	g.bytes -= dg.bytes
	g.frames -= len(dg.waiting)
	dg.waiting, dg.bytes = nil, 0
}

// forgetIfWhole forgets a datagram of which every piece was seen, so that its
// id can be used again.
func (g *fragments) forgetIfWhole(dg *datagram) {
	if dg.size != 0 && dg.seen == dg.size {
		g.forget(dg)
	}
}

// giveUp drops what waits of a datagram that will not be waited for any longer.
func (g *fragments) giveUp(dg *datagram, why packet.Reason) {
	if dg.fate == undecided {
		dg.fate, dg.why = dropped, why
	}
	g.forget(dg)
}

func (g *fragments) forget(dg *datagram) {
	g.letGo(dg)
	delete(g.known, dg.key)
	for i, o := range g.order {
		if o == dg {
			g.order = append(g.order[:i], g.order[i+1:]...)
			break
		}
	}
}

// expire gives up datagrams that are too old.
func (g *fragments) expire(now time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.order) > 0 && now-g.order[0].born >= fragLife {
		g.giveUp(g.order[0], packet.FragTimeout)
	}
}

// peek says what becomes of a datagram's later fragments, and which flow they
// belong to where they follow one.
func (g *fragments) peek(k fragKey) (fate, packet.FlowKey, packet.Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if dg := g.known[k]; dg != nil {
		return dg.fate, dg.flow, dg.why
	}
	return undecided, packet.FlowKey{}, packet.OK
}

func (g *fragments) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.known)
}
