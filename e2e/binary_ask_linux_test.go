package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"weir/appliance/control"
	"weir/e2e/lab"
)

// What weir shows of itself is what was done: four connections that are open
// and what went through them.
func TestShow(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		serve(t, w)
		p := startProgram(t, w, w.Weir().Config()+services(w))
		joined(t, w)
		talks := append(converseAll(t, w), converseAll(t, w)...)
		t.Run("services", func(t *testing.T) {
			list := tells[[]control.Service](t, p, "show", "services")
			var names []string
			for _, s := range list {
				names = append(names, s.Name)
				if len(s.Reals) != 2 || s.Method != "nat" || s.Scheduler != "rr" {
					t.Errorf("%+v, want method nat, scheduler rr, two real servers", s)
				}
			}
			if want := []string{"tcpv4-80", "udpv4-53", "tcpv6-80", "udpv6-53"}; !slices.Equal(names, want) {
				t.Errorf("services %v, want %v, as in the file", names, want)
			}
			hasWords(t, p.says(t, "show", "services"), names...)
		})
		t.Run("reals", func(t *testing.T) { showsReals(t, p) })
		t.Run("flows", func(t *testing.T) { showsFlows(t, p, talks) })
		t.Run("neighbours", func(t *testing.T) { showsNeighbours(t, w, p) })
		t.Run("counters", func(t *testing.T) {
			c := tells[control.Counters](t, p, "show", "counters")
			if c.Flows.Live != 4 || c.Flows.Created != 4 || c.Flows.Expired != 0 {
				t.Errorf("flows %+v, want 4 created and live", c.Flows)
			}
			for _, port := range c.Ports {
				if port.RxFrames == 0 || port.TxFrames == 0 {
					t.Errorf("port %s counts %+v, and traffic has passed", port.Name, port)
				}
			}
			hasWords(t, p.says(t, "show", "counters"), "flows created", "FRAMES IN", c.Ports[0].Name)
		})
	})
}

// showsReals: rr gave each real server one of each family's two connections.
func showsReals(t *testing.T, p *program) {
	list := tells[[]control.Real](t, p, "show", "reals")
	if len(list) != 8 {
		t.Fatalf("%d real servers, want 8", len(list))
	}
	for _, r := range list {
		want := control.Real{Active: 1, Created: 1}
		if strings.HasPrefix(r.Service, "udp") {
			want = control.Real{}
		}
		if r.Active != want.Active || r.Inactive != 0 || r.Created != want.Created || r.Weight != 1 {
			t.Errorf("%+v, want active %d, created %d, weight 1", r, want.Active, want.Created)
		}
		// SYN, ACK, the line and the acknowledgement of the echo, at least.
		if got := r.Traffic; want.Created > 0 && (got.RequestPackets < 3 || got.ReplyPackets < 3 || got.RequestBytes < 120 || got.ReplyBytes < 120) {
			t.Errorf("%s of %s: traffic %+v of a connection", r.Name, r.Service, got)
		}
	}
	hasWords(t, p.says(t, "show", "reals"), "real1", "real2", "10.2.0.11:8080", "[fd00:2::12]:5353")
}

func showsFlows(t *testing.T, p *program, talks []*talk) {
	list := tells[struct {
		Flows []control.Flow
		Live  int64
	}](t, p, "show", "flows")
	if list.Live != int64(len(talks)) || len(list.Flows) != len(talks) {
		t.Fatalf("%d flows of %d, want %d", len(list.Flows), list.Live, len(talks))
	}
	text := p.says(t, "show", "flows")
	for _, k := range talks {
		client, vip := netip.MustParseAddrPort(k.LocalAddr().String()), netip.MustParseAddrPort(k.RemoteAddr().String())
		at := slices.IndexFunc(list.Flows, func(f control.Flow) bool { return f.Client == client })
		if at < 0 {
			t.Errorf("the flow of %v is not shown", client)
			continue
		}
		f := list.Flows[at]
		if f.VIP != vip || f.Real != k.real || f.State != "established" || f.Protocol != "tcp" {
			t.Errorf("%+v, want it established, to %v, with %s", f, vip, k.real)
		}
		// Silent for no longer than the test runs, of the 15 minutes allowed.
		if f.Idle < 0 || f.Idle > limit.Seconds() || f.Idle+f.Left < 899 || f.Idle+f.Left > 901 {
			t.Errorf("%+v: idle and left are not 15 minutes in all", f)
		}
		hasWords(t, text, client.String(), k.real)
	}
}

// showsNeighbours: a TUN has none; on TAPs they are those who talk.
func showsNeighbours(t *testing.T, w lab.World, p *program) {
	list := tells[[]control.Neighbour](t, p, "show", "neighbours")
	if onHost(w) {
		if len(list) != 0 {
			t.Errorf("neighbours %+v, and a TUN has none", list)
		}
		return
	}
	text := p.says(t, "show", "neighbours")
	for address, mac := range map[string]string{"10.1.0.11": "02:00:00:01:00:11", "fd00:2::12": "02:00:00:02:00:12"} {
		at := slices.IndexFunc(list, func(n control.Neighbour) bool { return n.Address.String() == address })
		if at < 0 || list[at].MAC != mac || list[at].Contested {
			t.Errorf("%s is not shown at %s: %+v", address, mac, list)
		}
		hasWords(t, text, address, mac)
	}
}

func hasWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

// Where a packet would go: the running weir and the file alone say the same of
// the decision, and what the live one announces is then what happens.
func TestExplain(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		serve(t, w)
		p := startProgram(t, w, w.Weir().Config()+services(w))
		joined(t, w)
		for _, f := range families {
			for range 2 { // one to each real server: from now on everybody's MAC is known
				converse(t, w, f.at(80))
			}
			packet := fmt.Sprintf("tcp %s > %s S", netip.AddrPortFrom(f.of(w.Host("client1")), 4000), f.at(80))
			live := tells[control.Explanation](t, p, "explain", packet)
			if live.Verdict != "emit" || live.Service != "tcp"+f.name+"-80" || live.Offline {
				t.Errorf("live: %+v, want it emitted", live)
			}
			real := netip.AddrPortFrom(f.of(w.Host(live.Real)), 8080).String()
			if !strings.Contains(live.Result, "> "+real) {
				t.Errorf("live: it leaves as %q, not for %s", live.Result, real)
			}
			hasWords(t, p.says(t, "explain", packet), "emit: it leaves by port "+live.Egress, live.Real)
			again := tells[control.Explanation](t, p, "explain", packet)
			if again.Real != live.Real {
				t.Errorf("asking changed the answer from %s to %s", live.Real, again.Real)
			}
			if k := converse(t, w, f.at(80)); k.real != live.Real {
				t.Errorf("explained as going to %s, and it went to %s", live.Real, k.real)
			}

			a := weir(t, "explain", packet, "--config", p.file, "--json")
			var file control.Explanation
			if err := json.Unmarshal([]byte(a.out), &file); err != nil || a.exit != 0 {
				t.Fatalf("%+v: %v", a, err)
			}
			if file.Verdict != "emit" || !file.Offline || file.Service != live.Service || file.Egress != live.Egress || !changes(file, "destination") {
				t.Errorf("by the file: %+v, want what the running one says", file)
			}
		}
	})
}

// changes reports whether a header field whose name has the word changes.
func changes(x control.Explanation, word string) bool {
	return slices.ContainsFunc(x.Headers, func(h control.Header) bool { return h.Changed && strings.Contains(h.Field, word) })
}

// A file that is applied adds a service and takes one away, and open
// connections stay. A bad file is refused whole.
func TestApply(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		serve(t, w)
		p := startProgram(t, w, w.Weir().Config()+services(w))
		joined(t, w)
		talks := converseAll(t, w)
		f := families[0]
		more := write(t, p.file+".more", w.Weir().Config()+services(w)+f.service(w, "tcp", 81, 8080))
		if a := weir(t, "check", more, "--against", p.socket); a.exit != 0 || !strings.Contains(a.out, "\nadd service tcpv4-81") {
			t.Errorf("check --against the running one: %+v", a)
		}
		if said := p.says(t, "apply", more); !strings.HasPrefix(said, "add service tcpv4-81") {
			t.Errorf("apply says %q", said)
		}
		converse(t, w, f.at(81))
		echoAll(t, talks, "after apply")
		if plan := tells[control.Plan](t, p, "show", "plan"); len(plan.Changes) == 0 || plan.Changes[0].Action != control.Remove {
			t.Errorf("show plan: %+v, want the file to take the service away again", plan)
		}

		before := p.says(t, "show", "services")
		a := weir(t, "apply", write(t, p.file+".bad", twoFaults), "--socket", p.socket)
		if a.exit != 1 || a.out != "" || !reportsTwoFaults(a.err, p.file+".bad") {
			t.Errorf("a bad file: %+v, want exit 1 and both faults", a)
		}
		if now := p.says(t, "show", "services"); shape(now) != shape(before) {
			t.Errorf("a bad file changed\n%sto\n%s", before, now)
		}

		p.says(t, "apply", p.file)
		if _, err := tryDial(t, w, "tcp", f.at(81)); err == nil {
			t.Error("the service that was taken away still serves")
		}
		echoAll(t, talks, "after another apply")
		carries(t, w, "after another apply")
	})
}

// shape is the first column: which services there are.
func shape(table string) (names string) {
	for l := range strings.Lines(table) {
		names += strings.Fields(l)[0] + " "
	}
	return names
}

// twoFaults is a configuration with a fault in line 4 and one in line 6.
const twoFaults = `topology: host
ports:
  - name: tun
    tunn: weir0
services:
  - {name: web, vip: 192.0.2.300:80, method: nat, reals: []}
`

func reportsTwoFaults(text, file string) bool {
	return strings.Contains(text, file+":4:5: ") && strings.Contains(text, file+":6:")
}

// SIGHUP reads the file again: a good one is carried out; of a bad one every
// fault is logged and nothing changes. Connections do not notice.
func TestSIGHUP(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		serve(t, w)
		f := families[0]
		good := w.Weir().Config() + services(w)
		p := startProgram(t, w, good)
		joined(t, w)
		talks := converseAll(t, w)
		before := state(t, w)

		write(t, p.file, twoFaults)
		p.signal(t, syscall.SIGHUP)
		p.logs(t, p.file+":6:")
		if !reportsTwoFaults(p.log.String(), p.file) {
			t.Errorf("the log has not both faults:\n%s", &p.log)
		}
		echoAll(t, talks, "after SIGHUP with a bad file")
		carries(t, w, "after SIGHUP with a bad file")
		becomes(t, w, before, "after SIGHUP with a bad file")

		write(t, p.file, good+f.service(w, "tcp", 81, 8080))
		p.signal(t, syscall.SIGHUP)
		p.logs(t, "configuration read again")
		converse(t, w, f.at(81))
		echoAll(t, talks, "after SIGHUP with a good file")
		carries(t, w, "after SIGHUP with a good file")

		if err := os.Remove(p.file); err != nil {
			t.Fatal(err)
		}
		p.signal(t, syscall.SIGHUP)
		p.logs(t, "no such file or directory")
		echoAll(t, talks, "after SIGHUP without a file")
		converse(t, w, f.at(81))
	})
}

// A real server that leaves the configuration serves its connections to their
// end, and gets no new ones; then the host is told to forget it.
func TestRealServerLeaves(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		serve(t, w)
		const soon = "timeouts: {fin-wait: 1s, close-wait: 1s, last-ack: 1s, time-wait: 1s, close: 1s, udp: 1s}\n"
		left := w.Weir().Config() + without(services(w), "real1") + soon
		p := startProgram(t, w, left)
		joined(t, w)
		alone := state(t, w)
		p.says(t, "apply", write(t, p.file+".both", w.Weir().Config()+services(w)+soon))
		talks := append(converseAll(t, w), converseAll(t, w)...)
		p.signal(t, syscall.SIGHUP)
		eventually(t, "the file is not read again", func() bool { return len(tells[control.Plan](t, p, "show", "plan").Changes) == 0 })
		echoAll(t, talks, "after its real server left")
		for _, f := range families {
			if k := converse(t, w, f.at(80)); k.real != "real2" {
				t.Errorf("a new connection went to %s", k.real)
			}
		}
		for _, k := range talks {
			k.Close()
		}
		becomes(t, w, alone, "after the end of all connections of the real server that left")
	})
}
