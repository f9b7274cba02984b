package endpoint

import (
	"fmt"
	"strings"
	"sync/atomic"

	"weir/netstack/packet"
	"weir/tunnel"
)

// Counters are what has happened since an Endpoint was opened.
type Counters struct {
	Packets uint64 `json:"packets"` // delivered, as they came; a super-packet of the kernel's is one
	Bytes   uint64 `json:"bytes"`   // of the inner packets
	Writes  uint64 `json:"writes"`  // to the TUN: fewer than packets where segments were put together
	// Formats are the delivered packets by the tunnel's format.
	Formats map[string]uint64 `json:"formats"`
	// Drops are the packets that were not delivered, by reason.
	Drops map[string]uint64 `json:"drops"`
	// Overflow are packets that the kernel dropped because they came faster
	// than they were taken.
	Overflow uint64 `json:"overflow"`
}

// String is a line for each counter that is not zero.
func (c Counters) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "delivered  %d packets, %d bytes, in %d writes\n", c.Packets, c.Bytes, c.Writes)
	for _, t := range tunnel.Types {
		if n := c.Formats[t.String()]; n > 0 {
			fmt.Fprintf(&b, "  %-20s %d\n", t, n)
		}
	}
	for r := range packet.NumReasons {
		if n := c.Drops[r.String()]; n > 0 {
			fmt.Fprintf(&b, "dropped %-20s %d\n", r, n)
		}
	}
	if c.Overflow > 0 {
		fmt.Fprintf(&b, "dropped %-20s %d\n", "socket-overflow", c.Overflow)
	}
	return b.String()
}

// tally is Counters in the making. One goroutine adds, any may read.
type tally struct {
	bytes, writes atomic.Uint64
	formats       [8]atomic.Uint64 // packets, by tunnel.Type
	drops         [packet.NumReasons]atomic.Uint64
}

func (t *tally) drop(r packet.Reason) { t.drops[r].Add(1) }

func (t *tally) snapshot() Counters {
	c := Counters{
		Bytes: t.bytes.Load(), Writes: t.writes.Load(),
		Formats: map[string]uint64{}, Drops: map[string]uint64{},
	}
	for _, f := range tunnel.Types {
		if n := t.formats[f].Load(); n > 0 {
			c.Formats[f.String()] = n
			c.Packets += n
		}
	}
	for r := range packet.NumReasons {
		if n := t.drops[r].Load(); n > 0 {
			c.Drops[r.String()] = n
		}
	}
	return c
}
