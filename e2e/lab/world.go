package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"time"

	"weir/netstack/device"
)

// World is a topology that has come to life. Its methods may be called
// concurrently.
type World interface {
	// Name is "sim" or "kernel".
	Name() string
	// Host is the live side of a node. It panics if the topology has none of
	// that name: that is a slip in the caller's text, not a state of the world.
	Host(name string) Host
	// Weir is the place that the topology keeps for weir.
	Weir() Place
	// Capture begins to record every frame that the node's interface on the
	// segment sends and receives.
	Capture(node, segment string) (*Capture, error)
	// Inject opens a way to put frames on the segment past the node's own stack:
	// each Write is one frame, sent by the node's interface as it is, right or
	// wrong. A frame has 14 bytes at least and must fit the segment's MTU.
	Inject(node, segment string) (io.WriteCloser, error)
	// Close ends what runs in the world, programs included, and takes the world
	// apart. Connections and listeners that are still open stop working;
	// closing them remains their owners' business.
	Close() error
}

// Host is one station. Addresses are literal, for both worlds alike ("10.1.0.11:80",
// "[fd00:1::11]:80"), networks are those of package net: tcp, tcp4, tcp6, udp,
// udp4 and udp6.
type Host interface {
	Name() string
	// Addr4 and Addr6 are the node's first addresses.
	Addr4() netip.Addr
	Addr6() netip.Addr
	Listen(network, address string) (net.Listener, error)
	ListenPacket(network, address string) (net.PacketConn, error)
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	// Ping sends one ICMP or ICMPv6 echo request and returns when its reply has
	// come, with the round-trip time; or an ICMP error that says why none will,
	// or ctx's end.
	Ping(ctx context.Context, dst netip.Addr) (time.Duration, error)
}

// Place is where weir runs.
type Place interface {
	// Open makes one of weir's devices there. The name is that of a port's
	// device; in the simulation the world knows everything else better than the
	// Config does. In the kernel world a program that runs there may as well
	// make the device itself: a TAP joins its segment however it comes about.
	Open(device.Config) (device.Device, error)
	// Config is the head of a configuration that fits the place, in YAML:
	// topology, ports and routes. Services and the rest are the caller's.
	Config() string
	// Do runs f there: in the kernel world on a thread inside weir's network
	// namespace, so that sockets and devices which f itself opens are made
	// there. Goroutines that f starts are elsewhere.
	Do(f func() error) error
}

// Starter is what can run programs: every Host and the Place of a kernel world.
type Starter interface {
	// Start starts cmd there, in a process group of its own. The world ends it
	// at Close if it still runs. The caller must not wait for cmd itself.
	Start(cmd *exec.Cmd) (Process, error)
}

// Process is a program that was started in a world.
type Process interface {
	Pid() int
	// Done is closed when the program has ended.
	Done() <-chan struct{}
	// Wait returns when the program has ended, with exec.Cmd.Wait's error.
	Wait() error
	// Signal sends s to the program alone; that it has ended is no error.
	Signal(s os.Signal) error
	// Stop ends the program and what it started: SIGTERM, then after two
	// seconds SIGKILL. It returns when the program has ended.
	Stop()
}

// errClosed is what every method of a closed world answers.
var errClosed = errors.New("the world is closed")

// literal reads an address. Names have no meaning in a world, and in the kernel
// world would send package net to a resolver on another thread.
func literal(n *Node, what, address string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return a, fmt.Errorf("on %s: %s %q: the address must be literal, as 10.1.0.11:80 or [fd00:1::11]:80: %w", n.Name, what, address, err)
	}
	return a, nil
}

// What an ICMP error says about a ping, in the words of the RFCs.
const (
	destinationUnreachable = "destination unreachable"
	timeExceeded           = "time exceeded"
	tooBig                 = "packet too big"
)

func unreachable(from netip.Addr, says string) error {
	return fmt.Errorf("%s says: %s", from, says)
}
