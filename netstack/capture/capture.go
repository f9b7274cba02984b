// Package capture writes what taps see into a pcapng file that tshark reads
// without a complaint about checksums.
//
// Every named point of a capture is an interface of the file: "wan-rx",
// "lan-tx", "drop-no-flow". Whoever offers a frame never waits: it is copied
// into a bounded buffer, or counted as lost. A Task writes the file.
package capture

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"weir/netstack/packet"
)

// Config describes a Capture.
type Config struct {
	// Epoch is the time of day at which the callers' clock stood at zero. The
	// zero Epoch is that of Unix.
	Epoch time.Time
	// Buffer is how many bytes of frames may wait to be written; 0 is 8 MiB.
	Buffer int
}

const (
	defaultBuffer = 8 << 20
	// leastFrame bounds the number of waiting frames: each counts as that much
	// of the buffer at least.
	leastFrame = 64
)

// Capture collects frames and, as a Task, writes them.
type Capture struct {
	epoch  time.Time
	buffer int
	file   *file
	wake   chan struct{} // holds one token while waiting may not be empty
	ready  chan struct{}

	mu      sync.Mutex // of all below; held for a copy at most
	points  []*Point
	waiting batch
	ended   bool // no frame will be written any more
}

// batch is a run of frames: their bytes one behind the other, and what each is.
type batch struct {
	records []record
	bytes   []byte
}

type record struct {
	point   *Point
	at      time.Duration
	length  int
	offload packet.Offload // CsumStart as for a frame behind packet.Headroom
}

// Point is a place at which frames are captured.
type Point struct {
	capture *Capture
	name    string
	link    packet.Link
	taken   uint64 // under Capture.mu, as is lost
	lost    uint64
}

// tally is one point's share of the counts.
type tally struct {
	point       *Point
	taken, lost uint64
}

// New prepares a capture to w, which stays the caller's to close. Frames are
// taken at once and written when Run runs.
func New(w io.Writer, c Config) *Capture {
	if c.Buffer == 0 {
		c.Buffer = defaultBuffer
	}
	if c.Epoch.IsZero() {
		c.Epoch = time.Unix(0, 0)
	}
	return &Capture{
		epoch: c.Epoch, buffer: c.Buffer, file: newFile(w),
		wake: make(chan struct{}, 1), ready: make(chan struct{}),
	}
}

// Point returns the point of that name, the same one for the same name. Its
// link is that of the first call.
func (c *Capture) Point(name string, link packet.Link) *Point {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pt := range c.points {
		if pt.name == name {
			return pt
		}
	}
	pt := &Point{capture: c, name: name, link: link}
	c.points = append(c.points, pt)
	return pt
}

// Frame captures p as it is, at the caller's time now. It copies, never blocks
// and leaves p unchanged; p need not be parsed. It is for any goroutine.
func (pt *Point) Frame(now time.Duration, p *packet.Packet) {
	c := pt.capture
	r := record{point: pt, at: now, length: p.End - p.Start, offload: p.Offload}
	r.offload.CsumStart += uint16(packet.Headroom - p.Start)
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &c.waiting
	if c.ended || len(q.bytes)+r.length > c.buffer || (len(q.records)+1)*leastFrame > c.buffer {
		pt.lost++
		return
	}
	pt.taken++
	q.records = append(q.records, r)
	q.bytes = append(q.bytes, p.Bytes()...)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Counts is how many frames were captured and how many were not, for want of
// room or since the file could not be written.
func (c *Capture) Counts() (captured, lost uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pt := range c.points {
		captured += pt.taken
		lost += pt.lost
	}
	return captured, lost
}

// String names the Task.
func (c *Capture) String() string { return "capture" }

// Ready is closed when the Task runs.
func (c *Capture) Ready() <-chan struct{} { return c.ready }

// Run writes frames until ctx ends, then what is waiting, and returns nil. It
// returns an error as soon as the file cannot be written; frames are counted as
// lost from then on, and the data path goes on. It may be called once.
func (c *Capture) Run(ctx context.Context) error {
	close(c.ready)
	var spare batch
	for last := false; !last; {
		select {
		case <-c.wake:
		case <-ctx.Done():
			last = true
		}
		full := c.swap(spare, last)
		if err := c.file.write(full, c.epoch); err != nil {
			return c.fail(full, err)
		}
		spare = full
	}
	if err := c.file.finish(c.tally()); err != nil {
		return fmt.Errorf("capture: finish the file: %w: its statistics are missing", err)
	}
	return nil
}

// swap takes what waits and puts spare in its place. With last nothing more is
// taken afterwards.
func (c *Capture) swap(spare batch, last bool) batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	full := c.waiting
	c.waiting = batch{records: spare.records[:0], bytes: spare.bytes[:0]}
	c.ended = c.ended || last
	return full
}

// tally is what every point has counted so far.
func (c *Capture) tally() (all []tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pt := range c.points {
		all = append(all, tally{pt, pt.taken, pt.lost})
	}
	return all
}

// fail ends the capture. What was in hand is counted as lost as a whole: how
// much of it is in the file nobody can say.
func (c *Capture) fail(inHand batch, err error) error {
	waiting := c.swap(batch{}, true)
	c.mu.Lock()
	for _, b := range []batch{inHand, waiting} {
		for i := range b.records {
			b.records[i].point.taken--
			b.records[i].point.lost++
		}
	}
	c.mu.Unlock()
	captured, lost := c.Counts()
	return fmt.Errorf("capture: write: %w: %d frames are in the file, %d are not: free space and capture again", err, captured, lost)
}
