//go:build !linux

package endpoint

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
)

// Endpoint is the real server's end of tunnels, which needs Linux.
type Endpoint struct{}

// Open says that it needs Linux.
func Open(c Config) (*Endpoint, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("tunnel end %s: it needs the raw sockets and the TUN of Linux, and this is %s", c.Device, runtime.GOOS)
}

// Without Open nobody has an Endpoint, so that none of these is ever called.

func (*Endpoint) Run(context.Context) error { return nil }
func (*Endpoint) Ready() <-chan struct{}    { return nil }
func (*Endpoint) String() string            { return "decap" }
func (*Endpoint) Directors() []netip.Prefix { return nil }
func (*Endpoint) Counters() Counters        { return Counters{} }
func (*Endpoint) Close() error              { return nil }
