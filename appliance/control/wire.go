// Package control is the operator's way into a running weir: HTTP and JSON
// over a unix socket.
//
// It defines what is said there and bounds who may say how much; what a
// service or a flow is it does not know. Package appliance fills these types.
package control

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Version says who answers.
type Version struct {
	Version  string    `json:"version"`
	Go       string    `json:"go"`
	Platform string    `json:"platform"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
}

// Snapshot is what the appliance is and has counted, at one moment. Each
// counter is exact; between two of them a packet may have passed.
type Snapshot struct {
	Services   []Service   `json:"services"` // in file order
	Neighbours []Neighbour `json:"neighbours"`
	Counters   Counters    `json:"counters"`
}

// Service is a virtual service in force.
type Service struct {
	Name      string         `json:"name"`
	VIP       netip.AddrPort `json:"vip"` // port 0: all ports
	Protocol  string         `json:"protocol"`
	Method    string         `json:"method"`
	Scheduler string         `json:"scheduler"`
	Reals     []Real         `json:"reals"` // in file order
}

// Real is a real server of one service.
type Real struct {
	Service  string         `json:"service"`
	Name     string         `json:"name"`
	Address  netip.AddrPort `json:"address"` // port 0: the client's
	Weight   int            `json:"weight"`
	Active   int64          `json:"active"`   // flows that carry data or are about to
	Inactive int64          `json:"inactive"` // all other flows: closing ones, and UDP
	Created  uint64         `json:"created"`  // flows ever given to it
	Traffic  Traffic        `json:"traffic"`
}

// Traffic is what went through, in IP packets and their bytes, seen from the
// clients.
type Traffic struct {
	RequestPackets uint64 `json:"request_packets"`
	RequestBytes   uint64 `json:"request_bytes"`
	ReplyPackets   uint64 `json:"reply_packets"`
	ReplyBytes     uint64 `json:"reply_bytes"`
}

// Add is the sum of both.
func (t Traffic) Add(u Traffic) Traffic {
	return Traffic{
		RequestPackets: t.RequestPackets + u.RequestPackets, RequestBytes: t.RequestBytes + u.RequestBytes,
		ReplyPackets: t.ReplyPackets + u.ReplyPackets, ReplyBytes: t.ReplyBytes + u.ReplyBytes,
	}
}

// Flow is one connection, or one UDP conversation.
type Flow struct {
	Protocol string         `json:"protocol"`
	Client   netip.AddrPort `json:"client"`
	VIP      netip.AddrPort `json:"vip"`
	Address  netip.AddrPort `json:"address"` // of the real server
	Service  string         `json:"service"`
	Real     string         `json:"real"`
	State    string         `json:"state"`
	Idle     float64        `json:"idle_seconds"` // since the last packet
	Left     float64        `json:"left_seconds"` // until it would be forgotten
}

// Neighbour is one row of the neighbour table.
type Neighbour struct {
	Port      string     `json:"port"`
	Address   netip.Addr `json:"address"`
	MAC       string     `json:"mac"` // "" while it is not known
	State     string     `json:"state"`
	Contested bool       `json:"contested"` // another station claims the address
	Age       float64    `json:"age_seconds"`
}

// Counters are all counters since the start.
type Counters struct {
	Ports []Port            `json:"ports"`
	Stack map[string]uint64 `json:"stack"` // delivered, forwarded, answers, ...
	Flows Flows             `json:"flows"`
	Held  Held              `json:"held"`
}

// Port counts what one port did.
type Port struct {
	Name     string            `json:"name"`
	RxFrames uint64            `json:"rx_frames"`
	RxBytes  uint64            `json:"rx_bytes"`
	TxFrames uint64            `json:"tx_frames"`
	TxBytes  uint64            `json:"tx_bytes"`
	Drops    map[string]uint64 `json:"drops"` // by reason, every reason
}

// Flows counts the flow table's entries.
type Flows struct {
	Live    int64  `json:"live"`
	Limit   int64  `json:"limit"`
	Created uint64 `json:"created"`
	Expired uint64 `json:"expired"`
	Evicted uint64 `json:"evicted"` // made room for others
	// Replaced are flows that were over, whose addresses and ports began anew.
	Replaced uint64 `json:"replaced"`
}

// Held counts copies of frames that wait now.
type Held struct {
	Frames    int `json:"frames"`
	Bytes     int `json:"bytes"`
	Datagrams int `json:"datagrams"` // fragmented ones that are known or waited for
}

// Explanation is what becomes of a packet, and why.
type Explanation struct {
	Packet  string   `json:"packet"`  // as it was understood
	Ingress string   `json:"ingress"` // port that it comes in by
	Offline bool     `json:"offline"` // no weir was asked: the network is what the file says
	Steps   []Step   `json:"steps"`
	Verdict string   `json:"verdict"`          // emit, pass, drop or hold
	Reason  string   `json:"reason,omitempty"` // of drop and hold
	Answer  string   `json:"answer,omitempty"` // ICMP error that the sender gets
	Egress  string   `json:"egress,omitempty"` // port that it leaves by
	Service string   `json:"service,omitempty"`
	Real    string   `json:"real,omitempty"`
	Result  string   `json:"result,omitempty"` // the packet as it leaves
	Headers []Header `json:"headers"`          // every field, before and after
}

// Step is one question on a packet's way, and its answer.
type Step struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
}

// Header is one header field before and after. After is "" where the packet
// does not leave.
type Header struct {
	Field   string `json:"field"`
	Before  string `json:"before"`
	After   string `json:"after"`
	Changed bool   `json:"changed"`
}

// Plan is the list of changes that lead from one configuration to another.
type Plan struct {
	Changes []Change `json:"changes"`
}

// Empty reports that nothing changes.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// Restarts are the changes that a running weir cannot make.
func (p Plan) Restarts() []Change {
	var all []Change
	for _, c := range p.Changes {
		if c.Restart {
			all = append(all, c)
		}
	}
	return all
}

// String is one line a change.
func (p Plan) String() string {
	if p.Empty() {
		return "nothing changes"
	}
	lines := make([]string, len(p.Changes))
	for i, c := range p.Changes {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}

// Actions of a Change.
const (
	Add    = "add"
	Remove = "remove"
	Modify = "change"
)

// Change is one change of a configuration.
type Change struct {
	Action  string `json:"action"`         // add, remove or change
	What    string `json:"what"`           // "service web", "real r1 of web", "topology"
	Key     string `json:"key,omitempty"`  // of change: "weight"
	From    string `json:"from,omitempty"` // of remove and change
	To      string `json:"to,omitempty"`   // of add and change
	Restart bool   `json:"restart"`        // takes effect at the next start only
}

// String is the change as one line.
func (c Change) String() string {
	s := c.Action + " " + c.What
	switch c.Action {
	case Add:
		s += suffix(": ", c.To)
	case Remove:
		s += suffix(": ", c.From)
	default:
		s += suffix(" ", c.Key) + fmt.Sprintf(": %s -> %s", orNone(c.From), orNone(c.To))
	}
	if c.Restart {
		s += " (needs a restart)"
	}
	return s
}

func suffix(sep, s string) string {
	if s == "" {
		return ""
	}
	return sep + s
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Fault is one thing wrong with a configuration file.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Col     int    `json:"column"`
	Message string `json:"message"`
}

func (f Fault) String() string { return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Col, f.Message) }

// Faults is everything wrong with a file, as an error.
type Faults []Fault

// Error is one line a fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}
