package director

import (
	"time"

	"weir/netstack/packet"
)

// State is where a flow stands. The TCP states and what leads to them are those
// of IPVS's NAT: seen from both sides, but without the sequence numbers.
type State uint8

const (
	SynSent     State = iota // the client's SYN went to the real server
	SynRecv                  // the real server answered with SYN+ACK
	Established              // the client acknowledged
	FinWait                  // the real server closed its side first
	CloseWait                // the client closed its side first
	LastAck                  // both closed, the client first; the last ACK is missing
	TimeWait                 // both closed
	Closed                   // reset
	UDPNew                   // no reply yet
	UDPReplied               // datagrams went both ways
	numStates
)

var stateNames = [numStates]string{
	"syn-sent", "syn-recv", "established", "fin-wait", "close-wait", "last-ack", "time-wait", "close", "udp-unreplied", "udp",
}

func (s State) String() string { return stateNames[s] }

// active reports whether the flow counts as active for the schedulers, as IPVS
// counts: TCP flows that carry data or are about to.
func (s State) active() bool { return s <= Established }

// over reports whether a new SYN may take the flow's place.
func (s State) over() bool { return s == LastAck || s == TimeWait || s == Closed }

// Timeouts are the idle times, in ticks of a quarter second, after which a flow
// of each state ends.
type Timeouts [numStates]tick

// TimeoutSpec gives idle times by state; a state that is missing keeps its default.
type TimeoutSpec map[State]time.Duration

// DefaultTimeouts are IPVS's, except that a flow nobody answers waits 30 s and
// not two minutes: long enough for five retransmissions of a SYN, and a quarter
// of the room for a flood.
func DefaultTimeouts() Timeouts {
	return NewTimeouts(TimeoutSpec{
		SynSent: 30 * time.Second, SynRecv: 30 * time.Second, Established: 15 * time.Minute,
		FinWait: 2 * time.Minute, CloseWait: time.Minute, LastAck: 30 * time.Second, TimeWait: 2 * time.Minute,
		Closed: 10 * time.Second, UDPNew: 5 * time.Minute, UDPReplied: 5 * time.Minute,
	})
}

// NewTimeouts converts idle times, rounding up to a tick and adding one, so
// that no timeout ends early.
func NewTimeouts(spec TimeoutSpec) Timeouts {
	var t Timeouts
	for st, d := range spec {
		t[st] = tickOf(d+tickLength-1) + 1
	}
	return t
}

// follow is the state after a TCP packet with these flags in this direction.
func (s State) follow(dir direction, flags uint8) State {
	switch {
	case flags&packet.RST != 0:
		return Closed
	case flags&packet.FIN != 0:
		return s.afterFIN(dir)
	case flags&packet.SYN != 0:
		if s == SynSent && dir == reply && flags&packet.ACK != 0 {
			return SynRecv
		}
	case flags&packet.ACK != 0 && dir == request:
		switch s {
		case SynRecv:
			return Established
		case LastAck:
			return TimeWait
		}
	}
	return s
}

// followOneWay is the state after a client's packet where replies do not pass
// weir: what the real server said is guessed from what the client answers.
func (s State) followOneWay(flags uint8) State {
	switch {
	case flags&packet.RST != 0:
		return Closed
	case flags&packet.FIN != 0 && s <= Established:
		return CloseWait
	case flags&(packet.SYN|packet.ACK) == packet.ACK && s <= SynRecv:
		return Established
	}
	return s
}

func (s State) afterFIN(dir direction) State {
	switch {
	case s <= Established && dir == request:
		return CloseWait
	case s <= Established:
		return FinWait
	case s == CloseWait && dir == reply:
		return LastAck
	case s == FinWait && dir == request:
		return TimeWait
	}
	return s
}

// reopens reports whether p is a client's SYN that begins a new connection on
// the addresses and ports of one that is over.
func reopens(f *flow, p *packet.Packet) bool {
	return f.proto == packet.TCP && p.Flags&(packet.SYN|packet.ACK|packet.RST) == packet.SYN && f.state.over()
}

// count keeps the real's numbers of flows.
func (y *tally) count(st State, n int64) {
	if st.active() {
		y.active.Add(n)
	} else {
		y.inactive.Add(n)
	}
}
