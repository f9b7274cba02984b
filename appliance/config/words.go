package config

import (
	"fmt"
	"log/slog"
)

// choice is one word of the file and what it means. The tables below are the
// only place where a word is written down: decoding, printing, suggestions and
// the list of what is available all read them.
type choice[T number] struct {
	word  string
	value T
}

type number interface{ ~uint8 | ~int }

// word is the word for v; a number no table knows prints as itself.
func word[T number](choices []choice[T], v T) string {
	for _, c := range choices {
		if c.value == v {
			return c.word
		}
	}
	return fmt.Sprintf("%T(%d)", v, int(v))
}

// Topology is how the appliance is wired.
type Topology uint8

const (
	TopologyHost    Topology = iota // one TUN; the host routes VIPs into it
	TopologyOneArm                  // one TAP on one segment
	TopologyRouted                  // two or more TAPs; weir is the real servers' gateway
	TopologyBridged                 // two TAPs, one broadcast domain, weir in the wire
)

var topologies = []choice[Topology]{
	{"host", TopologyHost}, {"one-arm", TopologyOneArm}, {"routed", TopologyRouted}, {"bridged", TopologyBridged},
}

func (t Topology) String() string { return word(topologies, t) }

// PortKind is the kind of device behind a port.
type PortKind uint8

const (
	PortTAP PortKind = iota // Ethernet frames
	PortTUN                 // IP packets
)

var portKinds = []choice[PortKind]{{"tap", PortTAP}, {"tun", PortTUN}}

func (k PortKind) String() string { return word(portKinds, k) }

// Protocol is the transport protocol of a service, by its IP protocol number.
type Protocol uint8

const (
	ProtocolTCP Protocol = 6
	ProtocolUDP Protocol = 17
)

var protocols = []choice[Protocol]{{"tcp", ProtocolTCP}, {"udp", ProtocolUDP}}

func (p Protocol) String() string { return word(protocols, p) }

// Method is what happens to a packet of a virtual service.
type Method uint8

const (
	MethodNAT     Method = iota // destination becomes the real server; replies come back through weir
	MethodFullNAT               // and the source becomes an address of the pool
	MethodDSR                   // only the destination MAC changes; replies go straight to the client
	MethodTunnel                // the packet travels inside another one; replies go straight to the client
	MethodProxy                 // the connection ends in weir, a new one begins
)

var methods = []choice[Method]{
	{"nat", MethodNAT}, {"fullnat", MethodFullNAT}, {"dsr", MethodDSR}, {"tunnel", MethodTunnel}, {"proxy", MethodProxy},
}

func (m Method) String() string { return word(methods, m) }

// Scheduler is how a real server is chosen for a new flow.
type Scheduler uint8

const (
	SchedulerRR Scheduler = iota
	SchedulerWRR
	SchedulerLC
	SchedulerWLC
	SchedulerSED
	SchedulerNQ
	SchedulerLBLC
	SchedulerLBLCR
	SchedulerDH
	SchedulerSH
	SchedulerFO
	SchedulerOVF
	SchedulerMH
	SchedulerTWOS
	SchedulerFirst
	SchedulerRandom
	SchedulerMaglev
)

var schedulers = []choice[Scheduler]{
	{"rr", SchedulerRR}, {"wrr", SchedulerWRR}, {"lc", SchedulerLC}, {"wlc", SchedulerWLC},
	{"sed", SchedulerSED}, {"nq", SchedulerNQ}, {"lblc", SchedulerLBLC}, {"lblcr", SchedulerLBLCR},
	{"dh", SchedulerDH}, {"sh", SchedulerSH}, {"fo", SchedulerFO}, {"ovf", SchedulerOVF},
	{"mh", SchedulerMH}, {"twos", SchedulerTWOS}, {"first", SchedulerFirst}, {"random", SchedulerRandom},
	{"maglev", SchedulerMaglev},
}

func (s Scheduler) String() string { return word(schedulers, s) }

// AffinityKey is what makes two packets come from one client.
type AffinityKey uint8

const AffinitySource AffinityKey = iota // the source address

var affinityKeys = []choice[AffinityKey]{{"source", AffinitySource}}

func (k AffinityKey) String() string { return word(affinityKeys, k) }

// CheckKind is the question that a health check asks.
type CheckKind uint8

const (
	CheckTCP  CheckKind = iota // does it accept a connection
	CheckHTTP                  // does it answer GET with 2xx or 3xx
)

var checkKinds = []choice[CheckKind]{{"tcp", CheckTCP}, {"http", CheckHTTP}}

func (k CheckKind) String() string { return word(checkKinds, k) }

// CookieMode is what the proxy does to the cookie of an answer.
type CookieMode uint8

const (
	CookieInsert  CookieMode = iota // weir adds its own
	CookieRewrite                   // weir replaces the value of the server's
	CookiePrefix                    // weir puts its word before the server's value
)

var cookieModes = []choice[CookieMode]{{"insert", CookieInsert}, {"rewrite", CookieRewrite}, {"prefix", CookiePrefix}}

func (m CookieMode) String() string { return word(cookieModes, m) }

// TunnelType is an encapsulation format.
type TunnelType uint8

const (
	TunnelIPIP TunnelType = iota
	TunnelGRE
	TunnelGUE
	TunnelVXLAN
)

var tunnelTypes = []choice[TunnelType]{
	{"ipip", TunnelIPIP}, {"gre", TunnelGRE}, {"gue", TunnelGUE}, {"vxlan", TunnelVXLAN},
}

func (t TunnelType) String() string { return word(tunnelTypes, t) }

// Fragment is what becomes of a packet that its outer header makes too large.
type Fragment uint8

const (
	FragmentNever Fragment = iota // its sender is told what fits
	FragmentOuter                 // the outer packet is fragmented
)

var fragments = []choice[Fragment]{{"never", FragmentNever}, {"outer", FragmentOuter}}

func (f Fragment) String() string { return word(fragments, f) }

// LogFormat is the shape of a log line.
type LogFormat uint8

const (
	LogText LogFormat = iota
	LogJSON
)

var logFormats = []choice[LogFormat]{{"text", LogText}, {"json", LogJSON}}

func (f LogFormat) String() string { return word(logFormats, f) }

var logLevels = []choice[slog.Level]{
	{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError},
}
