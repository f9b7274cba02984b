package device

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/netstack/packet"
)

// tuntap is an open TUN or TAP.
//
// mu is held shared by every Read, Write, Up and Down, and exclusively by
// Close while it closes the descriptors: none of them can meet a number that
// belongs to somebody else by then.
type tuntap struct {
	name     string
	kind     Kind
	mtu      int
	mac      packet.MAC
	features Features
	found    bool // an administrator's: it outlives us

	nl   *netlink.Handle // of the namespace that Open was called in
	link netlink.Link

	mu       sync.RWMutex
	closed   atomic.Bool
	once     sync.Once
	closeErr error
	queues   []queue

	cut *cutters

	// Made once, so that the data path allocates no error.
	errClosed, errRemoved, errFull, errDown, errFrame error
}

// queue is one descriptor of the device.
type queue struct {
	fd int
	// reader is the thread id of the first Read, 0 before. Its owner keeps to
	// that thread (Device.Read), so asking the kernel again at each frame is
	// saved; interrupt copes where it did not.
	reader atomic.Int32
}

func newTuntap(o *opening, f Features, link netlink.Link) *tuntap {
	d := &tuntap{
		name: o.Name, kind: o.Kind, mtu: link.Attrs().MTU, mac: o.MAC,
		features: f, found: o.found != nil, nl: o.nl, link: link,
		queues: make([]queue, len(o.fds)),
	}
	for i, fd := range o.fds {
		d.queues[i].fd = fd
	}
	d.cut = newCutters(d.Link(), d.send)
	wrap := func(err error, hint string) error { return fmt.Errorf("%s %s: %w%s", d.kind, d.name, err, hint) }
	d.errClosed = wrap(ErrClosed, "")
	d.errRemoved = wrap(ErrRemoved, ": start weir again to make it anew")
	d.errFull = wrap(ErrFull, "")
	d.errDown = wrap(ErrAgain, ": its link is down: `ip link set "+d.name+" up`")
	d.errFrame = wrap(ErrAgain, ": the kernel's vnet header does not fit its frame")
	return d
}

func (d *tuntap) Name() string       { return d.name }
func (d *tuntap) Link() packet.Link  { return d.kind.Link() }
func (d *tuntap) MTU() int           { return d.mtu }
func (d *tuntap) MAC() packet.MAC    { return d.mac }
func (d *tuntap) Features() Features { return d.features }
func (d *tuntap) Queues() int        { return len(d.queues) }

// Read implements Device. The vnet header lands in the headroom's last bytes,
// so that one read(2) puts the frame where it belongs.
func (d *tuntap) Read(q int, p *packet.Packet) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(p.Store) < BufferSize {
		p.Store = make([]byte, BufferSize) // once for a packet that is reused
	}
	for {
		// Asked before each read(2): Close sets closed first, then O_NONBLOCK,
		// then it interrupts. Whoever missed the flag meets one of the others.
		if d.closed.Load() {
			return d.errClosed
		}
		queue := &d.queues[q]
		if queue.reader.Load() == 0 {
			queue.reader.Store(int32(unix.Gettid()))
		}
		n, err := unix.Read(queue.fd, p.Store[packet.Headroom-vnetLen:])
		if err == nil {
			return d.received(p, n)
		}
		switch err {
		case unix.EINTR:
		case unix.EAGAIN:
			if !d.closed.Load() { // somebody else's O_NONBLOCK: not ours to wait for
				return d.readError(err)
			}
		default:
			return d.readError(err)
		}
	}
}

// received describes in p the n bytes that were read.
func (d *tuntap) received(p *packet.Packet, n int) error {
	if n < vnetLen {
		return d.errFrame
	}
	start, end := packet.Headroom, packet.Headroom-vnetLen+n
	o, ok := readVnet(p.Store[start-vnetLen:start], start, end)
	if !ok {
		return d.errFrame
	}
	*p = packet.Packet{Store: p.Store, Start: start, End: end, Offload: o}
	return nil
}

// readError translates. A reader that sleeps while its device is deleted wakes
// with EFAULT; later reads find no device, EBADFD.
func (d *tuntap) readError(err error) error {
	switch err {
	case unix.EFAULT, unix.EBADFD, unix.ENXIO, unix.ENODEV:
		return d.errRemoved
	case unix.EIO:
		return d.errDown
	}
	return fmt.Errorf("read from %s %s: %w: %w", d.kind, d.name, ErrAgain, err)
}

// Write implements Device.
func (d *tuntap) Write(p *packet.Packet) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed.Load() {
		return d.errClosed
	}
	if !d.features.Takes(p.Offload.GSO) || p.Offload.NeedsCsum && !d.features.Checksum {
		return d.cut.cut(p)
	}
	return d.send(p)
}

// send writes one frame with one write(2).
func (d *tuntap) send(p *packet.Packet) error {
	if p.Start < vnetLen {
		return fmt.Errorf("write to %s %s: frame begins at %d of its store: leave %d bytes of headroom", d.kind, d.name, p.Start, vnetLen)
	}
	b := p.Store[p.Start-vnetLen : p.End]
	putVnet(b, p)
	for {
		_, err := unix.Write(d.queueOf(p).fd, b)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return d.writeError(err)
		}
	}
}

func (d *tuntap) writeError(err error) error {
	switch err {
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return d.errFull
	case unix.EIO:
		return d.errDown
	case unix.EBADFD, unix.ENXIO, unix.ENODEV:
		return d.errRemoved
	}
	return fmt.Errorf("write to %s %s: %w", d.kind, d.name, err)
}

// queueOf spreads flows over the queues: the kernel sends a flow's packets to
// the queue on which it last received packets of that flow.
func (d *tuntap) queueOf(p *packet.Packet) *queue {
	if len(d.queues) == 1 || !p.HasL4 {
		return &d.queues[0]
	}
	h := p.SrcPort ^ p.DstPort
	return &d.queues[int(h^h>>8)%len(d.queues)]
}

// Up sets the link up, as `ip link set NAME up` does.
func (d *tuntap) Up() error { return d.setLink("up", d.nl.LinkSetUp) }

// Down sets the link down: Write fails with ErrAgain until Up.
func (d *tuntap) Down() error { return d.setLink("down", d.nl.LinkSetDown) }

func (d *tuntap) setLink(to string, set func(netlink.Link) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed.Load() {
		return d.errClosed
	}
	err := set(d.link)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return d.errRemoved
	}
	return fmt.Errorf("set %s %s %s: %w: %s", d.kind, d.name, to, err, needsAdmin)
}
