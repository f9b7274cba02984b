package announce

import (
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"weir/netstack/device"
)

// master is the name of the bridge that a device is in; "" for none.
func (w *world) master(device string) string {
	w.t.Helper()
	link, err := w.nl.LinkByName(device)
	if err != nil {
		w.t.Fatal(err)
	}
	if link.Attrs().MasterIndex == 0 {
		return ""
	}
	br, err := w.nl.LinkByIndex(link.Attrs().MasterIndex)
	if err != nil {
		w.t.Fatal(err)
	}
	return br.Attrs().Name
}

func (w *world) bridge(name string) {
	w.t.Helper()
	br := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	br.Name = name
	if err := w.nl.LinkAdd(br); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.nl.LinkDel(br) })
}

func (w *world) tap(name string) device.Device {
	w.t.Helper()
	d, err := device.Open(device.Config{Name: name, Kind: device.TAP, NoOffload: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { d.Close() })
	return d
}

func TestATapIsPutIntoItsBridgeAndTakenOutAgain(t *testing.T) {
	w := newWorld(t)
	w.bridge("br7")
	w.tap("weirtap0")
	leave, err := Kernel(nil).Join("weirtap0", "br7")
	if err != nil {
		t.Fatal(err)
	}
	if got := w.master("weirtap0"); got != "br7" {
		t.Errorf("the TAP is in %q, want br7", got)
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
	if got := w.master("weirtap0"); got != "" {
		t.Errorf("the TAP is still in %s", got)
	}
}

func TestATapThatIsGoneHasLeftItsBridge(t *testing.T) {
	w := newWorld(t)
	w.bridge("br7")
	d := w.tap("weirtap0")
	leave, err := Kernel(nil).Join("weirtap0", "br7")
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if err := leave(); err != nil {
		t.Errorf("leaving a bridge without the device: %v", err)
	}
}

func TestABridgeThatOthersChoseIsLeftToThem(t *testing.T) {
	w := newWorld(t)
	w.bridge("br7")
	w.bridge("br8")
	w.tap("weirtap0")
	if _, err := Kernel(nil).Join("weirtap0", "br7"); err != nil {
		t.Fatal(err)
	}
	leave, err := Kernel(nil).Join("weirtap0", "br7") // a second time: it is in there already
	if err != nil {
		t.Fatal(err)
	}
	if err := leave(); err != nil || w.master("weirtap0") != "br7" {
		t.Errorf("left with %v, and is in %q", err, w.master("weirtap0"))
	}
	if _, err := Kernel(nil).Join("weirtap0", "br8"); err == nil || !strings.Contains(err.Error(), "another bridge") {
		t.Errorf("joining a second bridge: %v", err)
	}
}

func TestWhatIsNoBridge(t *testing.T) {
	w := newWorld(t)
	w.tap("weirtap0")
	w.tap("weirtap1")
	for bridge, says := range map[string]string{
		"br9":      "there is no bridge br9 to put weirtap0 into; make it: ip link add br9 type bridge",
		"weirtap1": "weirtap1 is no bridge but a tuntap",
	} {
		if _, err := Kernel(nil).Join("weirtap0", bridge); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("join %s: %v", bridge, err)
		}
	}
}
