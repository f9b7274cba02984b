package e2e_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"weir/appliance/control"
	"weir/e2e/lab"
)

// outage is how long a link is down and how soon after it traffic must be back.
const (
	outage = 1500 * time.Millisecond
	backIn = time.Second
)

// devices are weir's in a world.
func devices(w lab.World) []string {
	if onHost(w) {
		return []string{"weir0"}
	}
	return []string{"weir0", "weir1"}
}

// A link that is down comes back: traffic at once, and no connection is lost.
func TestLinkDown(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		serve(t, w)
		before := state(t, w)
		p := startProgram(t, w, w.Weir().Config()+services(w))
		joined(t, w)
		talks := converseAll(t, w)
		running := state(t, w)
		setLinks(t, w, netlink.LinkSetDown)
		<-time.After(outage) // the fault's length, not a wait for something
		setLinks(t, w, netlink.LinkSetUp)
		began := time.Now()
		for _, f := range families {
			untilUDP(t, w, f.at(53))
		}
		if took := time.Since(began); took > backIn {
			t.Errorf("traffic is back %v after the link, want %v at most", took, backIn)
		} else {
			t.Logf("traffic is back %v after the link", took)
		}
		echoAll(t, talks, "after its link was down")
		becomes(t, w, running, "after the link was down")
		p.end(t)
		becomes(t, w, before, "after the end")
	})
}

func setLinks(t *testing.T, w lab.World, set func(netlink.Link) error) {
	t.Helper()
	inPlace(t, w, func() error {
		for _, name := range devices(w) {
			link, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if err := set(link); err != nil {
				return err
			}
		}
		return nil
	})
}

// A device that is deleted under weir ends it: one line that says so, exit code
// 1, and nothing is left of it.
func TestDeviceDeleted(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		serve(t, w)
		before := state(t, w)
		for _, name := range devices(w) {
			p := launch(t, w, w.Weir().Config()+services(w))
			p.ready(t)
			joined(t, w)
			carries(t, w, "before the deletion")
			inPlace(t, w, func() error {
				link, err := netlink.LinkByName(name)
				if err != nil {
					return err
				}
				return netlink.LinkDel(link)
			})
			if exit := p.exit(t); exit != 1 {
				t.Errorf("%s was deleted: exit code %d, want 1", name, exit)
			}
			lines := strings.Split(strings.TrimSpace(p.log.String()), "\n")
			said := 0
			for _, l := range lines {
				if strings.HasPrefix(l, "weir: ") {
					said++
				}
			}
			last := lines[len(lines)-1]
			if said != 1 || !strings.HasPrefix(last, "weir: ") || !strings.Contains(last, name+" is gone") {
				t.Errorf("%s was deleted: weir says\n%swant one last line with %q", name, &p.log, name+" is gone")
			}
			becomes(t, w, before, name+" was deleted: after the end")
		}
	})
}

// A weir that stood still for three seconds goes on where it was: every
// connection lives, every flow is known, and it is serving at once.
func TestStoppedAndContinued(t *testing.T) {
	oneKernel(t, topologies[0], func(t *testing.T, w lab.World) {
		serve(t, w)
		p := startProgram(t, w, w.Weir().Config()+services(w))
		talks := append(converseAll(t, w), converseAll(t, w)...)
		flows := flowsOf(t, p)
		p.signal(t, syscall.SIGSTOP)
		<-time.After(3 * time.Second) // the fault's length, not a wait for something
		for _, k := range talks {
			if _, err := k.Write([]byte("sent to a weir that stands still\n")); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		p.signal(t, syscall.SIGCONT)
		for _, k := range talks {
			if line, err := k.in.ReadString('\n'); err != nil || line != "sent to a weir that stands still\n" {
				t.Fatalf("what was sent meanwhile came back as %q, %v", line, err)
			}
		}
		t.Logf("answered %v after SIGCONT", time.Since(began))
		echoAll(t, talks, "after SIGCONT")
		if now := flowsOf(t, p); now != flows {
			t.Errorf("flows before\n%s\nand after\n%s", flows, now)
		}
		carries(t, w, "after SIGCONT")
	})
}

// flowsOf are the flows without their times.
func flowsOf(t *testing.T, p *program) string {
	t.Helper()
	list := tells[struct {
		Flows []control.Flow
		Live  int64
	}](t, p, "show", "flows")
	var lines []string
	for _, f := range list.Flows {
		lines = append(lines, strings.Join([]string{f.Protocol, f.Client.String(), f.VIP.String(), f.Address.String(), f.State}, " "))
	}
	return sorted(lines)
}
