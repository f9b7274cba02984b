package announce

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func (s *steering) Ready() <-chan struct{} { return ready }
func (s *steering) String() string         { return "host" }

// Run implements Steering. The kernel drops all routes into a device whose link
// is set down, and does not bring them back with it.
func (s *steering) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.events.Close)()
	var wait time.Duration // after the last error
	for {
		messages, _, err := s.events.Receive()
		switch {
		case err == nil:
			wait = 0
			for _, m := range messages {
				s.heard(m)
			}
		case ctx.Err() != nil || s.isClosed():
			return nil
		case errors.Is(err, unix.ENOBUFS):
			s.mend() // events were lost, perhaps that one
		default:
			// Traffic does not depend on it: weir goes on, and looks by itself
			// for as long as nobody tells.
			if wait == 0 {
				s.log.Warn("links cannot be watched; routes that the host drops come back late", "device", s.device, "error", err)
			}
			wait = min(max(2*wait, shortestWait), longestWait)
			if !s.pause(ctx, wait) {
				return nil
			}
			s.mend()
		}
	}
}

// How long Run waits after an error, from one to the next.
const (
	shortestWait = 50 * time.Millisecond
	longestWait  = 10 * time.Second
)

// pause waits; false if Run is to end.
func (s *steering) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.ended:
	}
	return false
}

func (s *steering) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// heard follows the link of weir's device.
func (s *steering) heard(m syscall.NetlinkMessage) {
	if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
		return
	}
	link := nl.DeserializeIfInfomsg(m.Data)
	switch {
	case int(link.Index) != s.link.Attrs().Index:
	case link.Flags&unix.IFF_UP != 0:
		s.mend()
	default:
		s.fell()
	}
}

// fell has the host drop what real servers send while it cannot reach weir. It
// would go to the clients untranslated, who would refuse it with RST.
func (s *steering) fell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.down {
		return
	}
	s.down = true
	for family := range s.based {
		if err := s.nl.RouteReplace(s.blackhole(family)); err != nil {
			s.log.Warn("replies of real servers go to their clients past weir", "device", s.device, "error", err)
		}
	}
	s.log.Warn("the link is down, and nothing reaches weir: `ip link set "+s.device+" up`", "device", s.device)
}

// mend adds the routes that are missing. It is harmless where none is.
func (s *steering) mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	added := 0
	for _, r := range s.routes() {
		switch err := s.nl.RouteAdd(r); {
		case err == nil:
			added++
		case errors.Is(err, unix.EEXIST):
		case errors.Is(err, unix.ENETDOWN): // again; that is the next event
		default:
			s.log.Error("a route into weir's device is missing: restart weir", "device", s.device, "route", r.Dst, "error", err)
		}
	}
	if s.down {
		s.down = false
		for family := range s.based {
			_ = s.nl.RouteDel(s.blackhole(family)) // it matters to nobody beside the routes
		}
	}
	if added > 0 {
		s.log.Info("the link is back, routes were set anew", "device", s.device, "routes", added)
	}
}

// routes are all that lead into the device; those of replies come first.
func (s *steering) routes() (all []*netlink.Route) {
	for family := range s.based {
		all = append(all, s.defaultRoute(family))
	}
	for a := range s.to {
		all = append(all, s.route(a))
	}
	return all
}
