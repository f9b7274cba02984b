//go:build !linux

package device

import (
	"fmt"
	"runtime"
)

// Open works on Linux only: vnet headers, and with them super-packets, are the
// Linux kernel's. The in-memory wire works everywhere.
func Open(c Config) (Device, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s %s: weir opens kernel devices on Linux only, not on %s: use a simulated network (`weir demo`)", c.Kind, c.Name, runtime.GOOS)
}
