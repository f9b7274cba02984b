package netstack

import (
	"encoding/binary"
	"time"

	"weir/netstack/packet"
)

// bridged takes one frame that came in by a port of the bridge the whole way.
// Of foreign frames only those are looked into that the hook or the neighbour
// table can read; the others cross unread, however broken they are.
func (w *worker) bridged(now time.Duration, in *port, p *packet.Packet) {
	unread := p.Parse(packet.LinkEthernet)
	if r := w.s.enters(now, in, p); r != packet.OK {
		w.drop(now, in, p, packet.Dropped(r))
		return
	}
	if unread == packet.OK {
		unread = in.understands(p)
	}
	foreign := packet.MAC(p.Bytes()) != in.mac
	fate := overheard
	switch {
	case unread != packet.OK && foreign:
	case unread != packet.OK:
		w.drop(now, in, p, packet.Dropped(unread))
		return
	case p.Version == 0:
		fate = w.arp(now, in, p)
	case isDiscovery(p):
		fate = w.ndp(now, in, p)
	default:
		w.ask(now, in, p)
		return
	}
	switch {
	case fate == theft:
		w.drop(now, in, p, packet.Dropped(packet.SpoofedSource))
	case fate == overheard && foreign:
		w.cross(now, in, p)
	}
}

// enters learns from a frame's source where that station is, and keeps out what
// must not go round: OK, or the reason. p need not have parsed.
func (s *Stack) enters(now time.Duration, in *port, p *packet.Packet) packet.Reason {
	b := p.Bytes()
	if len(b) < 14 {
		return packet.Truncated
	}
	dst, src := packet.MAC(b), packet.MAC(b[6:])
	if binary.BigEndian.Uint16(b[12:]) == etherProbe {
		if out, ours := s.bridge.guard.sentBy(b[14:]); ours {
			s.cameBack(now, out, in)
			return packet.BridgeLoop
		}
	}
	switch {
	case src == in.mac:
		s.suspectLoop(now)
		return packet.BridgeLoop
	case s.bridge.shut[in.id].Load():
		return packet.BridgeLoop
	case src.IsMulticast() || src.IsZero():
		return packet.Martian
	case isReserved(dst):
		return packet.BridgeReserved
	}
	switch s.bridge.learn(now, src, in.id, s) {
	case stationFlaps:
		s.flapping(now, in, src)
		return packet.BridgeLoop
	case stationPinned:
		return packet.BridgeLoop
	case stationBack:
		s.suspectLoop(now)
	}
	return packet.OK
}

// isReserved reports whether dst is a group that ends at the next bridge: pause
// frames, LACP, LLDP and the like. Spanning tree's is handed on, since this
// bridge does not take part in it and the others may find a loop by it.
func isReserved(dst packet.MAC) bool {
	return [5]byte(dst[:5]) == [5]byte{0x01, 0x80, 0xc2, 0, 0} && dst[5] != 0 && dst[5] < 0x10
}

// learn is the table's, under its lock, which frames that change nothing share.
func (b *bridge) learn(now time.Duration, mac packet.MAC, in packet.PortID, s *Stack) sighting {
	b.mu.RLock()
	seen, ok := b.table.glance(now, mac, in)
	b.mu.RUnlock()
	if !ok {
		var stale bool
		b.mu.Lock()
		seen, stale = b.table.learn(now, mac, in)
		b.mu.Unlock()
		if stale {
			s.generation.Add(1)
		}
	}
	if seen == stationUnheld && b.full.CompareAndSwap(false, true) {
		s.log.Warn("the bridge knows as many stations as it can hold: frames to others are flooded", "stations", maxStations)
	}
	return seen
}

// cameBack takes in that the probe of the port out came in by in.
func (s *Stack) cameBack(now time.Duration, out packet.PortID, in *port) {
	b := s.bridge
	b.guardMu.Lock()
	at, newly := b.guard.returned(now, out, in.id)
	b.guardMu.Unlock()
	if !newly {
		return
	}
	b.shut[at].Store(true)
	b.mu.Lock()
	stale := b.table.flush(at)
	b.mu.Unlock()
	if stale {
		s.generation.Add(1)
	}
	s.log.Error("frames that leave by one port of the bridge come back by another: the port is shut until the loop is gone",
		"port", s.ports[at].name, "reason", packet.BridgeLoop)
}

// flapping reports that mac is at two ports at once.
func (s *Stack) flapping(now time.Duration, in *port, mac packet.MAC) {
	s.quiet.Lock()
	report := s.bridge.flapLog.take(now)
	s.quiet.Unlock()
	if report {
		at, _ := s.bridge.where(mac)
		s.log.Warn("a station is at two ports of the bridge at once: a loop, or another has its MAC. Its frames are taken from one port only for a while",
			"mac", mac, "port", s.ports[at].name, "also", in.name, "for", pinTime, "reason", packet.BridgeLoop)
	}
	s.suspectLoop(now)
}

// suspectLoop has the guard find out whether there is a loop; at once, since a
// loop fills the links within milliseconds.
func (s *Stack) suspectLoop(now time.Duration) {
	b := s.bridge
	if now < time.Duration(b.nextHint.Load()) {
		return
	}
	b.nextHint.Store(int64(now + suspectProbe))
	b.guardMu.Lock()
	b.guard.suspected(now)
	due := b.guard.probes(now)
	b.guardMu.Unlock()
	s.probe(now, due)
}

// probe sends the guard's question out of ports, shut ones too.
func (s *Stack) probe(now time.Duration, ports []packet.PortID) {
	if len(ports) == 0 {
		return
	}
	w := s.worker()
	defer s.retire(w)
	for _, id := range ports {
		var frame [probeFrame]byte
		copy(frame[:], packet.Broadcast[:])
		source := s.bridge.guard.source(id)
		copy(frame[6:], source[:])
		binary.BigEndian.PutUint16(frame[12:], etherProbe)
		copy(frame[14:], s.bridge.guard.tokens[id][:])
		w.frame.Load(frame[:])
		w.frame.Parse(packet.LinkEthernet)
		s.write(now, s.ports[id], &w.frame)
	}
}

// tickBridge does what time makes due.
func (s *Stack) tickBridge(now time.Duration) {
	b := s.bridge
	b.mu.Lock()
	stale := false
	if now >= b.nextAt {
		b.nextAt = now + ageEvery
		stale = b.table.age(now)
		if len(b.table.stations) < maxStations {
			b.full.Store(false)
		}
	}
	b.mu.Unlock()
	if stale {
		s.generation.Add(1)
	}
	flooded := b.flooded.Load()
	if flooded-b.floodedThen > stormFloods {
		s.suspectLoop(now)
	}
	b.floodedThen = flooded
	b.guardMu.Lock()
	open := b.guard.reopen(now)
	due := b.guard.probes(now)
	b.guardMu.Unlock()
	for _, id := range open {
		b.shut[id].Store(false)
		s.log.Info("no loop any more: the port of the bridge is open again", "port", s.ports[id].name)
	}
	s.probe(now, due)
}
