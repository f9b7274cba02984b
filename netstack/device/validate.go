package device

import (
	"fmt"
	"strings"

	"weir/netstack/packet"
)

// maxName is IFNAMSIZ without its NUL; the kernel cuts longer names silently.
const maxName = 15

// maxQueues is the kernel's own limit on queues of a TUN or TAP (256) and far
// more than the one queue that serves two cores best.
const maxQueues = 256

// validate fills c's defaults and refuses what the kernel would refuse less
// clearly, or silently change.
func (c *Config) validate() error {
	if c.Queues == 0 {
		c.Queues = 1
	}
	if err := validName(c.Name); err != nil {
		return err
	}
	if c.Kind != TUN && c.Kind != TAP {
		return fmt.Errorf("device %s: unknown kind %d: use TUN or TAP", c.Name, c.Kind)
	}
	if c.MTU != 0 {
		if err := validMTU(c.Name, c.MTU); err != nil {
			return err
		}
	}
	if c.Queues < 1 || c.Queues > maxQueues {
		return fmt.Errorf("device %s: %d queues: use 1 to %d", c.Name, c.Queues, maxQueues)
	}
	return validMAC(c.Name, c.Kind, c.MAC)
}

// validName holds n against the kernel's dev_valid_name, and against '%', which
// would make the kernel choose a number.
func validName(n string) error {
	switch {
	case n == "":
		return fmt.Errorf("device name is empty: give it 1 to %d characters", maxName)
	case len(n) > maxName:
		return fmt.Errorf("device name %q has %d characters: shorten it to %d", n, len(n), maxName)
	case n == "." || n == "..":
		return fmt.Errorf("device name %q is reserved: choose another", n)
	}
	if i := strings.IndexFunc(n, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("/:%", r)
	}); i >= 0 {
		return fmt.Errorf("device name %q has a forbidden character at %d: use letters, digits, '-', '_' and '.'", n, i+1)
	}
	return nil
}

// validMTU: 68 is IPv4's least (RFC 791).
func validMTU(name string, mtu int) error {
	if mtu < 68 || mtu > packet.MaxMTU {
		return fmt.Errorf("device %s: MTU %d: use 68 to %d, and at least 1280 for IPv6", name, mtu, packet.MaxMTU)
	}
	return nil
}

func validMAC(name string, kind Kind, mac packet.MAC) error {
	switch {
	case mac.IsZero():
		return nil
	case kind == TUN:
		return fmt.Errorf("device %s: a TUN has no MAC: leave %s out or use a TAP", name, mac)
	case mac.IsMulticast():
		return fmt.Errorf("device %s: MAC %s is a group address: clear the lowest bit of its first byte", name, mac)
	}
	return nil
}
