package netstack

import (
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"weir/netstack/device"
)

// tickEvery is the resolution of everything timed below the sockets.
const tickEvery = 100 * time.Millisecond

// read processes frames until the device ends (false), or until one frame's
// processing panics (true): then that frame is lost and nothing else. The
// deferred recover is set up once a loop, not once a frame.
func (s *Stack) read(w *worker, in *port, queue int) (again bool, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			s.panicked(w, in, fault)
			again, err = true, nil
		}
	}()
	var fails backoff
	for {
		switch err := in.dev.Read(queue, &w.frame); {
		case err == nil:
			if fails.wait > 0 {
				fails.wait = 0
				s.log.Info("reading again", "port", in.name)
			}
		case errors.Is(err, device.ErrClosed):
			return false, nil
		case errors.Is(err, device.ErrRemoved):
			return false, fmt.Errorf("netstack: port %s: its device %s is gone; see who removed it and start again: %w",
				in.name, in.dev.Name(), err)
		default:
			if fails.wait == 0 {
				s.log.Warn("cannot read, trying again", "port", in.name, "error", err)
			}
			if !fails.pause(s.stop) {
				return false, nil
			}
			continue
		}
		now := s.clock()
		w.ingress(now, in, &w.frame)
		w.drain(now)
	}
}

// backoff paces the attempts on a device that fails: a link that is down is
// looked at four times a second, so that it is back soon after it returns.
type backoff struct{ wait time.Duration }

const (
	firstWait = time.Millisecond
	mostWait  = 250 * time.Millisecond
)

// pause waits longer from call to call; false if stop was closed.
func (b *backoff) pause(stop <-chan struct{}) bool {
	b.wait = min(max(2*b.wait, firstWait), mostWait)
	t := time.NewTimer(b.wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	}
}

// panicked counts a panic and reports the frame, at a rate that a flood of
// such frames cannot turn into a flood of log lines.
func (s *Stack) panicked(w *worker, in *port, fault any) {
	s.stats.panics.Add(1)
	s.quiet.Lock()
	report := s.panicLog.take(s.clock())
	s.quiet.Unlock()
	if !report {
		return
	}
	const most = 256 // bytes: all headers, and no more of anybody's payload
	frame := w.frame.Store[min(w.frame.Start, len(w.frame.Store)):min(w.frame.End, len(w.frame.Store))]
	s.log.Error("a frame made processing panic; it was dropped. Please report it with this line",
		"port", in.name, "panic", fmt.Sprint(fault),
		"frame", hex.EncodeToString(frame[:min(len(frame), most)]), "stack", string(debug.Stack()))
}

// keepTime ticks until the Stack ends.
func (s *Stack) keepTime() error {
	w := &worker{s: s}
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return nil
		case <-ticker.C:
			s.guarded(w, s.tick)
		case r := <-s.returns:
			s.guarded(w, func(_ *worker, now time.Duration) { s.tellHost(now, r) })
		}
	}
}

func (s *Stack) tick(w *worker, now time.Duration) {
	if s.bridge != nil {
		s.tickBridge(now)
	}
	s.ageNeighbours(now)
	if s.hook != nil {
		s.hook.Tick(now)
		w.drain(now)
	}
}

// guarded keeps a panic in what time makes due from ending the process.
func (s *Stack) guarded(w *worker, do func(*worker, time.Duration)) {
	defer func() {
		if fault := recover(); fault != nil {
			s.panicked(w, s.ports[0], fault)
		}
	}()
	do(w, s.clock())
}
