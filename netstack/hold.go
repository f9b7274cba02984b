package netstack

import (
	"time"

	"weir/netstack/packet"
)

// Limits of the frames that wait for a next hop's MAC. RFC 4861 7.2.2 asks for
// a small queue per neighbour; the totals keep a scan of an empty network from
// growing them.
const (
	heldPerHop = 8
	heldFrames = 256
	heldBytes  = 4 << 20
	// heldTime outlasts the questions to a neighbour; frames for one whose
	// entry was evicted meanwhile end by it.
	heldTime = (maxSolicit + 1) * retransTime
)

// heldFrame is a copy of a packet that waits.
type heldFrame struct {
	frame   []byte
	link    packet.Link
	offload packet.Offload
	from    *port
	own     bool // not transit: its TTL and route are settled already
	since   time.Duration
}

// load makes p the held packet again, parsed.
func (f *heldFrame) load(p *packet.Packet) packet.Reason {
	p.Load(f.frame)
	p.Offload = f.offload
	return p.Parse(f.link)
}

// hold keeps the stack's own packets, transit packets and ICMP errors while a
// neighbour is being asked. What the hook holds is the hook's.
type hold struct {
	queues map[neighbourKey][]heldFrame
	frames int
	bytes  int
}

func newHold() *hold { return &hold{queues: make(map[neighbourKey][]heldFrame)} }

// put copies the packet; false if there is no room for it.
func (h *hold) put(now time.Duration, key neighbourKey, w *waiting) bool {
	size := w.p.End - w.p.Start
	if h.frames >= heldFrames || h.bytes+size > heldBytes || len(h.queues[key]) >= heldPerHop {
		return false
	}
	f := copyFrame(w.p)
	f.from, f.own, f.since = w.from, w.own, now
	h.queues[key] = append(h.queues[key], f)
	h.frames++
	h.bytes += size
	return true
}

func copyFrame(p *packet.Packet) heldFrame {
	f := heldFrame{frame: append([]byte(nil), p.Bytes()...), link: p.Link, offload: p.Offload}
	if f.offload.NeedsCsum {
		// An index into p's storage; Load puts the frame at Headroom.
		f.offload.CsumStart = uint16(int(f.offload.CsumStart) - p.Start + packet.Headroom)
	}
	return f
}

// take removes and returns what waits for key.
func (h *hold) take(key neighbourKey) []heldFrame {
	q := h.queues[key]
	h.forget(key, q)
	return q
}

// expire removes and returns what has waited too long.
func (h *hold) expire(now time.Duration) (late []heldFrame) {
	for key, q := range h.queues {
		// The first in a queue is its oldest, and all of it waits for the same.
		if now-q[0].since >= heldTime {
			late = append(late, q...)
			h.forget(key, q)
		}
	}
	return late
}

func (h *hold) forget(key neighbourKey, q []heldFrame) {
	delete(h.queues, key)
	h.frames -= len(q)
	for i := range q {
		h.bytes -= len(q[i].frame)
	}
}
