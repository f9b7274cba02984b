package director

import (
	"time"
)

// tick is the unit of the flow table's time: a quarter of a second, which as a
// uint32 lasts 34 years.
type tick uint32

const tickLength = 250 * time.Millisecond

func tickOf(now time.Duration) tick { return tick(now / tickLength) }

// listID names one of a shard's lists: a slot of the wheel, or one of the
// queues in which flows that nobody has answered yet wait in order of age.
type listID uint16

const (
	wheelSlots = 4096 // 17 minutes; a longer timeout goes round again
	queues     = 6
	lists      = wheelSlots + queues
	unlinked   = listID(lists)
	touchTicks = 4 // between moves of a flow to its queue's end
	firstQueue = listID(wheelSlots)
	noQueue    = unlinked
)

// queueOf is the queue of the flows in a state that is not worth keeping when
// the table is full: those that nobody has answered yet, and those that are
// over. All flows of a queue have one timeout, so its head is its oldest.
var queueOf = [numStates]listID{
	SynSent: firstQueue, SynRecv: firstQueue + 1, UDPNew: firstQueue + 2,
	LastAck: firstQueue + 3, TimeWait: firstQueue + 4, Closed: firstQueue + 5,
	Established: noQueue, FinWait: noQueue, CloseWait: noQueue, UDPReplied: noQueue,
}

// timers are a shard's lists of flows, linked through the flows themselves.
type timers struct {
	heads, tails []ref
	cursor       tick        // the slot that expire visits next
	lengths      [queues]int // of the queues
}

func (m *timers) init() {
	m.heads, m.tails = make([]ref, lists), make([]ref, lists)
}

// link puts f at the end of a list.
func (s *shard) link(f *flow, l listID) {
	m := &s.timer
	f.list, f.next, f.prev = l, 0, m.tails[l]
	if f.prev != 0 {
		s.flows.at(f.prev).next = f.self
	} else {
		m.heads[l] = f.self
	}
	m.tails[l] = f.self
	if l >= firstQueue {
		m.lengths[l-firstQueue]++
	}
}

func (s *shard) unlink(f *flow) {
	m := &s.timer
	if f.prev != 0 {
		s.flows.at(f.prev).next = f.next
	} else {
		m.heads[f.list] = f.next
	}
	if f.next != 0 {
		s.flows.at(f.next).prev = f.prev
	} else {
		m.tails[f.list] = f.prev
	}
	if f.list >= firstQueue {
		m.lengths[f.list-firstQueue]--
	}
	f.list = unlinked
}

// arm links f where its end will be noticed: in the queue of its state, if that
// has one, else in the wheel slot of its deadline.
func (s *shard) arm(f *flow, tbl *Table) {
	if q := queueOf[f.state]; q != noQueue {
		s.link(f, q)
		return
	}
	s.link(f, s.slot(f.deadline(tbl)))
}

// slot is the wheel slot of a deadline; one that lies beyond the wheel, or that
// the cursor has passed, gets the slot that is visited last or next.
func (s *shard) slot(deadline tick) listID {
	deadline = max(deadline, s.timer.cursor)
	deadline = min(deadline, s.timer.cursor+wheelSlots-1)
	return listID(deadline % wheelSlots)
}

// deadline is the first tick at which the flow has been idle for its timeout.
func (f *flow) deadline(tbl *Table) tick { return f.seen + tbl.timeouts[f.state] }

// enter moves f to a state and to its list.
func (s *shard) enter(f *flow, st State, now tick, tbl *Table) {
	if r := tbl.real(f.server); r != nil && st.active() != f.state.active() {
		r.count(f.state, -1)
		r.count(st, 1)
	}
	s.unlink(f)
	f.state, f.seen = st, now
	s.arm(f, tbl)
}

// evict makes room by taking the oldest flow of the longest queue: whatever
// fills the table pays for it, a flood of datagrams not with handshakes. It
// reports false if all flows of the shard are worth keeping.
func (s *shard) evict(tbl *Table) bool {
	longest := 0
	for q, n := range s.timer.lengths {
		if n > s.timer.lengths[longest] {
			longest = q
		}
	}
	r := s.timer.heads[firstQueue+listID(longest)]
	if r == 0 {
		return false
	}
	s.remove(s.flows.at(r), tbl)
	s.count.evicted++
	return true
}

// expireBatch bounds how many flows one hold of a shard's lock ends: some 200 µs.
const expireBatch = 1024

// expire ends the flows whose time is over. It never runs long with the lock
// held, however many end at once.
func (t *flowTable) expire(now time.Duration, tbl *Table) {
	for i := range t.shards {
		s := &t.shards[i]
		for again := true; again; {
			again = s.expireSome(tickOf(now), tbl)
		}
	}
}

// expireSome reports whether there may be more to do.
func (s *shard) expireSome(now tick, tbl *Table) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := expireBatch
	for q := firstQueue; q < lists; q++ {
		for r := s.timer.heads[q]; r != 0 && left > 0; r = s.timer.heads[q] {
			f := s.flows.at(r)
			if f.deadline(tbl) > now {
				break
			}
			s.expireOne(f, tbl)
			left--
		}
	}
	// After a long pause one round of the wheel visits every slot.
	if now >= wheelSlots && s.timer.cursor < now-wheelSlots+1 {
		s.timer.cursor = now - wheelSlots + 1
	}
	for ; s.timer.cursor <= now && left > 0; s.timer.cursor++ {
		if left = s.expireSlot(now, left, tbl); left == 0 {
			return true // the cursor stays: the slot may not be empty yet
		}
	}
	return left == 0
}

// expireSlot visits the cursor's slot: flows that had a packet since they were
// linked move on to their new deadline.
func (s *shard) expireSlot(now tick, left int, tbl *Table) int {
	l := listID(s.timer.cursor % wheelSlots)
	for r := s.timer.heads[l]; r != 0 && left > 0; r = s.timer.heads[l] {
		f := s.flows.at(r)
		if f.deadline(tbl) <= now {
			s.expireOne(f, tbl)
		} else {
			s.unlink(f)
			s.link(f, s.slot(max(f.deadline(tbl), s.timer.cursor+1)))
		}
		left--
	}
	return left
}

func (s *shard) expireOne(f *flow, tbl *Table) {
	s.remove(f, tbl)
	s.count.expired++
}
