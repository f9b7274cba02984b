package main

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"

	"weir/appliance/config"
)

// gate is a reader of logs that reads nothing until it is opened.
type gate struct {
	open  chan struct{}
	lines bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	return g.lines.Write(p)
}

func TestBlockedLogCostsLinesAndNoTime(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	log, flush := logger(g, config.LogText, slog.LevelInfo)
	for range 10 * logLines { // would hang here if it waited
		log.Info("a line")
	}
	close(g.open)
	flush()
	text := g.lines.String()
	kept := strings.Count(text, `msg="a line"`)
	if kept < logLines || kept > logLines+1 {
		t.Errorf("%d lines were kept, want the %d that fit, or one more under way", kept, logLines)
	}
	if lost := 10*logLines - kept; !strings.Contains(text, "log lines were dropped") || !strings.Contains(text, "lines="+number0(lost)) {
		t.Errorf("the log does not tell of %d lost lines:\n%s", lost, text[len(text)-200:])
	}
	log.Info("after the end") // is lost, and nothing else
}

func number0(n int) string { return strings.ReplaceAll(number(n), ",", "") }

func TestLogsFormatAndLevel(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	level.Set(slog.LevelWarn)
	log, flush := logger(&b, config.LogJSON, &level)
	log.Info("too low")
	level.Set(slog.LevelInfo)
	log.Info("high enough")
	flush()
	if s := b.String(); strings.Contains(s, "too low") || !strings.Contains(s, `"msg":"high enough"`) {
		t.Errorf("the log is %q", s)
	}
}

// A reader that never reads must not keep weir from ending.
func TestFlushGivesUp(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	log, flush := logger(w, config.LogText, slog.LevelInfo)
	log.Info("a line that nobody reads")
	flush()
}
