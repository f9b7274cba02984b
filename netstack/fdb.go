package netstack

import (
	"sync/atomic"
	"time"

	"weir/netstack/packet"
)

const (
	maxStations = 4096
	stationAge  = 300 * time.Second // IEEE 802.1Q 8.8.3
	// A station that is carried to another port, or fails over, moves once; one
	// that moves more often within moveWindow is at two ports at once: its
	// frames come round a loop, or another uses its MAC.
	maxMoves   = 10
	moveWindow = time.Second
	pinTime    = 5 * time.Second // how long it is then believed to be at one port only
)

// sighting is what a frame's source says about its station.
type sighting uint8

const (
	stationKnown  sighting = iota // it is where it was
	stationNew                    // first frame of it
	stationMoved                  // it was at another port until now
	stationBack                   // likewise, and that not for the first time within moveWindow
	stationFlaps                  // it moved once too often, and is pinned
	stationPinned                 // it is pinned to another port: not to be believed
	stationUnheld                 // the table is full: not remembered
)

// station is one row of the table.
type station struct {
	port   packet.PortID
	seen   atomic.Int64 // time.Duration; written under the read lock too
	told   atomic.Bool  // somebody outside was told the port, and remembers it
	home   packet.PortID
	window time.Duration // when moves began to be counted; home is where it was
	moves  uint8
	pinned time.Duration // until when
}

// fdb is the filtering database of a bridge: which station is at which port.
// It is bounded; where it is full, newcomers are not remembered, and frames to
// them flooded, so that inventing MACs displaces nobody. Its owner locks it:
// look and glance want a read lock, the others a write lock.
type fdb struct {
	stations map[packet.MAC]*station
	moves    uint64
}

func newFDB() *fdb { return &fdb{stations: make(map[packet.MAC]*station)} }

// look says at which port mac is.
func (t *fdb) look(mac packet.MAC) (packet.PortID, bool) {
	if e := t.stations[mac]; e != nil {
		return e.port, true
	}
	return packet.NoPort, false
}

// tell is look for somebody who remembers the answer: when it is no longer
// true, learn, age and flush say so.
func (t *fdb) tell(mac packet.MAC) (packet.PortID, bool) {
	if e := t.stations[mac]; e != nil {
		e.told.Store(true)
		return e.port, true
	}
	return packet.NoPort, false
}

// glance is learn for frames that change nothing, which are nearly all; ok is
// false for the others.
func (t *fdb) glance(now time.Duration, mac packet.MAC, in packet.PortID) (s sighting, ok bool) {
	e := t.stations[mac]
	switch {
	case e == nil:
		return stationUnheld, len(t.stations) >= maxStations
	case e.port == in:
		// Once a second is enough for ageing, and spares other cores the write.
		if now-time.Duration(e.seen.Load()) >= time.Second {
			e.seen.Store(int64(now))
		}
		return stationKnown, true
	}
	return stationPinned, now < e.pinned
}

// learn takes in that a frame of mac came by in. stale: somebody was told
// another port.
func (t *fdb) learn(now time.Duration, mac packet.MAC, in packet.PortID) (s sighting, stale bool) {
	if s, ok := t.glance(now, mac, in); ok {
		return s, false
	}
	e := t.stations[mac]
	if e == nil {
		e = &station{port: in, home: in, window: now}
		e.seen.Store(int64(now))
		t.stations[mac] = e
		return stationNew, false
	}
	if now-e.window >= moveWindow {
		e.window, e.moves, e.home = now, 0, e.port
	}
	t.moves++
	e.moves++
	s, to := stationMoved, in
	if e.moves > 1 {
		s = stationBack
	}
	if e.moves > maxMoves {
		s, to = stationFlaps, e.home
		e.pinned, e.moves = now+pinTime, 0
	}
	if e.port == to {
		return s, false
	}
	e.port = to
	e.seen.Store(int64(now))
	return s, e.told.Swap(false)
}

// age forgets the stations that have been silent for stationAge. stale as in learn.
func (t *fdb) age(now time.Duration) (stale bool) {
	return t.forget(func(e *station) bool { return now-time.Duration(e.seen.Load()) >= stationAge })
}

// flush forgets the stations at a port. stale as in learn.
func (t *fdb) flush(at packet.PortID) (stale bool) {
	return t.forget(func(e *station) bool { return e.port == at })
}

func (t *fdb) forget(gone func(*station) bool) (stale bool) {
	for mac, e := range t.stations {
		if gone(e) {
			stale = stale || e.told.Load()
			delete(t.stations, mac)
		}
	}
	return stale
}
