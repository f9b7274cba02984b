// Package appliance joins the rooms of the house into a load balancer: a
// configuration becomes devices, a stack, a director and what announces the
// VIPs, and the running whole follows changes of the configuration.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/appliance/announce"
	"weir/appliance/config"
	"weir/appliance/control"
	"weir/appliance/director"
	"weir/netstack"
	"weir/netstack/device"
)

// Options are what a configuration does not say. The zero value is a weir on
// this machine's kernel without a control socket and without a log.
type Options struct {
	Log *slog.Logger // nil: discarded
	// Level follows the configuration's log.level; nil: nobody's does.
	Level *slog.LevelVar
	// OpenDevice opens the device of a port; nil: the kernel's TUN or TAP.
	OpenDevice func(config.Port) (device.Device, error)
	// Host is the host that a TUN is on; nil: the kernel of this one.
	Host announce.Host
	// Seed keys the flow table's hash; 0: drawn at random.
	Seed uint64
	// Listener is where operators ask, Appliance's own from New on; nil: nowhere.
	// Else Socket is the path to listen at; "": nowhere.
	Listener net.Listener
	Socket   string
	// Version is what operators are told about who answers.
	Version control.Version
	// Reread reads the configuration's file again, for operators who ask what
	// has changed in it; nil: there is no file.
	Reread func() (name string, text []byte, err error)
}

// Appliance is a load balancer. It is a Task: Run does its work until it is
// told to stop, and runs once.
type Appliance struct {
	options  Options
	log      *slog.Logger
	clock    func() time.Duration
	ports    []port // of netstack, in the order of their ids
	stack    *netstack.Stack
	director *director.Director
	memory   memory // of director
	segment  *announce.Segment
	server   *control.Server // nil: no operators

	config    atomic.Pointer[config.Config]
	changing  sync.Mutex // guards what follows, and serializes Apply
	steering  announce.Steering
	lingering lingering
	ending    bool // steering was closed

	cleanup []func() error // what Close takes back, last first
	ready   chan struct{}
	stop    chan struct{} // closed when Close begins
	stopped chan struct{} // closed when Run has ended
	life    sync.Mutex    // guards started
	started bool
	closing sync.Once
	err     error // of Close
}

// New makes a load balancer of cfg and acquires all that can fail: devices,
// the host's routes, the control socket. What belongs to a network namespace is
// taken in that of the calling thread. On an error nothing is left behind.
func New(cfg *config.Config, o Options) (*Appliance, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OpenDevice == nil {
		o.OpenDevice = openKernelDevice
	}
	if o.Host == nil {
		o.Host = announce.Kernel(o.Log)
	}
	start := time.Now()
	a := &Appliance{
		options: o, log: o.Log,
		clock: func() time.Duration { return time.Since(start) },
		ready: make(chan struct{}), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := a.acquire(cfg); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Ready is closed when every VIP can carry traffic: the receive loops read,
// the VIPs have their addresses and the host its routes.
func (a *Appliance) Ready() <-chan struct{} { return a.ready }

// String names the task.
func (a *Appliance) String() string { return "appliance" }

// Run carries traffic until ctx ends or Close is called (nil), or a task fails.
// When it returns, everything that New took has been given back.
func (a *Appliance) Run(ctx context.Context) error {
	if !a.start() {
		return errors.New("appliance: it runs already or was closed: make a new one")
	}
	working, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	tasks, working := errgroup.WithContext(working)
	for _, t := range a.tasks() {
		tasks.Go(func() error { return guarded(working, t) })
	}
	tasks.Go(func() error { // ended by ctx, by Close, and by the first of the others that fails
		select {
		case <-ctx.Done():
		case <-a.stop:
		case <-working.Done():
		}
		// The host's routes go first: until they are gone, packets come.
		err := a.release()
		end()
		return err
	})
	err := tasks.Wait()
	close(a.stopped)
	return errors.Join(err, a.Close())
}

func (a *Appliance) start() bool {
	a.life.Lock()
	defer a.life.Unlock()
	select {
	case <-a.stop:
		return false
	default:
	}
	first := !a.started
	a.started = true
	return first
}

// release has the host send nothing more; nothing can be applied after it.
func (a *Appliance) release() error {
	a.changing.Lock()
	defer a.changing.Unlock()
	if a.ending || a.steering == nil {
		return nil
	}
	a.ending = true
	return a.steering.Close()
}

// Close ends Run and gives everything back. Closing twice is harmless.
func (a *Appliance) Close() error {
	a.closing.Do(func() {
		a.life.Lock()
		close(a.stop)
		started := a.started
		a.life.Unlock()
		if started {
			<-a.stopped
		}
		var errs []error
		for i := len(a.cleanup) - 1; i >= 0; i-- {
			errs = append(errs, a.cleanup[i]())
		}
		a.err = errors.Join(errs...)
	})
	return a.err
}

// Config is the configuration in force.
func (a *Appliance) Config() *config.Config { return a.config.Load() }

// Task is work that lasts as long as the appliance.
type task interface {
	Run(context.Context) error
	Ready() <-chan struct{}
	String() string
}

func (a *Appliance) tasks() []task {
	list := []task{a.stack, a.steering, tidier{a}, after{a.stack.Ready(), a.segment}}
	if a.server != nil {
		list = append(list, a.server)
	}
	return append(list, &herald{of: list, ready: a.ready, log: a.log})
}

// guarded runs a task and turns its panic into an error: one line, and the
// other tasks still get their orderly end.
func guarded(ctx context.Context, t task) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%s: %s", t, Panicked(fault))
		}
	}()
	return t.Run(ctx)
}

// after is a task that begins when another is ready.
type after struct {
	other <-chan struct{}
	task
}

func (t after) Run(ctx context.Context) error {
	select {
	case <-t.other:
		return t.task.Run(ctx)
	case <-ctx.Done():
		return nil
	}
}

// herald is the task that says when all the others are ready.
type herald struct {
	of    []task
	ready chan struct{}
	log   *slog.Logger
}

func (h *herald) Ready() <-chan struct{} { return h.ready }
func (h *herald) String() string         { return "ready" }

// Run ends when all are ready, or ctx does.
func (h *herald) Run(ctx context.Context) error {
	for _, t := range h.of {
		select {
		case <-t.Ready():
		case <-ctx.Done():
			return nil
		}
	}
	close(h.ready)
	return nil
}
