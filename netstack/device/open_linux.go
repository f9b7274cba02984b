package device

import (
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/packet"
)

// Open creates the device, or attaches to one of that name and kind that an
// administrator made persistent. A created device vanishes with Close or with
// the process; a found one stays.
//
// The device lives in the network namespace of the calling thread; Open takes
// all that belongs to a namespace before it returns. On an error nothing is
// left behind. The device is down until Up is called or somebody sets it up.
func Open(c Config) (Device, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	o := opening{Config: c}
	d, err := o.run()
	if err != nil {
		o.undo()
		return nil, err
	}
	return d, nil
}

// opening is a device half made: what undo must take back.
type opening struct {
	Config
	nl         *netlink.Handle
	fds        []int
	found      *netlink.Tuntap // nil: the device is ours
	persistent bool            // ours, and would outlive its descriptors
}

func (o *opening) run() (*tuntap, error) {
	fd, err := openClone()
	if err != nil {
		return nil, o.failed(err)
	}
	o.fds = append(o.fds, fd)
	if o.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, o.failed(fmt.Errorf("open netlink: %w", err))
	}
	if o.found, err = o.find(); err != nil {
		return nil, err
	}
	if o.found == nil {
		if err := o.create(); err != nil {
			return nil, err
		}
	}
	if err := o.attachAll(); err != nil {
		return nil, err
	}
	features, err := negotiate(o.fds[0], o.NoOffload)
	if err != nil {
		return nil, o.failed(err)
	}
	link, err := o.setUpLink()
	if err != nil {
		return nil, err
	}
	return newTuntap(o, features, link), nil
}

// undo leaves no device and no descriptor behind.
func (o *opening) undo() {
	for _, fd := range o.fds {
		unix.Close(fd)
	}
	if o.nl == nil {
		return
	}
	if o.persistent {
		if link, err := o.nl.LinkByName(o.Name); err == nil {
			// Nothing is left to try if this fails too, and Open's own error
			// tells more.
			_ = o.nl.LinkDel(link)
		}
	}
	o.nl.Close()
}

func (o *opening) failed(err error) error {
	return fmt.Errorf("%s %s: %w", o.Kind, o.Name, err)
}

// find returns the device of that name if there is one to attach to, and an
// error if the name is taken by something else.
func (o *opening) find() (*netlink.Tuntap, error) {
	link, err := o.nl.LinkByName(o.Name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, o.failed(fmt.Errorf("look the name up: %w", err))
	}
	tap, ok := link.(*netlink.Tuntap)
	if !ok {
		return nil, o.failed(fmt.Errorf("the name is taken by a %s interface: choose another name or delete it", link.Type()))
	}
	// Kernels before 5.0 do not tell the mode; attach finds out there.
	if mode := kindOf(tap.Mode); tap.Mode != 0 && mode != o.Kind {
		return nil, o.failed(fmt.Errorf("the name is taken by a %s: choose another name or change the kind", mode))
	}
	if multi(tap) && tap.Queues+tap.DisabledQueues > 0 {
		return nil, o.failed(errBusy)
	}
	if !multi(tap) && o.Queues > 1 {
		return nil, o.failed(fmt.Errorf("the existing device has one queue: make it with `multi_queue`, or ask for 1 instead of %d", o.Queues))
	}
	return tap, nil
}

var errBusy = errors.New("in use by another program: stop that or choose another name")

func multi(t *netlink.Tuntap) bool { return t.Flags&netlink.TUNTAP_MULTI_QUEUE != 0 }

func kindOf(m netlink.TuntapMode) Kind {
	if m == netlink.TUNTAP_MODE_TAP {
		return TAP
	}
	return TUN
}

// creating keeps two Opens of one name in this process apart: the loser's
// descriptor would be lost inside water.
var creating sync.Mutex

// create has water make the device. It must be persistent for a moment: water
// cannot ask for the vnet header, the flag cannot be added while water's
// descriptor holds the device, and without either the device would vanish.
func (o *opening) create() error {
	creating.Lock()
	defer creating.Unlock()
	if err := mayCreate(o.fds[0]); err != nil {
		return o.failed(fmt.Errorf("no permission to create it: %w: %s", err, needsAdmin))
	}
	c := water.Config{DeviceType: water.TUN}
	if o.Kind == TAP {
		c.DeviceType = water.TAP
	}
	c.Name, c.MultiQueue, c.Persist = o.Name, o.Queues > 1, true
	made, err := water.New(c)
	if err != nil {
		return o.failed(o.explain("create", err))
	}
	o.persistent = true
	if err := made.Close(); err != nil {
		return o.failed(fmt.Errorf("hand the new device over: %w", err))
	}
	return nil
}

// attachAll opens a descriptor for each queue. The first takes persistence
// back at once: from there on closing the descriptors removes the device.
func (o *opening) attachAll() error {
	flags := uint16(unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if o.Kind == TAP {
		flags |= unix.IFF_TAP
	} else {
		flags |= unix.IFF_TUN
	}
	if o.Queues > 1 || o.found != nil && multi(o.found) {
		flags |= unix.IFF_MULTI_QUEUE
	}
	for q := range o.Queues {
		if q > 0 {
			fd, err := openClone()
			if err != nil {
				return o.failed(fmt.Errorf("queue %d: %w", q, err))
			}
			o.fds = append(o.fds, fd)
		}
		if err := attach(o.fds[q], o.Name, flags); err != nil {
			return o.failed(o.explain("attach", err))
		}
		if o.persistent {
			if err := unix.IoctlSetInt(o.fds[q], unix.TUNSETPERSIST, 0); err != nil {
				return o.failed(fmt.Errorf("clear persistence: %w", err))
			}
			o.persistent = false
		}
		if err := shapeVnet(o.fds[q]); err != nil {
			return o.failed(err)
		}
	}
	return nil
}

// explain says what TUNSETIFF's errors mean.
func (o *opening) explain(step string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return errBusy
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("no permission to use it: %w: %s, or be its owner", err, needsAdmin)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("kernel refuses to attach: %w: the name may belong to another kind of interface", err)
	}
	return fmt.Errorf("%s: %w", step, err)
}

// setUpLink sets the MTU and checks the MAC; the kernel's view of the link
// comes back. Without a MAC in the configuration it draws one.
func (o *opening) setUpLink() (netlink.Link, error) {
	link, err := o.nl.LinkByName(o.Name)
	if err != nil {
		return nil, o.failed(fmt.Errorf("look the new link up: %w", err))
	}
	a := link.Attrs()
	if o.MTU != 0 && o.MTU != a.MTU {
		if err := o.nl.LinkSetMTU(link, o.MTU); err != nil {
			return nil, o.failed(fmt.Errorf("set MTU %d: %w: %s", o.MTU, err, needsAdmin))
		}
		a.MTU = o.MTU
	}
	if o.Kind == TUN {
		return link, nil
	}
	kernel := packet.MAC(a.HardwareAddr)
	if o.MAC == kernel {
		return nil, o.failed(fmt.Errorf("MAC %s is that of the kernel's end of the same cable: choose another", kernel))
	}
	for o.MAC.IsZero() || o.MAC == kernel {
		o.MAC = randomMAC()
	}
	return link, nil
}

// randomMAC is a unicast address of local administration.
func randomMAC() (m packet.MAC) {
	rand.Read(m[:]) // never fails (crypto/rand)
	m[0] = m[0]&^1 | 2
	return m
}
