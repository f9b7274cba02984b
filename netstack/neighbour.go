package netstack

import (
	"time"

	"weir/netstack/packet"
)

// The times of RFC 4861 section 10, used for ARP too.
const (
	reachableTime  = 30 * time.Second // how long a confirmation counts
	retransTime    = time.Second      // between two questions
	maxSolicit     = 3                // questions before giving up
	maxNeighbours  = 4096
	wantedTime     = 10 * time.Minute // how long one look-up keeps an entry in use
	recallTime     = time.Minute      // grace between the recall and the end of an entry
	failedTime     = time.Minute      // how long a failure is remembered unasked
	contestTime    = time.Second      // what the owner of a claimed address has to object
	contestRetry   = contestTime / 3
	evictionSample = 32

	// Only questions to everybody draw from the budget: those to a known MAC
	// are bounded by the table's size over reachableTime.
	solicitsPerSecond = 500
	solicitsBurst     = 500
)

// NeighbourState is how far a neighbour's MAC can be trusted.
type NeighbourState uint8

const (
	Incomplete NeighbourState = iota // asked for, no answer yet
	Reachable                        // confirmed within the last 30 s
	Stale                            // known, not confirmed lately; still used
	Failed                           // three questions, no answer
	Static                           // set by SetNeighbour, never asked for
)

var stateNames = [...]string{
	Incomplete: "incomplete", Reachable: "reachable", Stale: "stale", Failed: "failed", Static: "static"}

func (s NeighbourState) String() string { return stateNames[s] }

// neighbourKey names a station: link-local addresses repeat from port to port.
type neighbourKey struct {
	addr packet.Addr
	port packet.PortID
}

type neighbourEntry struct {
	state NeighbourState
	mac   packet.MAC
	// contested: another station claims the address; the one at mac is being
	// asked whether it still has it, until contestEnd.
	contested  bool
	claim      packet.MAC
	contestEnd time.Duration
	// wanted: a look-up asked for it within wantedTime, so it is kept alive.
	// Entries only overheard are not.
	wanted, recalled bool
	tries            uint8
	due              time.Duration // of the next question
	asked, confirmed time.Duration
}

// solicit is a question to send: who has key.addr? To a MAC, or to everybody
// where to is zero.
type solicit struct {
	key neighbourKey
	to  packet.MAC
}

// effects collects what a change of the table asks its owner to do, after the
// table's lock is released.
type effects struct {
	changed  bool // an answer of lookup may have changed
	ask      []solicit
	resolved []neighbourKey
	failed   []neighbourKey
}

// neighbours is the table of who has which MAC: pure, bounded, and slow to
// believe. A claim to the address of a known station does not replace it at
// once: its holder is asked, and only silence for contestTime yields the entry
// (RFC 5227 calls that passive defence, here in the defended host's stead).
// A move is so followed within about a second, and a theft changes nothing.
type neighbours struct {
	entries  map[neighbourKey]*neighbourEntry
	budget   bucket
	contests uint64 // claims that the owner refuted
}

func newNeighbours() *neighbours {
	return &neighbours{
		entries: make(map[neighbourKey]*neighbourEntry),
		budget:  bucket{rate: solicitsPerSecond, burst: solicitsBurst},
	}
}

// lookup answers OK with the MAC, NeighbourWait or NeighbourFailed, and sees
// to it that a later look-up can be answered better. It leaves it to tick to
// find that a neighbour failed: the frames that wait for it are then given back
// to their senders, which must not happen where a sender is looking up.
func (t *neighbours) lookup(now time.Duration, key neighbourKey, fx *effects) (packet.MAC, packet.Reason) {
	e := t.entries[key]
	if e == nil {
		if !t.makeRoom(true, fx) {
			return packet.MAC{}, packet.NeighbourFailed
		}
		e = &neighbourEntry{state: Incomplete, due: now, confirmed: now}
		t.entries[key] = e
	}
	e.asked, e.wanted, e.recalled = now, true, false
	switch e.state {
	case Incomplete:
		if e.tries == 0 {
			t.step(now, key, e, fx)
		}
		return packet.MAC{}, packet.NeighbourWait
	case Failed:
		// Still wanted: ask once a second, so that a station that comes back
		// is noticed, without making anybody wait for it.
		if now >= e.due && t.budget.take(now) {
			e.due = now + retransTime
			fx.ask = append(fx.ask, solicit{key: key})
		}
		return packet.MAC{}, packet.NeighbourFailed
	case Stale:
		t.step(now, key, e, fx)
	}
	return e.mac, packet.OK
}

// peek is lookup without consequence.
func (t *neighbours) peek(key neighbourKey) (packet.MAC, packet.Reason) {
	switch e := t.entries[key]; {
	case e == nil || e.state == Incomplete:
		return packet.MAC{}, packet.NeighbourWait
	case e.state == Failed:
		return packet.MAC{}, packet.NeighbourFailed
	default:
		return e.mac, packet.OK
	}
}

// heard takes in that the station mac says it has key's address. answer: it
// said so to us alone, as it does when asked; create: worth a new entry, since
// it is about to talk to us.
func (t *neighbours) heard(now time.Duration, key neighbourKey, mac packet.MAC, answer, create bool, fx *effects) {
	e := t.entries[key]
	switch {
	case e == nil:
		if create && t.makeRoom(false, fx) {
			t.entries[key] = &neighbourEntry{state: Stale, mac: mac, due: now, confirmed: now}
		}
	case e.state == Static:
	case e.state == Incomplete || e.state == Failed:
		e.learn(now, mac, answer)
		fx.changed = true
		fx.resolved = append(fx.resolved, key)
	case mac == e.mac:
		if e.contested {
			e.contested = false
			t.contests++
		}
		if answer {
			e.learn(now, mac, true)
		}
	case !e.wanted:
		e.learn(now, mac, false)
		fx.changed = true
	case !e.contested:
		e.contested, e.claim, e.contestEnd = true, mac, now+contestTime
		e.due = now
		t.step(now, key, e, fx)
	}
}

func (e *neighbourEntry) learn(now time.Duration, mac packet.MAC, confirmed bool) {
	e.mac, e.state = mac, Stale
	e.contested, e.tries, e.due, e.confirmed = false, 0, now, now
	if confirmed {
		e.state = Reachable
	}
}

// tick moves every entry on.
func (t *neighbours) tick(now time.Duration, fx *effects) {
	for key, e := range t.entries {
		if t.idle(now, e, fx) {
			delete(t.entries, key)
			fx.changed = true
			continue
		}
		t.step(now, key, e, fx)
	}
}

// idle reports that nobody needs e any more. Users cache what lookup said, so
// before an entry ends it is recalled: the change makes those who still use it
// ask again, and the entry lives on.
func (t *neighbours) idle(now time.Duration, e *neighbourEntry, fx *effects) bool {
	unasked := now - e.asked
	switch {
	case e.state == Static:
		return false
	case e.state == Failed:
		return unasked >= failedTime
	case !e.wanted:
		return now-e.confirmed >= wantedTime
	case unasked >= wantedTime+recallTime:
		return true
	case unasked >= wantedTime && !e.recalled:
		e.recalled, fx.changed = true, true
	}
	return false
}

// step asks what is due to be asked about e, and draws the conclusion from
// questions that stayed without an answer.
func (t *neighbours) step(now time.Duration, key neighbourKey, e *neighbourEntry, fx *effects) {
	if e.contested {
		t.contest(now, key, e, fx)
		return
	}
	if e.state == Reachable && now-e.confirmed >= reachableTime {
		e.state, e.tries, e.due = Stale, 0, now
	}
	if now < e.due || !e.wanted {
		return
	}
	switch e.state {
	case Stale:
		if e.tries == maxSolicit {
			// Its MAC answers no more; perhaps the address has another one.
			e.state, e.mac, e.tries = Incomplete, packet.MAC{}, 0
			fx.changed = true
			t.askAll(now, key, e, fx)
			return
		}
		e.tries++
		e.due = now + retransTime
		fx.ask = append(fx.ask, solicit{key: key, to: e.mac})
	case Incomplete:
		if e.tries == maxSolicit {
			e.state, e.due = Failed, now
			fx.changed = true
			fx.failed = append(fx.failed, key)
			return
		}
		t.askAll(now, key, e, fx)
	}
}

// askAll puts the question to everybody; over the budget it stays due.
func (t *neighbours) askAll(now time.Duration, key neighbourKey, e *neighbourEntry, fx *effects) {
	if !t.budget.take(now) {
		return
	}
	e.tries++
	e.due = now + retransTime
	fx.ask = append(fx.ask, solicit{key: key})
}

func (t *neighbours) contest(now time.Duration, key neighbourKey, e *neighbourEntry, fx *effects) {
	if now >= e.contestEnd {
		e.learn(now, e.claim, false)
		fx.changed = true
		return
	}
	if now >= e.due {
		e.due = now + contestRetry
		fx.ask = append(fx.ask, solicit{key: key, to: e.mac})
	}
}

// pin makes a static entry; false if the table holds nothing but such.
func (t *neighbours) pin(now time.Duration, key neighbourKey, mac packet.MAC, fx *effects) bool {
	if t.entries[key] == nil && !t.makeRoom(true, fx) {
		return false
	}
	t.entries[key] = &neighbourEntry{state: Static, mac: mac, wanted: true, asked: now, confirmed: now}
	fx.changed = true
	fx.resolved = append(fx.resolved, key)
	return true
}

// makeRoom evicts an entry if the table is full, the least useful of a sample:
// looking at all of them for each address of a scan would be an attack's aim.
// An entry that was only overheard (wanted false) displaces none that is
// wanted, and none displaces a static one.
func (t *neighbours) makeRoom(wanted bool, fx *effects) bool {
	if len(t.entries) < maxNeighbours {
		return true
	}
	floor := rankStatic
	if !wanted {
		floor = rankAsked
	}
	var victim neighbourKey
	var oldest time.Duration
	worst, seen := floor, 0
	for key, e := range t.entries {
		if rank := e.evictionRank(); rank > worst || rank == worst && rank > floor && e.asked < oldest {
			victim, worst, oldest = key, rank, e.asked
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	if worst == floor {
		return false
	}
	delete(t.entries, victim)
	fx.changed = fx.changed || worst == rankKnown
	return true
}

const (
	rankStatic    = iota
	rankKnown     // in use, its MAC cached by users
	rankAsked     // no answer yet
	rankOverheard // known, but nobody asked for it
	rankFailed
)

// evictionRank grows with how little would be lost with e.
func (e *neighbourEntry) evictionRank() int {
	switch {
	case e.state == Static:
		return rankStatic
	case e.state == Failed:
		return rankFailed
	case !e.wanted:
		return rankOverheard
	case e.state == Incomplete:
		return rankAsked
	}
	return rankKnown
}
