package packet

// Action is what becomes of a frame.
type Action uint8

const (
	Pass  Action = iota // the stack's: deliver it locally, or route it on
	Emit                // rewritten; it leaves through Verdict.Port as it is
	Drop                // it ends here, for Verdict.Reason
	Hold                // copied by the hook; it comes back through Hook.Next
	Split               // an untouched super-packet: ask again about each of its segments
)

var actionNames = [...]string{Pass: "pass", Emit: "emit", Drop: "drop", Hold: "hold", Split: "split"}

func (a Action) String() string { return actionNames[a] }

// Answer is the error message that the sender of a dropped packet is owed.
// Whether it is really sent is the stack's to decide: never for errors,
// multicast or later fragments (RFC 1122 3.2.2), and at a bounded rate.
type Answer uint8

const (
	AnswerNone            Answer = iota
	AnswerTimeExceeded           // TTL or hop limit ran out
	AnswerTooBig                 // fragmentation needed / packet too big, with Verdict.MTU
	AnswerPortUnreachable        // nobody serves this port
	AnswerHostUnreachable        // the next hop does not answer
	AnswerNetUnreachable         // no route
)

// Verdict is the decision about one packet. It has no more than four fields,
// so that it is returned and passed on in registers and never through memory:
// four levels of calls hand it up, for every packet.
type Verdict struct {
	Action Action
	Reason Reason // of Drop; of Hold: what it waits for
	Answer Answer
	Exit
}

// Exit is where a packet leaves, or what keeps it from leaving.
type Exit struct {
	Port PortID // of Emit; NoPort in a bridge: where the destination MAC is
	MTU  uint16 // of AnswerTooBig
}

// Dropped is the verdict that ends a packet without an answer.
func Dropped(r Reason) Verdict { return Verdict{Action: Drop, Reason: r} }

// Reason says why a packet was dropped. Each is a counter's label and a line in
// the trace, so each has one meaning and is counted in one place: netstack's
// Drops.
type Reason uint8

const (
	OK Reason = iota // not dropped

	// Found by Parse: the frame contradicts itself.
	Truncated       // shorter than its headers say
	BadVersion      // IP version neither 4 nor 6, or not its EtherType's
	BadHeaderLength // IHL below 5, TCP data offset below 5, either past the end
	BadTotalLength  // IP total or UDP length below its header or past the end
	BadIPChecksum   // IPv4 header checksum
	SourceRoute     // IPv4 LSRR or SSRR (RFC 7126)
	BadOption       // IPv4 option that runs past its header
	RoutingHeader   // IPv6 type 0 routing header (RFC 5095)
	ExtensionChain  // more than 8 IPv6 extension headers, or out of order
	BadFragment     // fragment that ends past 65,535 or is no multiple of 8
	TinyFragment    // first fragment without its whole L4 header, or offset 8 (RFC 1858, 3128)
	BadOffload      // vnet header that does not describe the packet: checksum start, kind or size

	// Found by the port.
	ForeignMAC   // unicast frame for somebody else
	Tagged       // VLAN-tagged frame on a port that routes
	UnknownEther // neither IP nor ARP on a port that routes
	FromOurselves
	BridgeLoop     // came back to the bridge, or from a MAC that is at two ports at once
	BridgeReserved // to a group address that no bridge hands on (IEEE 802.1Q 8.6.3)

	// Found by the checks on a packet of no known flow.
	Land          // source equals destination
	Martian       // source or destination that cannot be on a wire
	SpoofedSource // source is one of our own addresses

	// Decided by the director.
	NoService     // a VIP, but no virtual service on this port
	NoReal        // the service has no real server to give
	NoFlow        // not an opening packet, and no flow knows it
	PoolExhausted // no source address and port is left for this real server
	TableFull     // no room for a new flow and none to evict
	ICMPQuote     // ICMP error whose quoted packet is too short or not ours
	ICMPNoFlow    // ICMP error about no known flow
	ICMPRedirect  // redirects are not followed
	FragOverlap   // fragments that overlap: the datagram is discarded
	FragDuplicate // a fragment that was seen already
	FragWait      // Hold only: the first fragment has not come
	FragTimeout   // the first fragment never came
	FragLimit     // the hold for fragments is full
	FlowTaken     // another live flow has the same addresses and ports behind weir
	UnknownICMP   // ICMP to a VIP that is neither echo nor error

	// Found on the way out.
	TTLExpired      // TTL or hop limit would reach 0
	NoRoute         // no route to the next hop
	NeighbourWait   // Hold only: the next hop's MAC is being asked for
	NeighbourFailed // the next hop does not answer ARP or NDP
	NeighbourLimit  // too many packets wait for next hops
	TooBig          // larger than the egress MTU, must not be fragmented
	NotForwarding   // not ours, and this topology does not route
	DeviceFull      // the egress device had no room (ENOBUFS, EAGAIN)
	DeviceError     // the egress device failed
	Rewriting       // the packet cannot be rewritten as asked: a fault in weir
	Untranslatable  // it says something that the other IP version has no words for (RFC 7915)

	// Found at either end of a tunnel.
	TunnelLoop        // going in: the source is the tunnel's far end (RFC 2003 3)
	NotTunnel         // neither the protocol nor the port of a tunnel that ends here
	TunnelFragment    // fragment of an outer packet: nobody puts it together here
	TunnelStranger    // outer source is no configured director
	TunnelTruncated   // ends within the encapsulation header or within what is inside
	TunnelHeader      // encapsulation header with a version, flag, VNI or protocol that is not taken
	TunnelChecksum    // outer UDP checksum or GRE checksum
	TunnelNested      // a tunnel inside the tunnel
	TunnelDestination // inner destination is no configured VIP
	TunnelECN         // congestion marked outside, sender inside cannot be told (RFC 6040 4.2)

	NumReasons
)

var reasonNames = [NumReasons]string{
	OK: "ok", Truncated: "truncated", BadVersion: "bad-version", BadHeaderLength: "bad-header-length",
	BadTotalLength: "bad-total-length", BadIPChecksum: "bad-ip-checksum", SourceRoute: "source-route",
	BadOption: "bad-option", RoutingHeader: "routing-header", ExtensionChain: "extension-chain",
	BadFragment: "bad-fragment", TinyFragment: "tiny-fragment", BadOffload: "bad-offload",
	ForeignMAC: "foreign-mac", Tagged: "vlan-tagged", UnknownEther: "unknown-ethertype", FromOurselves: "from-ourselves",
	BridgeLoop: "bridge-loop", BridgeReserved: "bridge-reserved",
	Land: "land", Martian: "martian", SpoofedSource: "spoofed-source",
	NoService: "no-service", NoReal: "no-real", NoFlow: "no-flow", PoolExhausted: "pool-exhausted", TableFull: "table-full",
	ICMPQuote: "icmp-bad-quote", ICMPNoFlow: "icmp-no-flow", ICMPRedirect: "icmp-redirect",
	FragOverlap: "fragment-overlap", FragDuplicate: "fragment-duplicate", FragWait: "fragment-wait", FragTimeout: "fragment-timeout", FragLimit: "fragment-limit",
	FlowTaken: "flow-taken", UnknownICMP: "unknown-icmp",
	TTLExpired: "ttl-expired", NoRoute: "no-route", NeighbourWait: "neighbour-wait",
	NeighbourFailed: "neighbour-failed", NeighbourLimit: "neighbour-limit", TooBig: "too-big",
	NotForwarding: "not-forwarding", DeviceFull: "device-full", DeviceError: "device-error", Rewriting: "rewrite-failed", Untranslatable: "untranslatable",
	TunnelLoop: "tunnel-loop", NotTunnel: "not-tunnel", TunnelFragment: "tunnel-fragment", TunnelStranger: "tunnel-stranger",
	TunnelTruncated: "tunnel-truncated", TunnelHeader: "tunnel-header", TunnelChecksum: "tunnel-checksum",
	TunnelNested: "tunnel-nested", TunnelDestination: "tunnel-destination", TunnelECN: "tunnel-ecn",
}

// String is the counter's label.
func (r Reason) String() string { return reasonNames[r] }
