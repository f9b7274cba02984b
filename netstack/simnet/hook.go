package simnet

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/netstack"
	"weir/netstack/packet"
)

// hook is what a node has below its stack: the policy of a router, and an ear
// for the answers to its pings.
type hook struct {
	stack *netstack.Stack
	rules atomic.Pointer[[]rule]

	mu      sync.Mutex
	lastID  uint16
	waiting map[echo]chan<- Reply // one place each, filled once
	any     atomic.Int32          // len(waiting), to be asked about for every packet
}

func newHook() *hook {
	k := &hook{waiting: make(map[echo]chan<- Reply)}
	k.rules.Store(new([]rule))
	return k
}

// Ingress implements netstack.Hook.
func (k *hook) Ingress(_ time.Duration, in packet.PortID, p *packet.Packet) packet.Verdict {
	if k.any.Load() > 0 && (p.Proto == packet.ICMP || p.Proto == packet.ICMPv6) {
		k.listen(p)
	}
	rules := *k.rules.Load()
	for i := range rules {
		if rules[i].matches(in, p) && !k.stack.Local(p.Dst()) {
			return rules[i].divert(p)
		}
	}
	return packet.Verdict{Action: packet.Pass}
}

// Next implements netstack.Hook: nothing is held.
func (k *hook) Next(time.Duration, *packet.Packet) (packet.PortID, packet.Verdict, bool) {
	return packet.NoPort, packet.Verdict{}, false
}

// Tick implements netstack.Hook: nothing is timed.
func (k *hook) Tick(time.Duration) {}
