package director

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/netstack/packet"
)

// Bounds of the hold. What does not fit is dropped with its reason.
const (
	holdFrames    = 4096
	holdBytes     = 4 << 20
	neighbourHold = 512 // frames of holdFrames that may wait for next hops
	retryInterval = time.Second
)

// heldFrame is the copy of a frame that waits.
type heldFrame struct {
	in      packet.PortID
	link    packet.Link
	offload packet.Offload
	start   int // of the frame in the Store it was copied from: what offload counts from
	bytes   []byte
	keyed   bool
	key     packet.FlowKey // of its flow, where the frame itself cannot tell
	final   bool           // verdict is what becomes of it
	verdict packet.Verdict
}

// hold keeps copies of frames that cannot go on yet: those whose next hop is
// being asked for, and fragments whose first has not come. What is ready again
// goes back through Next.
type hold struct {
	// len(ready) and len(neighbours), to be read without the lock
	readyCount, waitCount atomic.Int32

	mu         sync.Mutex
	ready      []heldFrame
	neighbours []heldFrame // all wait for the network's next generation
	generation uint32
	retryAt    time.Duration
	frames     int
	bytes      int
}

func newHold() *hold { return &hold{} }

// copyOf copies a frame; false if there is no room for it. The lock is held.
func (h *hold) copyOf(in packet.PortID, p *packet.Packet, k *packet.FlowKey) (heldFrame, bool) {
	b := p.Bytes()
	if h.frames >= holdFrames || h.bytes+len(b) > holdBytes {
		return heldFrame{}, false
	}
	h.frames++
	h.bytes += len(b)
	f := heldFrame{in: in, link: p.Link, offload: p.Offload, start: p.Start, bytes: append([]byte(nil), b...)}
	if k != nil {
		f.keyed, f.key = true, *k
	}
	return f, true
}

// untilNeighbour keeps a frame whose next hop's MAC is being asked for; gen is
// the network's generation from before it was asked.
func (h *hold) untilNeighbour(now time.Duration, gen uint32, in packet.PortID, p *packet.Packet, k *packet.FlowKey) packet.Verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.neighbours) >= neighbourHold {
		return packet.Dropped(packet.NeighbourLimit)
	}
	f, ok := h.copyOf(in, p, k)
	if !ok {
		return packet.Dropped(packet.NeighbourLimit)
	}
	if len(h.neighbours) == 0 {
		h.generation, h.retryAt = gen, now+retryInterval
	}
	h.generation = min(h.generation, gen) // asked before a change that others saw
	h.neighbours = append(h.neighbours, f)
	h.waitCount.Store(int32(len(h.neighbours)))
	return packet.Verdict{Action: packet.Hold, Reason: packet.NeighbourWait}
}

// keepCopy keeps a frame for somebody who will release it.
func (h *hold) keepCopy(in packet.PortID, p *packet.Packet) (heldFrame, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.copyOf(in, p, nil)
}

// release makes kept frames ready.
func (h *hold) release(fs []heldFrame) {
	if len(fs) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked(fs)
}

func (h *hold) releaseLocked(fs []heldFrame) {
	h.ready = append(h.ready, fs...)
	h.readyCount.Store(int32(len(h.ready)))
}

// wake makes the frames that wait for next hops ready when the network has
// changed, and every second, so that a next hop that failed ends their wait.
func (h *hold) wake(now time.Duration, generation uint32) {
	if h.waitCount.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.neighbours) == 0 || generation == h.generation && now < h.retryAt {
		return
	}
	h.generation, h.retryAt = generation, now+retryInterval
	h.releaseLocked(h.neighbours)
	h.neighbours = nil
	h.waitCount.Store(0)
}

// take returns the next ready frame.
func (h *hold) take() (heldFrame, bool) {
	if h.readyCount.Load() == 0 {
		return heldFrame{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ready) == 0 {
		return heldFrame{}, false
	}
	f := h.ready[0]
	h.ready[0] = heldFrame{}
	h.ready = h.ready[1:]
	if len(h.ready) == 0 {
		h.ready = nil
	}
	h.readyCount.Store(int32(len(h.ready)))
	h.frames--
	h.bytes -= len(f.bytes)
	return f, true
}

func (h *hold) size() (frames, bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.frames, h.bytes
}

// Next hands back, in p, one held frame whose wait has ended, with the verdict
// it gets now and the port by which it had entered; false if there is none.
func (d *Director) Next(now time.Duration, p *packet.Packet) (packet.PortID, packet.Verdict, bool) {
	d.held.wake(now, d.net.Generation())
	f, ok := d.held.take()
	if !ok {
		return packet.NoPort, packet.Verdict{}, false
	}
	p.Load(f.bytes)
	p.Offload = f.offload
	p.Offload.CsumStart += uint16(p.Start - f.start)
	if why := p.Parse(f.link); why != packet.OK {
		return f.in, packet.Dropped(why), true
	}
	switch {
	case f.final:
		return f.in, f.verdict, true
	case f.keyed:
		return f.in, d.flow(now, f.in, p, &f.key), true
	}
	return f.in, d.Ingress(now, f.in, p), true
}

// Tick does what time asks for: it ends flows and waits. It is called every
// 100 ms from one goroutine.
func (d *Director) Tick(now time.Duration) {
	d.flows.expire(now, d.table.Load())
	d.frags.expire(now)
	d.held.wake(now, d.net.Generation())
}
