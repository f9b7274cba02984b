// Package announce says "the VIP is here": to the stations of a segment, and
// to the kernel of the host that weir runs on.
package announce

import (
	"context"
	"fmt"
	"net/netip"
)

// Want is what a host's kernel is to send into weir's TUN.
type Want struct {
	To   []netip.Addr // packets to these: the VIPs and weir's own addresses
	From []Source     // and packets from these: replies of real servers
}

// Source names packets by where they come from.
type Source struct {
	Addr  netip.Addr
	Proto uint8  // IP protocol number
	Port  uint16 // source port; 0: all
}

func (s Source) String() string {
	if s.Port == 0 {
		return fmt.Sprintf("protocol %d from %s", s.Proto, s.Addr)
	}
	return fmt.Sprintf("protocol %d from %s", s.Proto, netip.AddrPortFrom(s.Addr, s.Port))
}

// Replies are the sources of what a real server of method nat sends back: its
// packets of protocol proto (6 or 17) from its port (0: all), and its ICMP
// errors, which quote addresses that only weir can translate.
//
// Of UDP all ports are taken. A rule by port misses fragments, which the kernel
// routes without looking for ports, and large UDP answers are fragmented.
func Replies(real netip.AddrPort, proto uint8) []Source {
	const udp, icmp4, icmp6 = 17, 1, 58
	port, icmp := real.Port(), uint8(icmp4)
	if proto == udp {
		port = 0
	}
	if real.Addr().Is6() {
		icmp = icmp6
	}
	return []Source{{real.Addr(), proto, port}, {real.Addr(), icmp, 0}}
}

// Host is the kernel of the host that weir runs on.
type Host interface {
	// Attach prepares the host for a TUN of weir's, which is still down: it
	// removes what a weir that was killed has left for this device, and sets
	// the device's own network settings. It takes all that belongs to a network
	// namespace on the calling thread.
	Attach(device string) (Steering, error)
	// Join puts a TAP into a Linux bridge, in the network namespace of the
	// calling thread. leave takes it out again, on any thread.
	Join(device, bridge string) (leave func() error, err error)
}

// Steering is one host that sends packets into one TUN. It is a Task, whose
// Run keeps it so; its other methods may be called from any goroutine.
type Steering interface {
	// Extend makes the host send what w names, beside what it sends already.
	// On an error everything is as before. The device must be up.
	Extend(w Want) error
	// Reduce makes the host stop sending what w does not name. What the error
	// says was left undone; the rest is done.
	Reduce(w Want) error
	// Close takes back all that Attach and Extend did, and ends Run.
	Close() error

	// Run sets anew what the host drops by itself, until ctx ends.
	Run(ctx context.Context) error
	Ready() <-chan struct{}
	String() string
}

// None is a host that needs nothing: a simulated one, or one that its
// administrator takes care of.
var None Host = none{}

type none struct{}

func (none) Attach(string) (Steering, error) { return none{}, nil }
func (none) Extend(Want) error               { return nil }
func (none) Join(string, string) (func() error, error) {
	return func() error { return nil }, nil
}
func (none) Reduce(Want) error             { return nil }
func (none) Close() error                  { return nil }
func (none) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (none) Ready() <-chan struct{}        { return ready }
func (none) String() string                { return "host" }

// ready is of those who need no preparation.
var ready = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// missing are the elements of want that have lacks, each once, in want's order.
func missing[T comparable](want []T, have map[T]bool) []T {
	var list []T
	listed := map[T]bool{}
	for _, v := range want {
		if !have[v] && !listed[v] {
			listed[v] = true
			list = append(list, v)
		}
	}
	return list
}

// surplus are the elements of have that want lacks.
func surplus[T comparable](have map[T]bool, want []T) []T {
	wanted := map[T]bool{}
	for _, v := range want {
		wanted[v] = true
	}
	var list []T
	for v := range have {
		if !wanted[v] {
			list = append(list, v)
		}
	}
	return list
}
