package netstack

import (
	"sync/atomic"

	"weir/netstack/packet"
)

// portStats are the live counters of one port.
type portStats struct {
	rxFrames, rxBytes atomic.Uint64
	txFrames, txBytes atomic.Uint64
	drops             [packet.NumReasons]atomic.Uint64
}

// stackStats are the live counters of the stack as a whole.
type stackStats struct {
	delivered, forwarded atomic.Uint64
	bridged              atomic.Uint64
	answers, suppressed  atomic.Uint64
	solicits, spoofs     atomic.Uint64
	panics               atomic.Uint64
}

// PortCounters counts what one port did since New. Drops are counted on the
// port that the frame came in by, failures of a device on that device's port.
type PortCounters struct {
	Name              string
	RxFrames, RxBytes uint64
	TxFrames, TxBytes uint64
	Drops             [packet.NumReasons]uint64
}

// Counters is a snapshot of all counters of a Stack. Each counter is exact;
// between two of them a packet may have passed.
type Counters struct {
	Ports      []PortCounters
	Delivered  uint64 // packets given to the host stack
	Forwarded  uint64 // transit packets routed on
	Bridged    uint64 // frames of others that crossed the bridge
	Moves      uint64 // stations of the bridge seen at another port than before
	Answers    uint64 // ICMP errors sent
	Suppressed uint64 // ICMP errors owed but over the rate
	Solicits   uint64 // ARP requests and neighbour solicitations sent
	Spoofs     uint64 // ARP or NDP claims to an address of ours
	Contests   uint64 // claims to a neighbour's address that its owner refuted
	Panics     uint64 // frames whose processing panicked
}

// Dropped is the sum of r over all ports.
func (c Counters) Dropped(r packet.Reason) (n uint64) {
	for i := range c.Ports {
		n += c.Ports[i].Drops[r]
	}
	return n
}

func (p *port) snapshot() PortCounters {
	c := PortCounters{
		Name:     p.name,
		RxFrames: p.stats.rxFrames.Load(), RxBytes: p.stats.rxBytes.Load(),
		TxFrames: p.stats.txFrames.Load(), TxBytes: p.stats.txBytes.Load(),
	}
	for r := range c.Drops {
		c.Drops[r] = p.stats.drops[r].Load()
	}
	return c
}

// Counters is a snapshot of all counters.
func (s *Stack) Counters() Counters {
	c := Counters{
		Delivered: s.stats.delivered.Load(), Forwarded: s.stats.forwarded.Load(),
		Answers: s.stats.answers.Load(), Suppressed: s.stats.suppressed.Load(),
		Solicits: s.stats.solicits.Load(), Spoofs: s.stats.spoofs.Load(),
		Panics: s.stats.panics.Load(),
	}
	for _, p := range s.ports {
		c.Ports = append(c.Ports, p.snapshot())
	}
	if b := s.bridge; b != nil {
		c.Bridged = s.stats.bridged.Load()
		b.mu.RLock()
		c.Moves = b.table.moves
		b.mu.RUnlock()
	}
	s.resolver.locked(func(table *neighbours, _ *hold) { c.Contests = table.contests })
	return c
}
