package control

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Source is what answers. Its methods are called from many goroutines at once.
type Source interface {
	Snapshot() Snapshot
	// Flows calls yield for each live flow until it returns false, and is not
	// in the way of traffic while yield takes its time.
	Flows(yield func(Flow) bool)
	// Explain says what would become of a packet in text form.
	Explain(packet string) (Explanation, error)
	// Plan says what would change with the configuration in text; name is the
	// file's name in its faults. The error may be Faults.
	Plan(name string, text []byte) (Plan, error)
	// Pending is Plan for the file that weir was started with, read now.
	Pending() (Plan, error)
	// Apply makes the configuration in text the one in force, or changes
	// nothing.
	Apply(name string, text []byte) (Plan, error)
}

// Limits bound what clients can cost.
type Limits struct {
	Clients int           // connections at a time; others wait to be accepted
	Header  time.Duration // for a request's header to arrive
	Body    time.Duration // for a whole request to arrive
	Write   time.Duration // for a client to take a part of the answer
	Idle    time.Duration // between two requests
}

// DefaultLimits leave room for a few impatient people and their scripts.
func DefaultLimits() Limits {
	return Limits{Clients: 64, Header: 5 * time.Second, Body: 10 * time.Second, Write: 10 * time.Second, Idle: 30 * time.Second}
}

// Sizes of requests, in bytes.
const (
	maxHeader  = 16 << 10
	maxPacket  = 64 << 10 // a packet to explain
	MaxApply   = 4 << 20  // a configuration
	stopWithin = time.Second
)

// Server answers on one listener. It is a Task.
type Server struct {
	listener net.Listener
	http     *http.Server
	ready    chan struct{}
}

// NewServer makes the server of a listener, which it owns from then on.
func NewServer(l net.Listener, s Source, v Version, limits Limits, log *slog.Logger) *Server {
	h := &handlers{source: s, version: v, limits: limits, log: log}
	return &Server{
		listener: netutil.LimitListener(l, limits.Clients),
		ready:    make(chan struct{}),
		http: &http.Server{
			Handler:           h.routes(),
			ReadHeaderTimeout: limits.Header,
			ReadTimeout:       limits.Body,
			WriteTimeout:      limits.Body + limits.Write,
			IdleTimeout:       limits.Idle,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          quiet(log),
		},
	}
}

// quiet keeps net/http's remarks about clients at the debug level.
func quiet(to *slog.Logger) *log.Logger { return slog.NewLogLogger(to.Handler(), slog.LevelDebug) }

// Ready is closed when requests are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// String names the task.
func (s *Server) String() string { return "control" }

// Run answers until ctx ends; requests under way get a second to finish.
func (s *Server) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // ends within stopWithin
		defer close(stopped)
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if s.http.Shutdown(late) != nil {
			_ = s.http.Close()
		}
	})
	close(s.ready)
	err := s.http.Serve(s.listener)
	if stop() { // not by ctx
		_ = s.http.Close()
	} else {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("control socket: accept: %w", err)
}

// Close is for a server that Run never started.
func (s *Server) Close() error { return s.listener.Close() }
