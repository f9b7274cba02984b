package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"weir/netstack/device"
	"weir/netstack/packet"
	"weir/tunnel"
)

// refreshEvery is how soon an address that the host has been given counts.
const refreshEvery = 5 * time.Second

// Endpoint is the real server's end of tunnels. It is a Task.
type Endpoint struct {
	config  Config
	device  device.Device
	kernel  *kernel
	sockets []*socket
	wake    int // eventfd that ends receive
	batch   *batch
	gro     gro
	judge   atomic.Pointer[judge]
	tally   tally
	lost    atomic.Uint64
	broken  error // of the device, final
	ready   chan struct{}
	// strangers are those that the log has told of.
	strangers []netip.Addr
}

// judge is what packets are judged by; it is made anew when the host's
// addresses change.
type judge struct {
	host  host
	decap *tunnel.Decap
	// shunned are the host's own addresses, whose outer packets are not
	// believed even if they lie in a director's network: any local user could
	// send them. One that a single-address prefix names is a director.
	shunned map[packet.Addr]bool
}

// Open makes the device, prepares the host and opens the sockets, all in the
// network namespace of the calling thread. On an error everything is as it was.
func Open(c Config) (e *Endpoint, err error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e = &Endpoint{config: c, wake: -1, batch: newBatch(), ready: make(chan struct{})}
	e.gro.deliver = e.deliver
	if err := e.open(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Endpoint) open() (err error) {
	c := &e.config
	// The device comes first: of two with one name the second one fails here,
	// and has not touched what the first has set.
	if e.device, err = device.Open(device.Config{Name: c.Device, Kind: device.TUN, MTU: c.MTU}); err != nil {
		return err
	}
	if e.sockets, err = openSockets(c); err != nil {
		return err
	}
	if e.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if e.kernel, err = openKernel(c.Device, c.Log); err != nil {
		return err
	}
	if err := e.refresh(); err != nil {
		return err
	}
	err = e.kernel.configure()
	if c.NoSetup {
		if err != nil {
			c.Log.Warn("the TUN keeps the settings it has", "error", err)
		}
		return e.up()
	}
	if err != nil {
		return err
	}
	if err := e.kernel.prepare(c.VIPs); err != nil {
		return err
	}
	if err := e.up(); err != nil {
		return err
	}
	return e.kernel.hold(c.VIPs)
}

func (e *Endpoint) up() error { return e.device.(device.UpDowner).Up() }

// Close takes back what Open has done. Run must have returned.
func (e *Endpoint) Close() error {
	var errs []error
	if e.kernel != nil {
		errs = append(errs, e.kernel.close())
	}
	closeSockets(e.sockets)
	if e.wake >= 0 {
		unix.Close(e.wake)
	}
	if e.device != nil {
		errs = append(errs, e.device.Close())
	}
	return errors.Join(errs...)
}

// Ready is closed when tunnel packets are delivered.
func (e *Endpoint) Ready() <-chan struct{} { return e.ready }

// String names the task.
func (e *Endpoint) String() string { return "decap " + e.config.Device }

// Directors are the networks that packets are taken from now.
func (e *Endpoint) Directors() []netip.Prefix {
	if len(e.config.Directors) > 0 {
		return e.config.Directors
	}
	return e.judge.Load().host.nets
}

// Counters may be called at any time.
func (e *Endpoint) Counters() Counters {
	c := e.tally.snapshot()
	c.Overflow = e.lost.Load()
	return c
}

// Run delivers until ctx ends or the device is gone.
func (e *Endpoint) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(e.receive)
	g.Go(func() error { // ends with ctx, which ends when receive fails
		tick := time.NewTicker(refreshEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := e.refresh(); err != nil {
					e.config.Log.Warn("the host's addresses cannot be read, those known before stay", "error", err)
				}
			case <-ctx.Done():
				_, err := unix.Write(e.wake, []byte{7: 1})
				return err
			}
		}
	})
	close(e.ready)
	return g.Wait()
}

// refresh reads the host's addresses, and judges by them from now on.
func (e *Endpoint) refresh() error {
	h, err := e.kernel.addresses()
	if err != nil {
		return err
	}
	if old := e.judge.Load(); old != nil && old.host.equal(h) {
		return nil
	}
	c := &e.config
	if len(c.Directors) == 0 && len(h.nets) == 0 {
		return errNoDirectors
	}
	config := c.decap(h)
	d, err := tunnel.NewDecap(config)
	if err != nil {
		return err
	}
	j := &judge{host: h, decap: d, shunned: map[packet.Addr]bool{}}
	for _, a := range h.own {
		j.shunned[packet.AddrFrom(a)] = true
	}
	for _, p := range c.Directors {
		if p.IsSingleIP() {
			delete(j.shunned, packet.AddrFrom(p.Addr()))
		}
	}
	e.judge.Store(j)
	return nil
}

// receive takes from all sockets until it is woken. One thread does it all:
// the order of packets stays, and no lock is needed.
func (e *Endpoint) receive() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fds := []unix.PollFd{{Fd: int32(e.wake), Events: unix.POLLIN}}
	for _, s := range e.sockets {
		fds = append(fds, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
	}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for tunnel packets: %w", err)
		}
		if fds[0].Revents != 0 {
			return nil
		}
		for i, s := range e.sockets {
			if fds[i+1].Revents == 0 {
				continue
			}
			if e.take(s); e.broken != nil {
				return e.broken
			}
		}
	}
}

// take delivers what a socket has, one batch at most. An error that a socket
// reports is about some packet, and is over when it is read.
func (e *Endpoint) take(s *socket) {
	n, err := e.batch.receive(s.fd)
	if err != nil {
		return
	}
	j, lost := e.judge.Load(), s.lost
	for i := range n {
		p, name, control, ok := e.batch.packet(i)
		if r := e.pass(j, s, p, name, control, ok); r != packet.OK {
			e.tally.drop(r)
		}
	}
	e.gro.flush()
	e.lost.Add(uint64(s.lost - lost))
}

// pass opens one tunnel packet and passes on what is inside.
func (e *Endpoint) pass(j *judge, s *socket, p *packet.Packet, name, control []byte, whole bool) packet.Reason {
	var o outer
	if !s.describe(&o, name, control) || !whole {
		return packet.Truncated
	}
	if !s.whole() {
		o.wrap(p)
	}
	if r := p.Parse(packet.LinkRaw); r != packet.OK {
		return r
	}
	if j.shunned[p.SrcAddr()] {
		return packet.TunnelStranger
	}
	if r := j.decap.Pop(p); r != packet.OK {
		if r == packet.TunnelStranger {
			e.report(p.Src())
		}
		return r
	}
	e.tally.bytes.Add(uint64(p.IPLen()))
	e.tally.formats[s.format].Add(1)
	unfinished(p, e.device.MTU())
	e.gro.add(p)
	return packet.OK
}

// maxStrangers bounds what the log says of them: their addresses may be forged.
const maxStrangers = 8

// report tells once of each of the first strangers: a director that was
// forgotten would be one.
func (e *Endpoint) report(a netip.Addr) {
	if len(e.strangers) == maxStrangers || slices.Contains(e.strangers, a) {
		return
	}
	e.strangers = append(e.strangers, a)
	e.config.Log.Warn("tunnel packets of a stranger are dropped: if it is a director, name it with --director", "address", a)
}

// deliver writes p into the kernel.
func (e *Endpoint) deliver(p *packet.Packet) {
	err := e.device.Write(p)
	switch {
	case err == nil:
		e.tally.writes.Add(1)
	case errors.Is(err, device.ErrFull):
		e.tally.drop(packet.DeviceFull)
	case errors.Is(err, device.ErrClosed), errors.Is(err, device.ErrRemoved):
		e.broken = err
		e.tally.drop(packet.DeviceError)
	default:
		e.tally.drop(packet.DeviceError)
	}
}
