//go:build !linux

package announce

import (
	"fmt"
	"log/slog"
	"runtime"
)

// Kernel is a host that cannot be steered: routes and rules are Linux's.
func Kernel(*slog.Logger) Host { return elsewhere{} }

type elsewhere struct{}

func (elsewhere) Attach(string) (Steering, error) {
	return nil, fmt.Errorf("host: weir steers the kernel of Linux only, not of %s: use a simulated network (`weir demo`)", runtime.GOOS)
}

func (elsewhere) Join(device, bridge string) (func() error, error) {
	return nil, fmt.Errorf("host: put %s into bridge %s: bridges are Linux's, and this is %s", device, bridge, runtime.GOOS)
}
