package lab_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
	"weir/netstack/device"
	"weir/netstack/packet"
)

// A TAP that weir opens at its place is on its segment, as often as it is opened.
func TestTAPsJoinTheirSegment(t *testing.T) {
	topology := lab.RoutedTopology(1, 1)
	labtest.Run(t, topology, func(t *testing.T, w lab.World) {
		port := topology.Weir.Ports[0]
		for range 2 {
			tap, err := w.Weir().Open(device.Config{Name: port.Device, Kind: device.TAP, MAC: port.MAC})
			if err != nil {
				t.Fatal(err)
			}
			wantARP(t, w, tap)
			if err := tap.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// A TAP that another program makes in weir's namespace joins its segment too.
func TestKernelTAPJoinsItsSegmentByItself(t *testing.T) {
	labtest.RequireKernel(t)
	labtest.NoLeaks(t)
	topology := lab.RoutedTopology(1, 1)
	w := labtest.Kernel(t, topology)
	var tap device.Device
	if err := w.Weir().Do(func() (err error) {
		tap, err = device.Open(device.Config{Name: topology.Weir.Ports[0].Device, Kind: device.TAP})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	wantARP(t, w, tap)
}

// wantARP has client1 ask for its gateway, which is weir, and wants the device
// to get the question.
func wantARP(t *testing.T, w lab.World, d device.Device) {
	t.Helper()
	if kernels, ok := d.(device.UpDowner); ok {
		if err := kernels.Up(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	pinged := make(chan struct{})
	go func() { // ends with ctx: nobody answers
		defer close(pinged)
		w.Host("client1").Ping(ctx, lab.VIP4)
	}()
	wantFrame(t, d, "arp", "who-has 10.1.0.1", "10.1.0.11")
	cancel()
	<-pinged
}

// wantFrame reads from the device until a frame's text has all of the words.
func wantFrame(t *testing.T, d device.Device, words ...string) {
	t.Helper()
	late := time.AfterFunc(10*time.Second, func() { d.Close() })
	defer late.Stop()
	var p packet.Packet
	var seen []string
next:
	for {
		if err := d.Read(0, &p); err != nil {
			t.Fatalf("no frame with %q came, but these: %v\n%s", words, err, strings.Join(seen, "\n"))
		}
		if p.Parse(d.Link()) != packet.OK {
			continue
		}
		text := p.String()
		seen = append(seen, text)
		for _, word := range words {
			if !strings.Contains(text, word) {
				continue next
			}
		}
		return
	}
}

// A simulated host sends into weir's TUN what is for a VIP and what comes from
// real servers, as long as the TUN is there.
func TestSimulatedHostSteersIntoTheTUN(t *testing.T) {
	labtest.NoLeaks(t)
	topology := lab.HostTopology(1, 1)
	w := labtest.Sim(t, topology)
	client, real := w.Host("client1"), w.Host("real1")
	port := topology.Weir.Ports[0]
	for range 2 {
		tun, err := w.Weir().Open(device.Config{Name: port.Device, Kind: device.TUN})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Weir().Open(device.Config{Name: port.Device, Kind: device.TUN}); err == nil || !strings.Contains(err.Error(), "open already") {
			t.Errorf("a second Open: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		dialed := make(chan struct{})
		go func() { // ends with ctx: nobody answers
			defer close(dialed)
			client.Dial(ctx, "tcp", "192.0.2.10:80")
		}()
		wantFrame(t, tun, "tcp 10.1.0.11:", "> 192.0.2.10:80 S", "ttl 63")
		cancel()
		<-dialed
		ctx, cancel = context.WithCancel(t.Context())
		pinged := make(chan struct{})
		go func() { // ends with ctx: nobody answers
			defer close(pinged)
			real.Ping(ctx, client.Addr6())
		}()
		wantFrame(t, tun, "fd00:2::11 > fd00:1::11", "echo")
		cancel()
		<-pinged
		if err := tun.Close(); err != nil {
			t.Error(err)
		}
		if _, err := real.Ping(bounded(t), client.Addr6()); err != nil {
			t.Errorf("without weir, past it: %v", err)
		}
		if _, err := client.Ping(bounded(t), lab.VIP4); err == nil || !strings.Contains(err.Error(), "destination unreachable") {
			t.Errorf("without weir, a ping of the VIP: %v", err)
		}
	}
}

// What the topology has no port for is no device of weir's, and a closed world
// opens none; both worlds say so.
func TestWeirsPlaceRefuses(t *testing.T) {
	topology := lab.HostTopology(1, 1)
	w := labtest.Sim(t, topology)
	if _, err := w.Weir().Open(device.Config{Name: "eth0"}); err == nil {
		t.Error("a device that the topology does not have was opened")
	}
	labtest.Run(t, topology, func(t *testing.T, w lab.World) {
		tun, err := w.Weir().Open(device.Config{Name: topology.Weir.Ports[0].Device})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := tun.Close(); err != nil {
			t.Errorf("close a device of a closed world: %v", err)
		}
		if _, err := w.Weir().Open(device.Config{Name: topology.Weir.Ports[0].Device}); err == nil {
			t.Error("a closed world opened a device")
		}
		if err := w.Weir().Do(func() error { return errors.New("it ran") }); err == nil || err.Error() == "it ran" {
			t.Errorf("Do in a closed world: %v", err)
		}
	})
}
