package director

import (
	"time"

	"weir/netstack/packet"
)

// direction tells the two ways through a flow apart.
type direction uint8

const (
	request direction = iota // from the client to the real server
	reply                    // and back
)

// leg is what a flow remembers of its way out in one direction. It holds as
// long as the network's generation stays the same; generation 0 is never one.
type leg struct {
	hop        packet.Hop
	generation uint32
}

// flow is one connection, or one UDP conversation, through a virtual service.
// It has no pointer, so a million of them cost the collector nothing, and its
// size is two cache lines: TestFlowSize holds 160 bytes a flow, index included.
type flow struct {
	client, vip, real             packet.Addr
	clientPort, vipPort, realPort uint16
	proto, version                uint8

	delta packet.Delta // of the checksums when vip:vipPort becomes real:realPort
	state State
	list  listID // the list of the shard it is linked in
	seen  tick   // last packet of the flow, or start of the state while half-open

	server     uint32 // the real's id in the Table
	self       ref    // its own place in the slab
	next, prev ref    // in that list
	legs       [2]leg
}

// towards is the address that packets of a direction are sent to.
func (f *flow) towards(dir direction) *packet.Addr {
	if dir == request {
		return &f.real
	}
	return &f.client
}

// key is what the flow's packets look like when they arrive, per direction.
func (f *flow) key(dir direction) packet.FlowKey {
	k := packet.FlowKey{Src: f.client, Dst: f.vip, SrcPort: f.clientPort, DstPort: f.vipPort, Proto: f.proto, Version: f.version}
	if dir == reply {
		k.Src, k.SrcPort, k.Dst, k.DstPort = f.real, f.realPort, f.client, f.clientPort
	}
	return k
}

// matches reports whether a packet with key k belongs to this direction.
func (f *flow) matches(dir direction, k *packet.FlowKey) bool {
	if f.proto != k.Proto || f.version != k.Version {
		return false
	}
	if dir == request {
		return f.clientPort == k.SrcPort && f.vipPort == k.DstPort && f.client == k.Src && f.vip == k.Dst
	}
	return f.realPort == k.SrcPort && f.clientPort == k.DstPort && f.real == k.Src && f.client == k.Dst
}

// newFlow is a flow for key k to real server r. Nothing of it is stored yet.
func newFlow(k *packet.FlowKey, r *Real, now time.Duration) flow {
	f := flow{
		client: k.Src, vip: k.Dst, real: r.addr, clientPort: k.SrcPort, vipPort: k.DstPort, realPort: r.Addr.Port(),
		proto: k.Proto, version: k.Version, server: r.id, seen: tickOf(now),
	}
	if f.realPort == 0 { // an all-ports service keeps the port
		f.realPort = k.DstPort
	}
	f.delta = packet.DeltaOf(&f.vip, &f.real, f.vipPort, f.realPort)
	f.state = UDPNew
	if k.Proto == packet.TCP {
		f.state = SynSent
	}
	return f
}
