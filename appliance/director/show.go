package director

import (
	"net/netip"
	"time"
)

// FlowInfo is a live flow as an operator sees it.
type FlowInfo struct {
	Proto             uint8
	Client, VIP, Real netip.AddrPort
	Service           string // names of the virtual service and the real server
	Server            string
	State             State
	Idle, Left        time.Duration // since the last packet, and until the flow would end; in quarter seconds
}

// Flows calls yield for each live flow until it returns false. Each shard is
// locked for one chunk at a time, so a listing of a million flows never stands
// in the way of packets; what changes meanwhile may be shown or not.
func (d *Director) Flows(now time.Duration, yield func(FlowInfo) bool) {
	t := d.table.Load()
	batch := make([]FlowInfo, 0, chunkFlows)
	for i := range d.flows.shards {
		s := &d.flows.shards[i]
		for chunk := 0; ; chunk++ {
			var more bool
			batch, more = s.list(chunk, tickOf(now), t, batch[:0])
			for _, f := range batch {
				if !yield(f) {
					return
				}
			}
			if !more {
				break
			}
		}
	}
}

// list appends the live flows of a chunk; more is false behind the last chunk.
func (s *shard) list(chunk int, now tick, t *Table, to []FlowInfo) (flows []FlowInfo, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if chunk >= len(s.flows.chunks) {
		return to, false
	}
	for i := range s.flows.chunks[chunk] {
		if f := &s.flows.chunks[chunk][i]; f.proto != 0 {
			to = append(to, f.info(now, t))
		}
	}
	return to, true
}

func (f *flow) info(now tick, t *Table) FlowInfo {
	i := FlowInfo{
		Proto:  f.proto,
		Client: netip.AddrPortFrom(f.client.Netip(), f.clientPort),
		VIP:    netip.AddrPortFrom(f.vip.Netip(), f.vipPort),
		Real:   netip.AddrPortFrom(f.real.Netip(), f.realPort),
		State:  f.state,
		Idle:   time.Duration(now-min(f.seen, now)) * tickLength,
	}
	if end := f.deadline(t); end > now {
		i.Left = time.Duration(end-now) * tickLength
	}
	if r := t.real(f.server); r != nil {
		i.Service, i.Server = r.Service, r.Name
	}
	return i
}
