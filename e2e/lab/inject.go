package lab

import (
	"fmt"
	"io"
	"sync"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// frameMin is the least that is a frame: an Ethernet header.
const frameMin = 14

func checkFrame(node string, frame []byte) error {
	if len(frame) < frameMin {
		return fmt.Errorf("inject at %s: %d bytes are no frame; it has %d at least", node, len(frame), frameMin)
	}
	return nil
}

// simInjector writes to the wire that a node's own stack writes to as well.
type simInjector struct {
	node string
	wire device.Device

	mu     sync.Mutex
	p      packet.Packet
	closed bool
}

func (w *simWorld) Inject(node, segment string) (io.WriteCloser, error) {
	w.Host(node)
	wire := w.wires[[2]string{node, segment}]
	if wire == nil {
		return nil, fmt.Errorf("inject at %s on %s: it has no interface there", node, segment)
	}
	return &simInjector{node: node, wire: wire}, nil
}

func (i *simInjector) Write(frame []byte) (int, error) {
	if err := checkFrame(i.node, frame); err != nil {
		return 0, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return 0, fmt.Errorf("inject at %s: %w", i.node, io.ErrClosedPipe)
	}
	i.p.Load(frame)
	if err := i.wire.Write(&i.p); err != nil {
		return 0, fmt.Errorf("inject at %s: %w", i.node, err)
	}
	return len(frame), nil
}

// Close ends the way; the wire is the node's.
func (i *simInjector) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	return nil
}
