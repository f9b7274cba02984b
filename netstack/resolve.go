package netstack

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"weir/netstack/packet"
)

// resolver guards the neighbour table and the frames that wait for it. One
// lock for both: else a frame could begin to wait just after the answer it
// waits for.
type resolver struct {
	mu    sync.Mutex
	table *neighbours
	held  *hold
}

// NextHop says how a packet to dst leaves. It never blocks: OK; NeighbourWait,
// where the neighbour is being asked; NeighbourFailed, where it did not answer;
// NoRoute, also for our own addresses and for groups. now is the Stack's clock.
func (s *Stack) NextHop(now time.Duration, dst netip.Addr) (packet.Hop, packet.Reason) {
	if dst.IsMulticast() || s.Local(dst) {
		return packet.Hop{}, packet.NoRoute
	}
	return s.resolve(now, nil, dst, nil)
}

// PeekHop is NextHop from what is known already: it asks nobody and leaves no
// trace. A neighbour that was never asked for is NeighbourWait.
func (s *Stack) PeekHop(dst netip.Addr) (packet.Hop, packet.Reason) {
	r, ok := s.routes.lookup(dst)
	if !ok || dst.IsMulticast() || s.Local(dst) {
		return packet.Hop{}, packet.NoRoute
	}
	out := s.links[r.port]
	if out.link == packet.LinkRaw {
		return out.hop(packet.MAC{}), packet.OK
	}
	if out.isBroadcast(r.next(dst)) {
		return packet.Hop{}, packet.NoRoute
	}
	s.resolver.mu.Lock()
	defer s.resolver.mu.Unlock()
	mac, reason := s.resolver.table.peek(neighbourKey{addr: packet.AddrFrom(r.next(dst)), port: r.port})
	return out.hop(mac), reason
}

// Source is the address that packets to dst are sent from if nothing else is
// said; the zero Addr where there is no route, or no address of dst's family.
func (s *Stack) Source(dst netip.Addr) netip.Addr {
	if dst.IsLinkLocalUnicast() {
		return s.links[0].source(dst)
	}
	r, ok := s.routes.lookup(dst)
	if !ok {
		return netip.Addr{}
	}
	return s.links[r.port].source(dst)
}

// Generation grows whenever an answer of NextHop or Local may have changed.
func (s *Stack) Generation() uint32 { return s.generation.Load() }

// locked calls do under the lock, which a panic lets go, too: it costs one
// frame, and must not cost every later one.
func (r *resolver) locked(do func(*neighbours, *hold)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do(r.table, r.held)
}

// waiting is a packet that resolve may keep until the neighbour answers.
type waiting struct {
	p    *packet.Packet
	from *port
	own  bool
}

// resolve finds the way to dst. With a waiting packet, NeighbourWait means that the
// packet was kept, and NeighbourLimit that there was no room. Link-local
// addresses are looked for on the link of the port from.
func (s *Stack) resolve(now time.Duration, from *port, dst netip.Addr, wait *waiting) (packet.Hop, packet.Reason) {
	r, ok := s.routes.lookup(dst)
	if dst.IsLinkLocalUnicast() && from != nil {
		r, ok = hopRoute{port: from.id}, true
	}
	if !ok {
		return packet.Hop{}, packet.NoRoute
	}
	out := s.links[r.port]
	if out.link == packet.LinkRaw {
		return out.hop(packet.MAC{}), packet.OK
	}
	next := r.next(dst)
	if out.isBroadcast(next) {
		return packet.Hop{}, packet.NoRoute
	}
	var fx effects
	mac, reason := s.neighbour(now, neighbourKey{addr: packet.AddrFrom(next), port: r.port}, wait, &fx)
	s.settle(now, &fx)
	return out.hop(mac), reason
}

func (s *Stack) neighbour(now time.Duration, key neighbourKey, wait *waiting, fx *effects) (packet.MAC, packet.Reason) {
	s.resolver.mu.Lock()
	defer s.resolver.mu.Unlock()
	mac, reason := s.resolver.table.lookup(now, key, fx)
	if reason == packet.NeighbourWait && wait != nil && !s.resolver.held.put(now, key, wait) {
		reason = packet.NeighbourLimit
	}
	return mac, reason
}

// heard tells the table that mac claims key's address.
func (s *Stack) heard(now time.Duration, key neighbourKey, mac packet.MAC, answer, create bool) {
	var fx effects
	s.resolver.locked(func(table *neighbours, _ *hold) { table.heard(now, key, mac, answer, create, &fx) })
	s.settle(now, &fx)
}

// ageNeighbours does what time makes due.
func (s *Stack) ageNeighbours(now time.Duration) {
	var fx effects
	var late []heldFrame
	s.resolver.locked(func(table *neighbours, held *hold) {
		table.tick(now, &fx)
		late = held.expire(now)
	})
	s.settle(now, &fx)
	s.abandon(now, late)
}

// settle does what a change of the table asks for, outside its lock.
func (s *Stack) settle(now time.Duration, fx *effects) {
	if fx.changed {
		s.generation.Add(1)
	}
	for _, q := range fx.ask {
		s.solicit(now, q)
	}
	for _, key := range fx.resolved {
		s.resume(now, s.unhold(key))
	}
	for _, key := range fx.failed {
		s.abandon(now, s.unhold(key))
	}
}

func (s *Stack) unhold(key neighbourKey) []heldFrame {
	s.resolver.mu.Lock()
	defer s.resolver.mu.Unlock()
	return s.resolver.held.take(key)
}

// resume sends on frames whose neighbour has answered.
func (s *Stack) resume(now time.Duration, frames []heldFrame) {
	s.replay(frames, func(w *worker, f *heldFrame) {
		if !f.own {
			w.forward(now, f.from, &w.frame)
		} else if r := w.output(now, f.from, &w.frame); r != packet.OK {
			w.drop(now, f.from, &w.frame, packet.Dropped(r))
		}
	})
}

// abandon drops frames whose neighbour has not answered.
func (s *Stack) abandon(now time.Duration, frames []heldFrame) {
	s.replay(frames, func(w *worker, f *heldFrame) {
		w.drop(now, f.from, &w.frame, undelivered(packet.NeighbourFailed))
	})
}

func (s *Stack) replay(frames []heldFrame, do func(*worker, *heldFrame)) {
	if len(frames) == 0 {
		return
	}
	w := s.worker()
	defer s.retire(w)
	for i := range frames {
		if frames[i].load(&w.frame) == packet.OK {
			do(w, &frames[i])
		}
	}
}

// SetNeighbour pins addr to mac on the port that has addr on its link: it is
// never asked for and no claim moves it.
func (s *Stack) SetNeighbour(addr netip.Addr, mac packet.MAC) error {
	r, ok := s.routes.lookup(addr)
	if !ok || r.via.IsValid() || s.links[r.port].link != packet.LinkEthernet {
		return fmt.Errorf("netstack: neighbour %s: it is in no port's network; correct it or the port's addresses", addr)
	}
	if mac.IsZero() || mac.IsMulticast() {
		return fmt.Errorf("netstack: neighbour %s: %s is no station's MAC; correct it", addr, mac)
	}
	var fx effects
	pinned := false
	s.resolver.locked(func(table *neighbours, _ *hold) {
		pinned = table.pin(s.clock(), neighbourKey{addr: packet.AddrFrom(addr), port: r.port}, mac, &fx)
	})
	if !pinned {
		return fmt.Errorf("netstack: neighbour %s: there are %d static neighbours already; remove some", addr, maxNeighbours)
	}
	s.settle(s.clock(), &fx)
	return nil
}

// seenAt is the port of a neighbour on a link: in a bridge the one where its
// MAC was seen, or the first.
func (s *Stack) seenAt(link packet.PortID, mac packet.MAC) packet.PortID {
	if s.bridge != nil {
		if at, known := s.bridge.where(mac); known {
			return at
		}
	}
	return link
}

// Neighbour is one row of the neighbour table.
type Neighbour struct {
	Port      packet.PortID // in a bridge where its MAC was seen, or the first
	Addr      netip.Addr
	MAC       packet.MAC // zero while Incomplete or Failed
	State     NeighbourState
	Contested bool          // another station claims Addr; the one at MAC is being asked
	Age       time.Duration // since the last confirmation, or since it was first asked for
}

// Neighbours is a snapshot of the neighbour table, sorted by port and address.
func (s *Stack) Neighbours() []Neighbour {
	now := s.clock()
	var rows []Neighbour
	s.resolver.locked(func(table *neighbours, _ *hold) {
		rows = make([]Neighbour, 0, len(table.entries))
		for key, e := range table.entries {
			rows = append(rows, Neighbour{
				Port: s.seenAt(key.port, e.mac), Addr: key.addr.Netip(), MAC: e.mac,
				State: e.state, Contested: e.contested, Age: now - e.confirmed,
			})
		}
	})
	slices.SortFunc(rows, func(a, b Neighbour) int {
		if a.Port != b.Port {
			return int(a.Port) - int(b.Port)
		}
		return a.Addr.Compare(b.Addr)
	})
	return rows
}
