package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/e2e/lab"
	"weir/e2e/lab/labtest"
)

// narrow is t with a link of 1400 bytes behind weir, where there is one: on a
// segment that weir only bridges, everybody has the same MTU.
func narrow(t lab.Topology) lab.Topology {
	t.Segments = slices.Clone(t.Segments)
	for i := range t.Segments {
		if t.Segments[i].Name == lab.ServerSegment {
			t.Segments[i].MTU = 1400
		}
	}
	return t
}

// A large transfer each way arrives as it was sent, by every method.
func TestBulkIsIdenticalInEachMethod(t *testing.T) {
	const size = 100 << 20
	inEach(t, func(t *testing.T, w lab.World, x wiring, f family) {
		n := int64(size)
		if w.Name() == "sim" || f.name != "v4" || !whole && x.method != "nat" {
			n = 4 << 20 // the whole once is enough for what is slow or alike
		}
		transfer(t, w, x, f, n)
	})
}

// So does one over a link of 1400 bytes behind weir, which nobody but weir can
// tell the client of.
func TestBulkIsIdenticalOverANarrowLink(t *testing.T) {
	for _, x := range wirings() {
		if x.topology.Name != "host" && x.topology.Name != "routed" {
			continue
		}
		x.topology = narrow(x.topology)
		t.Run(x.name(), func(t *testing.T) {
			for _, f := range x.families {
				t.Run(f.name, func(t *testing.T) {
					labtest.Run(t, x.topology, func(t *testing.T, w lab.World) {
						startWeir(t, w, x.services(f))
						transfer(t, w, x, f, 4<<20)
					})
				})
			}
		})
	}
}

// transfer sends n bytes up and n bytes down one connection.
func transfer(t *testing.T, w lab.World, x wiring, f family, n int64) {
	t.Helper()
	serveTCP(t, w, f, x.ports[0], func(name string, c net.Conn) {
		h := sha256.New()
		if _, err := io.Copy(h, io.LimitReader(c, n)); err != nil {
			return
		}
		c.Write(h.Sum(nil))
		io.Copy(c, stream(n))
	})
	c := dial(t, w, "tcp", f.at(80))
	go func() { io.Copy(c, stream(n)) }() // ends with the connection
	want := digest(stream(n))
	var got [sha256.Size]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		t.Fatalf("upload: %v", err)
	}
	if got != want {
		t.Error("the upload arrived as other bytes")
	}
	if digest(c) != want {
		t.Error("the download arrived as other bytes")
	}
}

// Datagrams of 8 KB travel in fragments, and come back whole. What does not fit
// into a tunnel is lost, and its sender told what does: it has to send again.
//
// Fragments are not translated between IP versions where they do not fit any
// more, and a simulated tunnel end does not put the outer packet together.
func TestLargeDatagramsInEachMethod(t *testing.T) {
	inEach(t, func(t *testing.T, w lab.World, x wiring, f family) {
		echoUDP(t, w, f, x.ports[1])
		sizes := []int{1, 1200, 8192}
		if x.tunnel != nil && w.Name() == "sim" || strings.Contains(f.name, "-to-") {
			sizes = sizes[:2]
		}
		for _, size := range sizes {
			c := dial(t, w, "udp", f.at(53))
			sent := make([]byte, size)
			rand.NewChaCha8([32]byte{byte(size)}).Read(sent)
			got, err := exchange(c, sent, 5)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if !bytes.Equal(got, sent) {
				t.Errorf("%d bytes came back as %d others", size, len(got))
			}
		}
	})
}

// exchange sends a datagram up to so many times until an answer comes.
func exchange(c net.Conn, sent []byte, tries int) (answer []byte, err error) {
	answer = make([]byte, 65535)
	for range tries {
		if _, err = c.Write(sent); err != nil && !errors.Is(err, syscall.EMSGSIZE) {
			return nil, err
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		var n int
		if n, err = c.Read(answer); err == nil {
			return answer[:n], nil
		}
	}
	return nil, fmt.Errorf("no answer after %d tries: %w", tries, err)
}
