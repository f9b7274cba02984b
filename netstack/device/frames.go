package device

import (
	"sync"

	"weir/netstack/packet"
)

// frames is one direction of a wire: a bounded ring of frames. Its slots keep
// their storage, so a warm wire allocates nothing.
type frames struct {
	mu      sync.Mutex
	changed sync.Cond // a frame came, an end closed, a reader left
	slots   [][]byte
	first   int // index of the oldest frame
	count   int
	readers int // in pop

	readerClosed, writerClosed bool
}

func newFrames(size int) *frames {
	f := &frames{slots: make([][]byte, orDefault(size, 1024))}
	f.changed.L = &f.mu
	return f
}

// push copies a frame in. It never blocks.
func (f *frames) push(frame []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.writerClosed:
		return ErrClosed
	case f.readerClosed:
		return ErrRemoved
	case f.count == len(f.slots):
		return ErrFull
	}
	slot := &f.slots[(f.first+f.count)%len(f.slots)]
	*slot = append((*slot)[:0], frame...)
	f.count++
	f.changed.Broadcast()
	return nil
}

// pop waits for a frame and copies it out.
func (f *frames) pop(p *packet.Packet) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers++
	defer func() {
		f.readers--
		f.changed.Broadcast()
	}()
	for f.count == 0 && !f.readerClosed && !f.writerClosed {
		f.changed.Wait()
	}
	switch {
	case f.readerClosed:
		return ErrClosed
	case f.count == 0:
		return ErrRemoved
	}
	frame := f.slots[f.first]
	f.first = (f.first + 1) % len(f.slots)
	f.count--
	p.Load(frame)
	return nil
}

// endWrites lets the reader have what is there, then ErrRemoved.
func (f *frames) endWrites() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writerClosed = true
	f.changed.Broadcast()
}

// endReads discards what is there and returns when the last reader has left.
func (f *frames) endReads() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readerClosed = true
	f.changed.Broadcast()
	for f.readers > 0 {
		f.changed.Wait()
	}
}
