package announce

import (
	"context"
	"errors"
	"fmt"
	"syscall"

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
	for {
		messages, _, err := s.events.Receive()
		switch {
		case err == nil:
			for _, m := range messages {
				s.heard(m)
			}
		case ctx.Err() != nil || s.isClosed():
			return nil
		case errors.Is(err, unix.ENOBUFS):
			s.mend() // events were lost, perhaps that one
		default:
			return fmt.Errorf("host: watch links: %w", err)
		}
	}
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
