package netstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	gvisor "gvisor.dev/gvisor/pkg/tcpip/stack"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// Stack is a host, and if told so a router, over its ports. It is a task: Run
// does its work until it is told to stop.
type Stack struct {
	ports      []*port
	links      []*port // those that speak IP: the ports, or a bridge's one
	bridge     *bridge // nil: each port is a link of its own
	routes     *routeTable
	broadcasts []packet.Addr // of all ports' IPv4 networks
	forwarding bool
	log        *slog.Logger
	clock      func() time.Duration
	hook       Hook
	tap        atomic.Pointer[Tap]

	owners     atomic.Pointer[ownerTable]
	ownersMu   sync.Mutex // serializes changes of owners
	generation atomic.Uint32
	resolver   resolver

	answerLimit *answerLimit
	stats       stackStats
	workers     sync.Pool
	returns     chan returned

	quiet    sync.Mutex // guards what follows
	panicLog bucket
	defences bucket

	host *gvisor.Stack

	life    sync.Mutex // guards started
	started bool
	ready   chan struct{}
	stop    chan struct{} // closed when Run or Close begins to end
	stopped chan struct{} // closed when Run has ended
	ending  sync.Once
	closing sync.Once
}

// New builds a Stack; nothing is read before Run.
func New(cfg Config) (*Stack, error) {
	s, err := build(cfg)
	if err != nil {
		for _, p := range cfg.Ports {
			if p.Device != nil {
				_ = p.Device.Close()
			}
		}
		return nil, err
	}
	return s, nil
}

func build(cfg Config) (*Stack, error) {
	if err := checkPorts(cfg.Ports); err != nil {
		return nil, err
	}
	onLinks, via := cfg.Ports, cfg.Routes
	if cfg.Bridge {
		var err error
		if onLinks, via, err = bridgeConfig(cfg); err != nil {
			return nil, err
		}
	}
	routes, err := buildRoutes(onLinks, via)
	if err != nil {
		return nil, err
	}
	s := &Stack{
		routes:      routes,
		forwarding:  cfg.Forward,
		log:         cfg.Log,
		clock:       cfg.Clock,
		answerLimit: newAnswerLimit(),
		resolver:    resolver{table: newNeighbours(), held: newHold()},
		returns:     make(chan returned, 64),
		panicLog:    bucket{rate: 1, burst: 3},
		defences:    bucket{rate: 1, burst: 3},
		ready:       make(chan struct{}),
		stop:        make(chan struct{}),
		stopped:     make(chan struct{}),
	}
	s.workers.New = func() any { return &worker{s: s} }
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.clock == nil {
		start := time.Now()
		s.clock = func() time.Duration { return time.Since(start) }
	}
	for i, c := range cfg.Ports {
		p := newPort(packet.PortID(i), c)
		p.nic.stack = s
		s.ports = append(s.ports, p)
	}
	s.broadcasts = broadcastsOf(s.ports)
	s.links = s.ports
	if cfg.Bridge {
		s.bridge = newBridge(s)
		s.links = []*port{s.bridge.link}
	}
	s.owners.Store(ownersOf(s.links))
	if s.host, err = newHost(s.links, routes); err != nil {
		s.host.Destroy()
		return nil, err
	}
	return s, nil
}

// checkPorts refuses what the ports themselves have wrong.
func checkPorts(ports []PortConfig) error {
	if len(ports) == 0 || len(ports) > int(packet.NoPort) {
		return fmt.Errorf("netstack: %d ports; configure 1 to %d", len(ports), packet.NoPort)
	}
	names := map[string]bool{}
	for i, p := range ports {
		switch {
		case p.Name == "":
			return fmt.Errorf("netstack: port %d has no name; give it one", i+1)
		case names[p.Name]:
			return fmt.Errorf("netstack: two ports are named %s; rename one", p.Name)
		case p.Device == nil:
			return fmt.Errorf("netstack: port %s has no device; give it one", p.Name)
		}
		names[p.Name] = true
		for _, a := range p.Addresses {
			if !a.IsValid() || a.Addr().IsMulticast() || a.Addr().IsUnspecified() || a.Addr().Is4In6() {
				return fmt.Errorf("netstack: port %s: %s is no address of a host; correct it", p.Name, a)
			}
		}
	}
	return nil
}

// SetHook installs the hook; before Run only. Without one every packet passes.
func (s *Stack) SetHook(h Hook) { s.hook = h }

// Ready is closed when every receive loop is about to read.
func (s *Stack) Ready() <-chan struct{} { return s.ready }

// String names the task.
func (s *Stack) String() string { return "netstack" }

// Run reads and processes frames until ctx ends or Close is called (nil), or a
// device is lost (an error that names the port). It closes the devices, and
// runs once only.
func (s *Stack) Run(ctx context.Context) error {
	if !s.start() {
		return errors.New("netstack: it runs already or was closed; build a new one")
	}
	defer close(s.stopped)
	tasks, ctx := errgroup.WithContext(ctx)
	var reading sync.WaitGroup
	for _, p := range s.ports {
		for q := range p.dev.Queues() {
			reading.Add(1)
			tasks.Go(func() error { return s.receive(p, q, reading.Done) })
		}
	}
	tasks.Go(s.keepTime)
	// Ended by ctx, by Close, and by the first of the others that fails.
	tasks.Go(func() error {
		reading.Wait()
		close(s.ready)
		select {
		case <-ctx.Done():
		case <-s.stop:
		}
		return s.end()
	})
	return tasks.Wait()
}

func (s *Stack) start() bool {
	s.life.Lock()
	defer s.life.Unlock()
	select {
	case <-s.stop:
		return false
	default:
	}
	if s.started {
		return false
	}
	s.started = true
	return true
}

// end closes the devices, which ends the receive loops.
func (s *Stack) end() (err error) {
	s.ending.Do(func() {
		close(s.stop)
		for _, p := range s.ports {
			if e := p.dev.Close(); e != nil && !errors.Is(e, device.ErrClosed) {
				err = errors.Join(err, fmt.Errorf("netstack: port %s: close device: %w", p.name, e))
			}
		}
	})
	return err
}

// Close ends Run, the sockets and every goroutine, and waits for them. Closing
// twice is harmless.
func (s *Stack) Close() (err error) {
	s.closing.Do(func() {
		s.life.Lock()
		started := s.started
		err = s.end()
		s.life.Unlock()
		if started {
			<-s.stopped
		}
		// Only now: the loops deliver into gVisor, which waits for nobody.
		s.host.Destroy()
	})
	return err
}

// receive is the loop of one queue: run to completion, nothing between reading
// a frame and the fate of it. It ends when the device is closed or gone.
func (s *Stack) receive(in *port, queue int, reading func()) error {
	if !in.sharedThread {
		// The read blocks the thread in the kernel; with a thread of its own
		// nobody has to be found to take over what else it would run.
		runtime.LockOSThread()
		if !preferred() {
			defer runtime.UnlockOSThread()
		} // else the thread ends with this goroutine: nobody else is to inherit it
	}
	w := &worker{s: s}
	w.frame.Store = make([]byte, device.BufferSize)
	reading()
	for {
		again, err := s.read(w, in, queue)
		if !again {
			return err
		}
	}
}
