package control

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// status sends raw and returns the status of the answer.
func status(t *testing.T, path, raw string) int {
	t.Helper()
	conn := dial(t, path)
	go io.WriteString(conn, raw) // ends when the server has had enough: it may answer before it has read all
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("answer to %.40q: %v", raw, err)
	}
	res.Body.Close()
	return res.StatusCode
}

func TestRequestsAreBounded(t *testing.T) {
	src := newSource()
	path := serve(t, src, nil, nil)
	post := func(what string, size int) string {
		return "POST /v1/" + what + " HTTP/1.1\r\nHost: weir\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n" + strings.Repeat("x", size)
	}
	for _, row := range []struct {
		name, raw string
		want      int
	}{
		{"a request line of 1 MB", "GET /v1/" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: weir\r\n\r\n", 431},
		{"a header of 1 MB", "GET /v1/version HTTP/1.1\r\nHost: weir\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 431},
		{"no HTTP", "reload please\r\n\r\n", 400},
		{"a packet of 1 MB", "POST /v1/explain HTTP/1.1\r\nHost: weir\r\nContent-Length: 1048576\r\n\r\n{\"packet\": \"" + strings.Repeat("x", 1<<20), 413},
		{"a configuration over 4 MiB", post("apply", MaxApply+1), 413},
		{"a configuration of 4 MiB", post("apply", MaxApply), 200},
		{"half a question", "POST /v1/explain HTTP/1.1\r\nHost: weir\r\nContent-Length: 10\r\n\r\n{\"packet\":", 400},
		{"a question with an unknown key", "POST /v1/explain HTTP/1.1\r\nHost: weir\r\nContent-Length: 9\r\n\r\n{\"pkt\":1}", 400},
		{"a path that is none", "GET /v1/secrets HTTP/1.1\r\nHost: weir\r\n\r\n", 404},
		{"the wrong verb", "DELETE /v1/services HTTP/1.1\r\nHost: weir\r\n\r\n", 405},
		{"and after all that a good one", "GET /v1/services HTTP/1.1\r\nHost: weir\r\n\r\n", 200},
	} {
		if got := status(t, path, row.raw); got != row.want {
			t.Errorf("%s: status %d, want %d", row.name, got, row.want)
		}
	}
	if len(src.applied) != 1 {
		t.Errorf("%d configurations were applied, want only the one that fits", len(src.applied))
	}
}

func TestHalfARequestIsCutOff(t *testing.T) {
	path := serve(t, newSource(), func(l *Limits) {
		l.Header, l.Body, l.Idle = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	}, nil)
	for name, half := range map[string]string{
		"nothing":       "",
		"half a header": "GET /v1/version HT",
		"half a body":   "POST /v1/apply HTTP/1.1\r\nHost: weir\r\nContent-Length: 100\r\n\r\nhalf",
	} {
		conn := dial(t, path)
		_, _ = io.WriteString(conn, half) // a server that is quicker has ended the connection already
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%s: the server did not end the connection: %v", name, err)
		}
	}
}

func TestManyClientsWaitTheirTurn(t *testing.T) {
	src := newSource()
	var now, most atomic.Int32
	src.explain = func(p string) (Explanation, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return Explanation{Packet: p}, nil
	}
	path := serve(t, src, func(l *Limits) { l.Clients = 4 }, nil)
	ctx := within(t)
	var all sync.WaitGroup
	var answered atomic.Int32
	for range 1000 {
		all.Go(func() {
			if e, err := NewClient(path).Explain(ctx, "p"); err == nil && e.Packet == "p" {
				answered.Add(1)
			}
		})
	}
	all.Wait()
	if answered.Load() != 1000 || most.Load() > 4 {
		t.Errorf("%d of 1000 clients were answered, %d at a time; want all, 4 at a time", answered.Load(), most.Load())
	}
}

// endless lists flows until nobody wants more, and says so.
func endless(ended chan struct{}) func(func(Flow) bool) {
	return func(yield func(Flow) bool) {
		defer close(ended)
		for yield(Flow{Protocol: "tcp", State: "established"}) {
		}
	}
}

func TestListingEndsWithItsReader(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, path string){
		"a client that vanishes": func(t *testing.T, path string) {
			ctx, cancel := context.WithCancel(within(t))
			n := 0
			_, err := NewClient(path).Flows(ctx, 0, func(Flow) bool {
				if n++; n == 10 {
					cancel()
				}
				return true
			})
			if err == nil {
				t.Error("a list that was cut off looks whole")
			}
		},
		"a client that stops reading": func(t *testing.T, path string) {
			conn := dial(t, path)
			if _, err := io.WriteString(conn, "GET /v1/flows?limit=0 HTTP/1.1\r\nHost: weir\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			src, ended := newSource(), make(chan struct{})
			src.flows = endless(ended)
			path := serve(t, src, func(l *Limits) { l.Write = 100 * time.Millisecond }, nil)
			leave(t, path)
			select {
			case <-ended:
			case <-within(t).Done():
				t.Fatal("the flow table is still being listed")
			}
		})
	}
}

func TestPanicCostsOneAnswer(t *testing.T) {
	src := newSource()
	src.explain = func(string) (Explanation, error) { panic("boom") }
	var log lockedBuffer
	c := NewClient(serve(t, src, nil, slog.New(slog.NewTextHandler(&log, nil))))
	if _, err := c.Explain(within(t), "p"); err == nil || !strings.Contains(err.Error(), "its log says why") {
		t.Errorf("the client is told %v", err)
	}
	if _, err := c.Version(within(t)); err != nil {
		t.Errorf("the next question: %v", err)
	}
	if s := log.String(); !strings.Contains(s, "panic=boom") || strings.Count(s, "\n") != 1 {
		t.Errorf("the log says %q, want one line with the panic", s)
	}
}

// lockedBuffer is a log that two goroutines may use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
