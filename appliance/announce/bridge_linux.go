package announce

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Join implements Host.
func (kernel) Join(device, bridge string) (leave func() error, err error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("host: open netlink: %w", err)
	}
	defer func() {
		if err != nil {
			nl.Close()
		}
	}()
	link, err := nl.LinkByName(device)
	if err != nil {
		return nil, fmt.Errorf("host: look %s up: %w", device, err)
	}
	br, err := nl.LinkByName(bridge)
	switch missing := (netlink.LinkNotFoundError{}); {
	case errors.As(err, &missing):
		return nil, fmt.Errorf("host: there is no bridge %s to put %s into; make it: ip link add %s type bridge", bridge, device, bridge)
	case err != nil:
		return nil, fmt.Errorf("host: look bridge %s up: %w", bridge, err)
	case br.Type() != "bridge":
		return nil, fmt.Errorf("host: %s is no bridge but a %s; correct the key bridge of %s", bridge, br.Type(), device)
	}
	switch master := link.Attrs().MasterIndex; master {
	case 0:
	case br.Attrs().Index: // somebody else's doing, and to undo
		nl.Close()
		return func() error { return nil }, nil
	default:
		return nil, fmt.Errorf("host: %s is in another bridge already; take it out: ip link set dev %s nomaster", device, device)
	}
	if err := nl.LinkSetMasterByIndex(link, br.Attrs().Index); err != nil {
		return nil, fmt.Errorf("host: put %s into bridge %s: %w", device, bridge, err)
	}
	return func() error { return separate(nl, link, bridge) }, nil
}

// separate takes a device out of its bridge. One that is gone is out of it.
func separate(nl *netlink.Handle, link netlink.Link, bridge string) error {
	defer nl.Close()
	now, err := nl.LinkByIndex(link.Attrs().Index)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err == nil && now.Attrs().MasterIndex != 0 {
		err = nl.LinkSetNoMaster(now)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("host: take %s out of bridge %s: %w", link.Attrs().Name, bridge, err)
	}
	return nil
}
