package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weir/appliance/control"
	"weir/e2e/lab"
	"weir/netstack/device"
)

// refuses asserts that a weir cannot begin, says why in one line, and leaves the
// host as it was.
func refuses(t *testing.T, w lab.World, p *program, before, says string) {
	t.Helper()
	if exit := p.exit(t); exit != 1 || p.out.String() != "" {
		t.Errorf("exit code %d and output %q, want 1 and none", exit, &p.out)
	}
	said, found := "", false
	for l := range strings.Lines(p.log.String()) { // before it: what was opened, and what is to be known
		said, found = l, strings.HasPrefix(l, "weir: ")
	}
	if !found || strings.Count(p.log.String(), "weir: ") != 1 || !strings.Contains(said, says) {
		t.Errorf("weir says\n%swant one last line with %q", &p.log, says)
	}
	becomes(t, w, before, "after the refusal")
	if _, err := os.Lstat(p.socket); err == nil {
		t.Error("the control socket was left behind")
	}
}

// withoutRights starts a program as a user who owns nothing here.
func withoutRights(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
	}
}

func TestWithoutCAP_NET_ADMIN(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		before := state(t, w)
		p := launch(t, w, w.Weir().Config()+services(w), withoutRights)
		refuses(t, w, p, before, "weir0: no permission")
	})
}

func TestDeviceTaken(t *testing.T) {
	inKernel(t, func(t *testing.T, w lab.World) {
		names := devices(w)
		last := names[len(names)-1] // of two the second: the first is opened by then
		kind := device.TUN
		if !onHost(w) {
			kind = device.TAP
		}
		d, err := w.Weir().Open(device.Config{Name: last, Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		joined(t, w, last)
		before := state(t, w)
		p := launch(t, w, w.Weir().Config()+services(w))
		refuses(t, w, p, before, last+": in use by another program")
	})
}

// occupy gives the host a route to an address that weir will want.
func occupy(t *testing.T, w lab.World, address string) {
	t.Helper()
	inPlace(t, w, func() error {
		link, err := netlink.LinkByName(lab.ServerSegment)
		if err != nil {
			return err
		}
		dst, err := netlink.ParseIPNet(address)
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst})
	})
}

// A route to the VIP that is there already is somebody else's. Where weir finds
// it, all that it had set before goes again.
func TestRouteThatIsThereAlready(t *testing.T) {
	oneKernel(t, topologies[0], func(t *testing.T, w lab.World) {
		occupy(t, w, lab.VIP6.String()+"/128") // the last to be set
		before := state(t, w)
		p := launch(t, w, w.Weir().Config()+services(w))
		refuses(t, w, p, before, "there is a route to it already")
	})
}

// The same at a change: nothing of the file is applied, the service and its
// connections stay as they are; and again by SIGHUP.
func TestChangeThatTheHostRefuses(t *testing.T) {
	oneKernel(t, topologies[0], func(t *testing.T, w lab.World) {
		serve(t, w)
		p := startProgram(t, w, w.Weir().Config()+services(w))
		talks := converseAll(t, w)
		occupy(t, w, "192.0.2.77/32")
		before := state(t, w)
		more := strings.ReplaceAll(services(w), "scheduler: rr", "scheduler: wrr") +
			"  - {name: fine, vip: \"192.0.2.76:80\", method: nat, reals: [\"10.2.0.11:9000\"]}\n" +
			"  - {name: refused, vip: \"192.0.2.77:80\", method: nat, reals: [\"10.2.0.12:9000\"]}\n"
		file := write(t, p.file, w.Weir().Config()+more)
		const says = "192.0.2.77 into weir0: there is a route to it already"
		if a := weir(t, "apply", file, "--socket", p.socket); a.exit != 1 || !oneLine(a.err) || !strings.Contains(a.err, says) {
			t.Errorf("apply: %+v, want one line with %q", a, says)
		}
		becomes(t, w, before, "after apply was refused")
		p.signal(t, syscall.SIGHUP)
		p.logs(t, says)
		becomes(t, w, before, "after SIGHUP was refused")
		for _, s := range tells[[]control.Service](t, p, "show", "services") {
			if s.Scheduler != "rr" || s.Name == "fine" || s.Name == "refused" {
				t.Errorf("service %s with scheduler %s is in force, of a file that was refused", s.Name, s.Scheduler)
			}
		}
		echoAll(t, talks, "after a change that was refused")
		carries(t, w, "after a change that was refused")
	})
}

// A place where no control socket can be is told before anything is touched.
func TestPlaceWhereNoSocketCanBe(t *testing.T) {
	oneKernel(t, topologies[0], func(t *testing.T, w lab.World) {
		dir := t.TempDir()
		locked := filepath.Join(dir, "locked")
		if err := os.Mkdir(locked, 0o500); err != nil {
			t.Fatal(err)
		}
		file := write(t, filepath.Join(dir, "file"), "somebody's")
		config := write(t, filepath.Join(dir, "weir.yaml"), w.Weir().Config()+services(w))
		before := state(t, w)
		for _, row := range []struct {
			rule, socket, says string
			how                []func(*exec.Cmd)
		}{
			{"a directory without the right to write", filepath.Join(locked, "weir.sock"), "permission denied", []func(*exec.Cmd){withoutRights}},
			{"a file that is no socket", file, "the file exists and is no socket", nil},
			{"a directory", locked, "the file exists and is no socket", nil},
			{"below a file", filepath.Join(file, "weir.sock"), "not a directory", nil},
			{"a path that is too long", filepath.Join(dir, strings.Repeat("s", 110)), "too long", nil},
		} {
			p := &program{file: config, socket: row.socket}
			p.start(t, w, row.how...)
			if exit := p.exit(t); exit != 1 || !oneLine(p.log.String()) || !strings.Contains(p.log.String(), row.says) {
				t.Errorf("%s: exit code %d, weir says\n%swant 1 and one line with %q", row.rule, exit, &p.log, row.says)
			}
			becomes(t, w, before, row.rule+": afterwards")
		}
		if text, err := os.ReadFile(file); err != nil || string(text) != "somebody's" {
			t.Errorf("the file is %q now, %v", text, err)
		}
	})
}
