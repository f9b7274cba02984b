package main

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/appliance/config"
)

const (
	logLines   = 1024            // that wait for a slow reader
	flushLimit = 2 * time.Second // for the last lines, at the end
)

// logger writes log lines to w without ever waiting for it: a full disk or a
// pipe that nobody reads must not stand in the way of traffic. What does not
// fit is dropped and counted. close writes what is left.
func logger(w io.Writer, format config.LogFormat, level slog.Leveler) (log *slog.Logger, close func()) {
	handler := func(w io.Writer) slog.Handler {
		o := &slog.HandlerOptions{Level: level}
		if format == config.LogJSON {
			return slog.NewJSONHandler(w, o)
		}
		return slog.NewTextHandler(w, o)
	}
	direct := slog.New(handler(w))
	p := &patient{w: w, lines: make(chan []byte, logLines), done: make(chan struct{}), lost: func(n int64) {
		direct.Warn("log lines were dropped: their reader is too slow", "lines", n)
	}}
	go p.write() // until close
	return slog.New(handler(p)), p.close
}

// patient is a writer that waits in its callers' stead.
type patient struct {
	w       io.Writer
	lines   chan []byte
	dropped atomic.Int64
	lost    func(lines int64) // says so, on w
	done    chan struct{}

	mu     sync.Mutex // guards lines against close
	closed bool
}

// Write implements io.Writer; it never fails.
func (p *patient) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		select {
		case p.lines <- append([]byte(nil), line...):
		default:
			p.dropped.Add(1)
		}
	}
	return len(line), nil
}

func (p *patient) write() {
	defer close(p.done)
	for line := range p.lines {
		_, _ = p.w.Write(line) // there is nobody to tell
		if n := p.dropped.Swap(0); n > 0 {
			p.lost(n)
		}
	}
}

// close ends the writer; a reader that does not read is not waited for longer
// than flushLimit.
func (p *patient) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.lines)
	}
	p.mu.Unlock()
	select {
	case <-p.done:
	case <-time.After(flushLimit):
	}
}
