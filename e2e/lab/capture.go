package lab

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// captureMax bounds what one capture holds, in bytes of frames.
const captureMax = 256 << 20

// Frame is one frame as it was seen at an interface.
type Frame struct {
	At   time.Time
	Out  bool // the interface sent it; else it received it
	Data []byte
	// Partial: the L4 checksum was still to be filled in by an offload when the
	// frame was seen. It happens only with Topology.Offload.
	Partial bool
}

// Capture records the frames of one interface until it is stopped.
type Capture struct {
	stop func() error // ends the source, returns when its last frame was added

	mu     sync.Mutex
	frames []Frame
	bytes  int
	lost   uint64
	more   chan struct{} // closed and made anew with every frame
}

func newCapture() *Capture { return &Capture{more: make(chan struct{})} }

// add takes f over, its bytes too.
func (c *Capture) add(f Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes+len(f.Data) > captureMax {
		c.lost++
		return
	}
	c.frames = append(c.frames, f)
	c.bytes += len(f.Data)
	close(c.more)
	c.more = make(chan struct{})
}

// Frames is what has been seen up to now, in order. The bytes are shared: they
// must not be changed.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frames[:len(c.frames):len(c.frames)]
}

// Lost is how many frames there was no room for.
func (c *Capture) Lost() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// Await returns the first frame, seen already or yet to come, that match
// accepts; or an error when ctx ends.
func (c *Capture) Await(ctx context.Context, match func(Frame) bool) (Frame, error) {
	for next := 0; ; {
		c.mu.Lock()
		frames, more := c.frames, c.more
		c.mu.Unlock()
		for ; next < len(frames); next++ {
			if match(frames[next]) {
				return frames[next], nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Frame{}, fmt.Errorf("none of %d captured frames matched: %w", next, ctx.Err())
		}
	}
}

// Stop ends the capture; frames that the interface had seen before the call are
// in Frames when it returns. A second call does nothing.
func (c *Capture) Stop() error {
	c.mu.Lock()
	stop := c.stop
	c.stop = nil
	c.mu.Unlock()
	if stop == nil {
		return nil
	}
	return stop()
}
