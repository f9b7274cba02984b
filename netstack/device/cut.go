package device

import (
	"fmt"
	"sync"

	"weir/netstack/packet"
)

// cutters do in software what a device does not take: they cut super-packets
// into segments and complete partial checksums. They are pooled, since Write is
// for any goroutine and a segment needs storage of its own.
type cutters struct {
	link packet.Link
	pool sync.Pool // *cutter
}

// cutter sends the segments of one super-packet at a time. emit is bound once:
// a closure made for each packet would be an allocation for each.
type cutter struct {
	scratch packet.Packet
	emit    func(*packet.Packet)
	err     error // of the first segment that could not be sent
}

func newCutters(link packet.Link, send func(*packet.Packet) error) *cutters {
	c := &cutters{link: link}
	c.pool.New = func() any {
		k := new(cutter)
		k.emit = func(s *packet.Packet) {
			if k.err == nil { // behind a lost segment the rest would come in vain
				k.err = send(s)
			}
		}
		return k
	}
	return c
}

// cut sends p's segments, or p itself, completed.
func (c *cutters) cut(p *packet.Packet) error {
	if err := c.parsed(p); err != nil {
		return err
	}
	k := c.pool.Get().(*cutter)
	k.err = nil
	packet.Segment(p, &k.scratch, k.emit)
	err := k.err
	c.pool.Put(k)
	return err
}

// parsed sees to the offsets that completing and cutting go by: a host stack
// hands over frames that nobody has parsed.
func (c *cutters) parsed(p *packet.Packet) error {
	if p.Version != 0 || !p.Offload.NeedsCsum && p.Offload.GSO == packet.GSONone {
		return nil
	}
	if r := p.Parse(c.link); r != packet.OK {
		return fmt.Errorf("offload of a frame that does not parse: %s", r)
	}
	return nil
}
