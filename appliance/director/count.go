package director

import (
	"time"

	"weir/netstack/packet"
)

// Traffic is what went through a real server, seen from the clients.
type Traffic struct {
	RequestPackets, RequestBytes uint64 // IP packets, as they are on a wire, and their bytes
	ReplyPackets, ReplyBytes     uint64
}

func (t *Traffic) add(u *Traffic) {
	t.RequestPackets += u.RequestPackets
	t.RequestBytes += u.RequestBytes
	t.ReplyPackets += u.ReplyPackets
	t.ReplyBytes += u.ReplyBytes
}

// shardCounts are a shard's counters. They are plain numbers, because whoever
// writes or reads them holds the shard's lock anyway.
type shardCounts struct {
	created, expired, evicted, replaced uint64
	traffic                             []Traffic // by the real's id
}

func (c *shardCounts) of(real uint32) *Traffic {
	if int(real) >= len(c.traffic) {
		c.traffic = append(c.traffic, make([]Traffic, int(real)+1-len(c.traffic))...)
	}
	return &c.traffic[real]
}

// forgetTraffic begins the traffic of these reals at zero: their ids may have
// been others' before.
func (t *flowTable) forgetTraffic(ids []uint32) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, id := range ids {
			*s.count.of(id) = Traffic{}
		}
		s.mu.Unlock()
	}
}

// account books a packet that leaves: traffic, the flow's age and its state.
func (s *shard) account(now time.Duration, p *packet.Packet, f *flow, dir direction, tbl *Table) {
	t, n := s.count.of(f.server), uint64(p.Segments())
	if dir == request {
		t.RequestPackets += n
		t.RequestBytes += uint64(p.IPLen())
	} else {
		t.ReplyPackets += n
		t.ReplyBytes += uint64(p.IPLen())
	}
	at := tickOf(now)
	next := f.state
	switch {
	case f.proto == packet.TCP && f.method.oneWay():
		next = f.state.followOneWay(p.Flags)
	case f.proto == packet.TCP:
		next = f.state.follow(dir, p.Flags)
	case dir == reply:
		next = UDPReplied
	}
	switch {
	case next != f.state:
		s.enter(f, next, at, tbl)
	case f.state == SynSent || f.state == SynRecv: // a repetition prolongs nothing
	case queueOf[f.state] == noQueue:
		f.seen = at
	case at-f.seen >= touchTicks: // keeps the queue in order of age
		s.enter(f, f.state, at, tbl)
	}
}

// Counts are the director's totals.
type Counts struct {
	Flows                 int64 // live now
	Limit                 int64
	Created, Expired      uint64
	Evicted               uint64 // unanswered or over, and made room in a full table
	Replaced              uint64 // over, and their addresses and ports used anew
	HeldFrames, HeldBytes int    // copies of frames that wait now
	PoolLent              int    // source ports of fullnat lent now
	PoolExhausted         uint64 // flows refused because none was left
	FragmentDatagrams     int    // known or waited for now
}

// Counts returns the totals, and the traffic of each real server by its ID;
// a real that had none may lie behind the end.
func (d *Director) Counts() (Counts, []Traffic) {
	c := Counts{Flows: d.flows.live.Load(), Limit: d.flows.limit}
	var traffic []Traffic
	for i := range d.flows.shards {
		s := &d.flows.shards[i]
		s.mu.Lock()
		c.Created += s.count.created
		c.Expired += s.count.expired
		c.Evicted += s.count.evicted
		c.Replaced += s.count.replaced
		for id := range s.count.traffic {
			if id == len(traffic) {
				traffic = append(traffic, Traffic{})
			}
			traffic[id].add(&s.count.traffic[id])
		}
		s.mu.Unlock()
	}
	c.PoolLent, c.PoolExhausted = d.pool.counts()
	c.FragmentDatagrams = d.frags.size()
	c.HeldFrames, c.HeldBytes = d.held.size()
	return c, traffic
}
