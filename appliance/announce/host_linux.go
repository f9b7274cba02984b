package announce

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Kernel is the host whose network namespace the thread is in that calls
// Attach. What the host's administrator should know goes to log.
func Kernel(log *slog.Logger) Host { return kernel{log} }

type kernel struct{ log *slog.Logger }

// families are the versions of IP that a host steers.
var families = [...]int{unix.AF_INET, unix.AF_INET6}

// steering is what weir has done to its host.
type steering struct {
	log    *slog.Logger
	nl     *netlink.Handle   // of the namespace that Attach was called in
	events *nl.NetlinkSocket // of the same: what becomes of links
	device string
	link   netlink.Link
	wasUp  bool
	table  int
	global globals
	ended  chan struct{} // closed by Close

	mu       sync.Mutex // guards what follows, and what the host has of it
	closed   bool
	down     bool      // the link, and it was said
	settings []setting // of the device, to be put back
	to       map[netip.Addr]bool
	from     map[Source]bool
	based    map[int]bool // families that have the table's route and the rules around the sources'
}

// Attach implements Host.
func (k kernel) Attach(device string) (Steering, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("host: open netlink: %w", err)
	}
	events, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("host: watch links: %w", err)
	}
	s := &steering{
		log: k.log, nl: handle, events: events, device: device, table: tableOf(device),
		to: map[netip.Addr]bool{}, from: map[Source]bool{}, based: map[int]bool{}, ended: make(chan struct{}),
	}
	if err := s.attach(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *steering) attach() error {
	link, err := s.nl.LinkByName(s.device)
	if err != nil {
		return fmt.Errorf("host: look %s up: %w", s.device, err)
	}
	s.link, s.wasUp = link, link.Attrs().Flags&net.FlagUp != 0
	if err := s.sweep(); err != nil {
		return err
	}
	s.global = readGlobals()
	return s.configure()
}

// Extend implements Steering. Replies are taken care of before the first
// request can come.
func (s *steering) Extend(w Want) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to, from := missing(w.To, s.to), missing(w.From, s.from)
	if err := s.examine(to, from); err != nil {
		return err
	}
	var done undo
	defer func() {
		if err != nil {
			err = errors.Join(err, done.run())
		}
	}()
	for _, family := range familiesOf(from) {
		if s.based[family] {
			continue
		}
		done.push(func() error { return s.unbase(family) })
		if err := s.base(family); err != nil {
			return err
		}
	}
	for _, src := range from {
		if err := s.addSource(src); err != nil {
			return err
		}
		done.push(func() error { return s.dropSource(src) })
	}
	for _, a := range to {
		if err := s.addRoute(a); err != nil {
			return err
		}
		done.push(func() error { return s.dropRoute(a) })
	}
	return nil
}

// Reduce implements Steering.
func (s *steering) Reduce(w Want) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reduce(w)
}

func (s *steering) reduce(w Want) error {
	var errs []error
	for _, a := range surplus(s.to, w.To) {
		errs = append(errs, s.dropRoute(a))
	}
	for _, src := range surplus(s.from, w.From) {
		errs = append(errs, s.dropSource(src))
	}
	used := familiesOf(w.From)
	for _, family := range families {
		if s.based[family] && !slices.Contains(used, family) {
			errs = append(errs, s.unbase(family))
		}
	}
	return errors.Join(errs...)
}

// Close implements Steering.
func (s *steering) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.ended)
	}
	errs := []error{s.reduce(Want{})}
	s.restore()
	if s.link != nil && !s.wasUp {
		errs = append(errs, gone(s.nl.LinkSetDown(s.link)))
	}
	s.nl.Close()
	s.events.Close()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("host: take back what was set for %s: %w", s.device, err)
	}
	return nil
}

// undo is what takes back the steps of something half done, last first.
type undo []func() error

func (u *undo) push(f func() error) { *u = append(*u, f) }

func (u undo) run() error {
	var errs []error
	for i := len(u) - 1; i >= 0; i-- {
		errs = append(errs, u[i]())
	}
	return errors.Join(errs...)
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func familiesOf(from []Source) []int {
	var list []int
	for _, src := range from {
		if f := familyOf(src.Addr); !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	return list
}

// gone takes "it is not there" for a success of removing it: routes go with
// their device, and administrators tidy up.
func gone(err error) error {
	for _, not := range []error{unix.ESRCH, unix.ENODEV, unix.ENOENT, unix.ENXIO} {
		if errors.Is(err, not) {
			return nil
		}
	}
	return err
}
