package device

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const clonePath = "/dev/net/tun"

// needsAdmin ends every line about a missing right.
const needsAdmin = "run as root, with CAP_NET_ADMIN, or inside `unshare -Urn`"

// openClone opens the clone device in blocking mode: the reader sleeps in
// read(2) on its own thread, which is cheaper than the runtime's poller. The
// descriptor belongs to the calling thread's network namespace.
func openClone() (int, error) {
	fd, err := unix.Open(clonePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return -1, fmt.Errorf("open %s: %w: load it with `modprobe tun`, or pass it into the container", clonePath, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return -1, fmt.Errorf("open %s: %w: run as root, or give this user the right to open it", clonePath, err)
	}
	return -1, fmt.Errorf("open %s: %w", clonePath, err)
}

// mayCreate asks with fd what TUNSETIFF will ask for a new device: whether the
// caller administers fd's network namespace. SIOCGSKNS has that very check and
// changes nothing. It stands before water.New because water keeps its
// descriptor when TUNSETIFF fails.
func mayCreate(fd int) error {
	ns, err := unix.IoctlRetInt(fd, unix.SIOCGSKNS)
	switch {
	case err == nil:
		return unix.Close(ns)
	case errors.Is(err, unix.EPERM):
		return err
	}
	return nil // before Linux 4.19 there is no such ioctl: TUNSETIFF decides
}

// attach binds fd to the device as one of its queues and proves that it took
// the vnet header: where another queue is attached already, the kernel ignores
// the flags of a further one and reports success.
func attach(fd int, name string, flags uint16) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, req); err != nil {
		return err
	}
	const need = unix.IFF_NO_PI | unix.IFF_VNET_HDR
	if got := req.Uint16(); req.Name() != name || got&need != need {
		return fmt.Errorf("kernel attached %s with flags %#x, without a vnet header", req.Name(), got)
	}
	return nil
}

// shapeVnet sets the header's length and byte order, which outlive whoever
// used a persistent device before.
func shapeVnet(fd int) error {
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetLen); err != nil {
		return fmt.Errorf("set the vnet header's length: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1); err != nil {
		return fmt.Errorf("set the vnet header's byte order: %w", err)
	}
	return nil
}

// negotiate asks for the most offloads that the kernel knows.
func negotiate(fd int, none bool) (Features, error) {
	const (
		tso = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
		uso = unix.TUN_F_USO4 | unix.TUN_F_USO6 // Linux 6.2
	)
	offers := []struct {
		bits int
		gets Features
	}{
		{tso | uso, Features{Checksum: true, TSO: true, USO: true}},
		{tso, Features{Checksum: true, TSO: true}},
		{unix.TUN_F_CSUM, Features{Checksum: true}},
		{0, Features{}},
	}
	if none {
		offers = offers[len(offers)-1:]
	}
	var err error
	for _, o := range offers {
		if err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, o.bits); err == nil {
			return o.gets, nil
		}
	}
	return Features{}, fmt.Errorf("set offloads: %w", err)
}
