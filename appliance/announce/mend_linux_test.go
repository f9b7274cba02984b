package announce

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// run lets s look after the host, until Close or the function it returns.
func (w *world) run(s Steering) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // until stop
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// down sets weir's link down and waits until s has dealt with it.
func (w *world) down() {
	w.t.Helper()
	if err := w.weir.Device.(device.UpDowner).Down(); err != nil {
		w.t.Fatal(err)
	}
	w.says("the link is down")
}

// says waits until the log has one more line, with this text.
func (w *world) says(text string) {
	w.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) { // polling, bounded by the deadline
		if log := w.log.take(); strings.Contains(log, text) {
			return
		} else if log != "" || time.Now().After(end) {
			w.t.Fatalf("the log says %q, want %q", log, text)
		}
	}
}

func TestLinkThatWasDownIsServedAgain(t *testing.T) {
	w := newWorld(t)
	s := w.attach()
	w.run(s)
	w.extend(s, nat)
	before := w.state()
	for range 20 {
		w.down()
		for _, reply := range []string{"tcp 10.2.0.11:8080 > 10.1.0.9:4000 SA", "tcp [fd00:2::11]:8080 > [fd00:1::9]:4000 SA"} {
			w.vanishes("a reply while weir cannot translate it", reply, w.lan)
		}
		up(t, w.weir)
		w.says("routes were set anew")
		w.unchanged("after the link was down", before)
	}
	w.travels("a request", "tcp 10.1.0.9:4000 > 192.0.2.10:80 S", w.lan, w.weir)
	w.travels("a request over IPv6", "tcp [fd00:1::9]:4000 > [2001:db8::10]:80 S", w.lan, w.weir)
	w.travels("a reply", "tcp 10.2.0.11:8080 > 10.1.0.9:4000 SA", w.lan, w.weir)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestClosedAndKilledWhileTheLinkIsDown(t *testing.T) {
	w := newWorld(t)
	before := w.state()
	s := w.attach()
	w.run(s)
	w.extend(s, nat)
	w.down()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	w.unchanged("after Close", before)

	killed := w.attach()
	kill := w.run(killed)
	plain := w.state()
	w.extend(killed, nat)
	w.down()
	kill() // and nothing of killed is closed
	again := w.attach()
	w.unchanged("after the next start", plain)
	for _, s := range []Steering{again, killed} { // the second for its sockets
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What the watcher cannot read does not end it: it is said once, and the link
// is served as before.
func TestTheWatcherOutlivesWhatItCannotRead(t *testing.T) {
	w := newWorld(t)
	s := w.attach()
	w.run(s)
	w.extend(s, nat)
	before := w.state()
	stranger, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(stranger)
	watcher, err := s.(*steering).events.GetPid()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		// No kernel says this.
		if err := unix.Sendto(stranger, make([]byte, unix.SizeofNlMsghdr), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: watcher}); err != nil {
			t.Fatal(err)
		}
	}
	w.says("links cannot be watched")
	w.down()
	up(t, w.weir)
	w.says("routes were set anew")
	w.unchanged("after the link was down", before)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// vanishes has a packet come in that must not leave by the same TUN; one that
// follows it and does leave says when to stop waiting.
func (w *world) vanishes(name, text string, at *end) {
	w.t.Helper()
	var p packet.Packet
	if err := packet.Build(&p, text); err != nil {
		w.t.Fatal(err)
	}
	if err := at.Write(&p); err != nil {
		w.t.Fatal(err)
	}
	p.DecTTL()
	lost := p.String()
	const next = "udp 10.2.0.99:9 > 10.1.0.9:9"
	if err := packet.Build(&p, next); err != nil {
		w.t.Fatal(err)
	}
	if err := at.Write(&p); err != nil {
		w.t.Fatal(err)
	}
	p.DecTTL()
	for late := time.After(5 * time.Second); ; {
		select {
		case got := <-at.frames:
			if got == lost {
				w.t.Errorf("%s: %s left by %s", name, text, at.Name())
			}
			if got == p.String() {
				return
			}
		case <-late:
			w.t.Fatalf("%s did not leave", next)
		}
	}
}
