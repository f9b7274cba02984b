package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"weir/netstack/packet"
	"weir/netstack/simnet"
)

// simHost is a node with a stack of its own in this process.
type simHost struct {
	world *simWorld
	node  *Node
	host  *simnet.Host
}

func (h *simHost) Name() string      { return h.node.Name }
func (h *simHost) Addr4() netip.Addr { return h.node.Addr4() }
func (h *simHost) Addr6() netip.Addr { return h.node.Addr6() }

func (h *simHost) Listen(network, address string) (net.Listener, error) {
	at, err := h.literal("listen", address)
	if err != nil {
		return nil, err
	}
	ln, err := h.host.Listen(network, at)
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", h.node.Name, err)
	}
	return ln, nil
}

func (h *simHost) ListenPacket(network, address string) (net.PacketConn, error) {
	at, err := h.literal("listen", address)
	if err != nil {
		return nil, err
	}
	conn, err := h.host.ListenPacket(network, at)
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", h.node.Name, err)
	}
	return conn, nil
}

func (h *simHost) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := h.literal("dial", address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.world.alive, cancel)()
	conn, err := h.host.Dial(ctx, network, netip.AddrPort{}, to)
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", h.node.Name, err)
	}
	return conn, nil
}

// literal is what both worlds ask of an address, and that the world is open.
func (h *simHost) literal(what, address string) (netip.AddrPort, error) {
	if h.world.alive.Err() != nil {
		return netip.AddrPort{}, fmt.Errorf("on %s: %w", h.node.Name, errClosed)
	}
	return literal(h.node, what, address)
}

func (h *simHost) Ping(ctx context.Context, dst netip.Addr) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.world.alive, cancel)()
	reply, err := h.host.Ping(ctx, simnet.Ping{To: dst})
	if err == nil && reply.Error != packet.AnswerNone {
		err = unreachable(reply.From, answers[reply.Error])
	}
	if err != nil {
		return 0, fmt.Errorf("on %s: ping %s: %w", h.node.Name, dst, err)
	}
	return reply.After, nil
}

var answers = map[packet.Answer]string{
	packet.AnswerTimeExceeded:    timeExceeded,
	packet.AnswerTooBig:          tooBig,
	packet.AnswerPortUnreachable: destinationUnreachable,
	packet.AnswerHostUnreachable: destinationUnreachable,
	packet.AnswerNetUnreachable:  destinationUnreachable,
}
