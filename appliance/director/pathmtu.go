package director

import (
	"math"
	"sync/atomic"
	"time"

	"weir/netstack/packet"
	"weir/tunnel"
)

// pathMTULife is how long a reported path MTU is believed (RFC 1191 6.3).
const pathMTULife = tick(10 * time.Minute / tickLength)

// pathMTU is what routers on the way to a tunnel's far end have reported: the
// MTU above the tick until which it is believed, in one word.
type pathMTU struct{ word atomic.Uint64 }

// pathMTU is the largest outer packet, in bytes, that the way to the real
// server is known to carry; without a report there is no limit.
func (y *tally) pathMTU(now time.Duration) int {
	w := y.path.word.Load()
	if w == 0 || tickOf(now) >= tick(w) {
		return math.MaxInt32
	}
	return int(w >> 32)
}

// learnPathMTU notes the MTU that an ICMP error about an outer packet reports.
// It says whether the error was about one; then it has done its work, since the
// client is told when its next packet does not fit.
func (t *Table) learnPathMTU(now time.Duration, p *packet.Packet) bool {
	about := false
	for _, r := range t.tunnels {
		if !r.Encap.Sent(p) {
			continue
		}
		about = true
		if mtu, ok := tunnel.ReportedMTU(p); ok && mtu < r.pathMTU(now) {
			r.path.word.Store(uint64(mtu)<<32 | uint64(tickOf(now)+pathMTULife))
		}
	}
	return about
}
