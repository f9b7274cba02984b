package appliance

import (
	"strings"
	"testing"
	"time"

	"weir/netstack/packet"
)

// pass sends a packet to weir and returns the next that comes out.
func (c *cables) pass(t *testing.T, port, text string) string {
	t.Helper()
	var p packet.Packet
	if err := packet.Build(&p, text); err != nil {
		t.Fatal(err)
	}
	if err := c.far[port].Write(&p); err != nil {
		t.Fatal(err)
	}
	if err := c.far[port].Read(0, &p); err != nil {
		t.Fatal(err)
	}
	if why := p.Parse(packet.LinkRaw); why != packet.OK {
		t.Fatal(why)
	}
	return p.String()
}

// While a real server that left the configuration has flows, the host sends
// their replies into the TUN. Past weir they would reach the client
// untranslated, who would refuse them with RST.
func TestRepliesOfALeavingRealServerComeUntilItsFlowsEnd(t *testing.T) {
	h := &recordingHost{}
	a, c := start(t, hosted+"timeouts: {syn-recv: 1s}\n", func(o *Options) { o.Host = h })
	if got := c.pass(t, "tun", "tcp 10.1.0.9:4000 > 192.0.2.10:80 S"); !strings.Contains(got, "> 10.2.0.11:8080") {
		t.Fatalf("the flow begins with %s", got)
	}
	apply(t, a, changed(t, hosted, "10.2.0.11:8080", "10.2.0.12:8080")+"timeouts: {syn-recv: 1s}\n")
	leaving := "protocol 6 from 10.2.0.11:8080, protocol 1 from 10.2.0.11"
	a.tidy(a.clock() + tidyEvery)
	if s := h.story(); !strings.HasSuffix(s, ", "+leaving) {
		t.Errorf("with a flow that goes on, the host was asked\n%s", s)
	}
	if got := c.pass(t, "tun", "tcp 10.2.0.11:8080 > 10.1.0.9:4000 SA"); !strings.HasPrefix(got, "tcp 192.0.2.10:80 > 10.1.0.9:4000 SA") {
		t.Errorf("a reply of it left as %s", got)
	}
	for end := time.Now().Add(patience); ; time.Sleep(tickOfFlows) { // flows end by the clock
		a.tidy(a.clock() + tidyEvery)
		if s := h.story(); !strings.HasSuffix(s, leaving) {
			if !strings.HasSuffix(s, "reduce to 192.0.2.10, 10.3.0.2, protocol 6 from 10.2.0.12:8080, protocol 1 from 10.2.0.12") {
				t.Errorf("at last the host was asked\n%s", s)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the flow has ended, and the host still sends:\n%s", h.story())
		}
	}
}

// tickOfFlows is how finely flows are timed.
const tickOfFlows = 250 * time.Millisecond
