package netstack

import (
	"errors"
	"time"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// worker is the storage that processing one frame needs, so that processing
// allocates nothing. A receive loop has one; whoever else sends borrows one.
type worker struct {
	s     *Stack
	frame packet.Packet // what is being processed
	next  packet.Packet // what the hook had held
	reply packet.Packet // the ICMP error about either
	part  packet.Packet // one segment of a super-packet
	piece packet.Packet // one fragment of a packet
}

func (s *Stack) worker() *worker  { return s.workers.Get().(*worker) }
func (s *Stack) retire(w *worker) { s.workers.Put(w) }

// execute does what v says about p, which came in by in.
func (w *worker) execute(now time.Duration, in *port, p *packet.Packet, v packet.Verdict) {
	switch v.Action {
	case packet.Emit:
		w.exit(now, in, p, v.Port)
	case packet.Pass:
		w.pass(now, in, p)
	case packet.Drop:
		w.drop(now, in, p, v)
	case packet.Split:
		w.split(now, in, p)
	}
}

// split asks the hook about each segment of p, which it could not send as one.
// p itself would come back as its own only segment for ever.
func (w *worker) split(now time.Duration, in *port, p *packet.Packet) {
	if p.Offload.GSO == packet.GSONone {
		w.drop(now, in, p, packet.Dropped(packet.Rewriting))
		return
	}
	packet.Segment(p, &w.part, func(segment *packet.Packet) {
		w.execute(now, in, segment, w.s.hook.Ingress(now, in.id, segment))
	})
}

// exit sends what the hook has rewritten by the port it named; in a bridge it
// may leave that to the table. A frame that no port is known for goes to all
// but the one it came in by, as one in transit would.
func (w *worker) exit(now time.Duration, in *port, p *packet.Packet, by packet.PortID) {
	b := w.s.bridge
	switch {
	case int(by) < len(w.s.ports):
		w.emit(now, in, p, w.s.ports[by])
		return
	case by != packet.NoPort || b == nil:
		w.drop(now, in, p, packet.Dropped(packet.Rewriting))
		return
	case p.DstMAC() == b.link.mac:
		// The hook leaves MACs alone, and this station takes us for its router.
		w.drop(now, in, p, packet.Dropped(packet.NotForwarding))
		return
	}
	if to, known := b.where(p.DstMAC()); known {
		w.emit(now, in, p, w.s.ports[to])
		return
	}
	for _, out := range w.s.ports {
		if out != in {
			w.emit(now, in, p, out)
		}
	}
}

// emit sends what the hook has rewritten.
func (w *worker) emit(now time.Duration, in *port, p *packet.Packet, out *port) {
	if p.Link != out.link {
		w.drop(now, in, p, packet.Dropped(packet.Rewriting))
		return
	}
	if w.send(now, out, p) != packet.TooBig {
		return
	}
	v := tooBig(out)
	w.s.count(now, in, p, v.Reason)
	w.answerBehind(now, out, p, v)
}

// drain executes what the hook had held and now hands out. The bound gives the
// device its turn.
func (w *worker) drain(now time.Duration) {
	if w.s.hook == nil {
		return
	}
	for range 64 {
		in, v, ok := w.s.hook.Next(now, &w.next)
		if !ok {
			return
		}
		w.execute(now, w.s.ports[in], &w.next, v)
	}
}

// send writes p, whose link header is in place, to out: as it is if it fits,
// else in fragments. It returns OK or, having done nothing, TooBig. What a
// device refuses is counted here.
func (w *worker) send(now time.Duration, out *port, p *packet.Packet) packet.Reason {
	if fits(p, out.mtu) {
		w.s.transmit(now, out, p)
		return packet.OK
	}
	if p.DF() {
		return packet.TooBig
	}
	packet.Segment(p, &w.part, func(segment *packet.Packet) {
		packet.Fragment(segment, &w.piece, out.mtu, func(fragment *packet.Packet) {
			w.s.transmit(now, out, fragment)
		})
	})
	return packet.OK
}

// fits reports whether p, or each segment of it, is within mtu.
func fits(p *packet.Packet, mtu int) bool {
	if p.IPLen() <= mtu {
		return true
	}
	return p.Offload.GSO != packet.GSONone && p.Payload-p.L3+int(p.Offload.GSOSize) <= mtu
}

// transmit sends p by the port out, or, where that is a bridge's, by the ports
// that lead to its destination.
func (s *Stack) transmit(now time.Duration, out *port, p *packet.Packet) {
	switch b := s.bridge; {
	case b == nil:
	case out == b.link:
		s.spread(now, p)
		return
	case b.shut[out.id].Load():
		s.count(now, out, p, packet.BridgeLoop)
		return
	}
	s.write(now, out, p)
}

// write is the only place where frames are given to devices.
func (s *Stack) write(now time.Duration, out *port, p *packet.Packet) {
	s.show(now, Tx, out, p, packet.OK)
	size := uint64(p.End - p.Start)
	err := out.dev.Write(p)
	switch {
	case err == nil:
		out.stats.txFrames.Add(1)
		out.stats.txBytes.Add(size)
	case errors.Is(err, device.ErrFull) || errors.Is(err, device.ErrAgain):
		s.count(now, out, p, packet.DeviceFull)
	default:
		s.count(now, out, p, packet.DeviceError)
	}
}

// drop ends p for v.Reason and sends the error that v owes for it.
func (w *worker) drop(now time.Duration, in *port, p *packet.Packet, v packet.Verdict) {
	w.s.count(now, in, p, v.Reason)
	if v.Answer != packet.AnswerNone {
		w.answer(now, in, p, v)
	}
}

// count is the only place where drops are counted.
func (s *Stack) count(now time.Duration, at *port, p *packet.Packet, r packet.Reason) {
	at.stats.drops[r].Add(1)
	s.show(now, Drop, at, p, r)
}
