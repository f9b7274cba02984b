package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/appliance"
	"weir/e2e/hostile"
	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
)

// Pieces of datagrams that never come whole, 10,000 a second, are held in
// bounded room and time, and large datagrams of others go on arriving.
func TestFragmentFlood(t *testing.T) {
	topology := lab.RoutedTopology(2, 2)
	labtest.Run(t, topology, func(t *testing.T, w lab.World) {
		a := startWeir(t, w, hostileServices(w))
		large := newLargeDatagrams(t, w)
		large.round(t) // neighbours are known
		g := hostile.NewGenerator(stageOf(topology, w))
		out := newFrameSource(t, w, "client2", lab.ClientSegment, 10_000)
		began := dropsBy(a)

		most := watchHeld(t, a)
		ctx, stop := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		asking.Go(func() {
			for ctx.Err() == nil {
				large.round(t)
			}
		})
		n := hostileVolume(3000, 6000, 50_000)
		for i := range n {
			for _, f := range g.Unit(hostile.Find("never-ending"), i) {
				out.send(t, f.Data)
			}
		}
		stop()
		asking.Wait()
		if got := most(); got > 4<<20 || got < 1<<20 {
			t.Errorf("%d bytes were held, want 4 MiB at most, and 1 MiB or there was no flood", got)
		} else {
			t.Logf("%d bytes were held at most; %d large datagrams came back, %d at once", got, large.answered.Load(), large.atOnce.Load())
		}
		if large.atOnce.Load()*100 < large.answered.Load()*95 {
			t.Errorf("%d of %d large datagrams had to be repeated", large.answered.Load()-large.atOnce.Load(), large.answered.Load())
		}
		if !hostileSoak {
			return // the time it takes is the director's to prove, whose clock is an argument
		}
		given := func() (n uint64) {
			for _, reason := range hostile.GivenUp.Reasons() {
				n += countedSince(began, dropsBy(a))[reason]
			}
			return n
		}
		if !within(30*time.Second, func() bool { return a.Snapshot().Counters.Held.Bytes == 0 && given() == uint64(n) }) {
			t.Errorf("after 30 s %+v is held, and %d of %d were given up", a.Snapshot().Counters.Held, given(), n)
		}
	})
}

// watchHeld looks, until the returned function is called, at how many bytes of
// frames weir holds; that returns the most.
func watchHeld(t *testing.T, a *appliance.Appliance) (most func() int) {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int)
	go func() { // ends with ctx
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		most := 0
		for ctx.Err() == nil {
			most = max(most, a.Snapshot().Counters.Held.Bytes)
			<-tick.C
		}
		done <- most
	}()
	return func() int { stop(); return <-done }
}

// largeDatagrams asks with datagrams that cross weir in fragments.
type largeDatagrams struct {
	w                lab.World
	answered, atOnce atomic.Int64
}

func newLargeDatagrams(t *testing.T, w lab.World) *largeDatagrams {
	for _, f := range families {
		echoUDP(t, w, f, 5353)
	}
	return &largeDatagrams{w: w}
}

// round sends one of 8,192 bytes in each family and wants it back. A datagram
// may be lost; who asks by UDP asks again.
func (l *largeDatagrams) round(t *testing.T) {
	for _, f := range families {
		c, err := tryDial(t, l.w, "udp", f.at(53))
		if err != nil {
			t.Error(err)
			return
		}
		if err := l.exchange(f, c); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		c.Close()
	}
}

func (l *largeDatagrams) exchange(f family, c interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	SetReadDeadline(time.Time) error
}) error {
	question := bytes.Repeat(fmt.Appendf(nil, "%s %15d", f.name, l.answered.Load())[:16], 512)
	answer := make([]byte, len(question)+1)
	for try := range 4 {
		if _, err := c.Write(question); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		n, err := c.Read(answer)
		if err != nil {
			continue
		}
		if !bytes.Equal(answer[:n], question) {
			return fmt.Errorf("%d bytes came back as %d others", len(question), n)
		}
		l.answered.Add(1)
		if try == 0 {
			l.atOnce.Add(1)
		}
		return nil
	}
	return fmt.Errorf("a datagram of %d bytes did not come back in four attempts", len(question))
}
