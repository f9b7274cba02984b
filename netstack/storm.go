package netstack

import (
	"bytes"
	"crypto/rand"
	"time"

	"weir/netstack/packet"
)

const (
	suspectTime  = 5 * time.Second        // how long a suspicion lasts
	suspectProbe = 100 * time.Millisecond // between probes while it does
	stormFloods  = 100                    // frames flooded from tick to tick that are a reason to ask
	shutTime     = 5 * time.Second        // how long a port stays shut after the last proof
	shutProbe    = time.Second            // between probes through a shut port

	// EtherType of probes, for local experiments (IEEE 802 9.2.3); what stands
	// behind it means something to its sender alone.
	etherProbe = 0x88b5
	probeToken = 16 // bytes
	probeFrame = 60 // bytes: the smallest that Ethernet carries
)

// loopGuard finds out whether frames that leave by one port of a bridge come
// back by another, and says which port must be shut then. A MAC at two ports is
// only a reason to ask: shutting a port for it would let one station cut off
// all others by using a neighbour's MAC. The proof is a probe that returns. Its
// token is random, and another for each port, so that who has not seen the
// probe cannot return it; and one that comes back by its own port proves
// nothing, else every station could shut the port that it is at.
type loopGuard struct {
	tokens  [][probeToken]byte
	shut    []time.Duration // until when, for each port
	suspect time.Duration   // until when
	next    time.Duration   // of the next probe
}

func newLoopGuard(ports int) *loopGuard {
	g := &loopGuard{tokens: make([][probeToken]byte, ports), shut: make([]time.Duration, ports)}
	for i := range g.tokens {
		_, _ = rand.Read(g.tokens[i][:]) // does not fail
	}
	return g
}

// suspected takes in that a frame looks as if it had come round a loop.
func (g *loopGuard) suspected(now time.Duration) {
	if now >= g.suspect {
		g.next = now
	}
	g.suspect = now + suspectTime
}

// probes says through which ports a probe is due: all while there is a
// suspicion, else those that are shut.
func (g *loopGuard) probes(now time.Duration) (due []packet.PortID) {
	if now < g.next {
		return nil
	}
	for i := range g.shut {
		if now < g.suspect || now < g.shut[i] {
			due = append(due, packet.PortID(i))
		}
	}
	g.next = now + shutProbe
	if now < g.suspect {
		g.next = now + suspectProbe
	}
	return due
}

// sentBy is the port by which the probe with this payload left, if it is ours.
func (g *loopGuard) sentBy(payload []byte) (packet.PortID, bool) {
	for out := range g.tokens {
		if bytes.HasPrefix(payload, g.tokens[out][:]) {
			return packet.PortID(out), true
		}
	}
	return packet.NoPort, false
}

// source is the MAC that the probes of a port come from. Not the bridge's own:
// the switches around would learn that behind a shut port.
func (g *loopGuard) source(port packet.PortID) packet.MAC {
	m := packet.MAC(g.tokens[port][:6])
	m[0] = m[0]&^1 | 2 // a station's, locally administered
	return m
}

// returned takes in that the probe of out came in by in. It is the port to
// shut, and whether it was open until now; NoPort if this proves nothing. Of
// two ports the one configured later is shut: of a ring, the first goes on
// leading everywhere.
func (g *loopGuard) returned(now time.Duration, out, in packet.PortID) (shut packet.PortID, newly bool) {
	if out == in {
		return packet.NoPort, false
	}
	shut = max(out, in)
	newly = g.shut[shut] == 0
	g.shut[shut] = now + shutTime
	return shut, newly
}

// reopen is the ports whose time is over.
func (g *loopGuard) reopen(now time.Duration) (open []packet.PortID) {
	for i, until := range g.shut {
		if until != 0 && now >= until {
			g.shut[i] = 0
			open = append(open, packet.PortID(i))
		}
	}
	return open
}
