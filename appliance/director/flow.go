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

// leg is what a flow remembers of its way out in one direction; the rest of the
// link header is the port's. It holds as long as the network's generation stays
// the same; generation 0 is never one.
type leg struct {
	dst        packet.MAC
	port       packet.PortID
	generation uint32
}

// flow is one connection, or one UDP conversation, through a virtual service.
// It has no pointer, so a million of them cost the collector nothing, and its
// size is two cache lines: TestFlowSize holds 160 bytes a flow, index included.
type flow struct {
	client, vip, real packet.Addr
	// local is whom the real server sees: the client, or with fullnat an
	// address of the pool.
	local                                    packet.Addr
	clientPort, vipPort, realPort, localPort uint16

	proto, version uint8
	realVersion    uint8 // of the packets on the real server's side
	method         Method

	delta packet.Delta // of a request's checksums, all rewrites together
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
	if dir == request {
		return packet.FlowKey{Src: f.client, Dst: f.vip, SrcPort: f.clientPort, DstPort: f.vipPort, Proto: f.proto, Version: f.version}
	}
	return packet.FlowKey{Src: f.real, Dst: f.local, SrcPort: f.realPort, DstPort: f.localPort, Proto: f.proto, Version: f.realVersion}
}

// matches reports whether a packet with key k belongs to this direction.
func (f *flow) matches(dir direction, k *packet.FlowKey) bool {
	if f.proto != k.Proto {
		return false
	}
	if dir == request {
		return f.clientPort == k.SrcPort && f.vipPort == k.DstPort && f.version == k.Version && f.client == k.Src && f.vip == k.Dst
	}
	return f.realPort == k.SrcPort && f.localPort == k.DstPort && f.realVersion == k.Version && f.real == k.Src && f.local == k.Dst
}

// newFlow is a flow for key k to real server r. Nothing of it is stored yet, and
// with fullnat its local end is still the client.
func newFlow(k *packet.FlowKey, m Method, r *Real, now time.Duration) flow {
	f := flow{
		client: k.Src, vip: k.Dst, real: r.addr, local: k.Src,
		clientPort: k.SrcPort, vipPort: k.DstPort, realPort: r.Addr.Port(), localPort: k.SrcPort,
		proto: k.Proto, version: k.Version, realVersion: 6, method: m, server: r.id, seen: tickOf(now),
	}
	if r.addr.Is4() {
		f.realVersion = 4
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

// from gives the flow an address of the pool as its local end.
func (f *flow) from(local *packet.Addr, port uint16) {
	f.local, f.localPort = *local, port
	f.delta = f.delta.Plus(packet.DeltaOf(&f.client, local, f.clientPort, port))
}
