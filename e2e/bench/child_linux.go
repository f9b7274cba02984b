package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"weir/e2e/lab"
)

// child is a generator in a host's namespace.
type child struct {
	process lab.Process
	in, out *os.File
	lines   *bufio.Reader
	errs    *tail
}

// startChild starts a generator and waits until it is ready.
func startChild(ctx context.Context, h lab.Host, args ...string) (*child, error) {
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		childIn.Close()
		in.Close()
		return nil, err
	}
	c := &child{in: in, out: out, lines: bufio.NewReader(out), errs: &tail{}}
	cmd := exec.Command("/proc/self/exe", append([]string{generatorArg}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = childIn, childOut, c.errs
	c.process, err = h.(lab.Starter).Start(cmd)
	childIn.Close()
	childOut.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	line, err := c.line(ctx)
	if err == nil && line != "ready" {
		err = fmt.Errorf("it said %q", line)
	}
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("traffic generator %s: %w", strings.Join(args, " "), err)
	}
	return c, nil
}

// line reads a line, not longer than ctx lasts.
func (c *child) line(ctx context.Context) (string, error) {
	if deadline, ok := ctx.Deadline(); ok {
		c.out.SetReadDeadline(deadline)
	}
	defer context.AfterFunc(ctx, func() { c.out.SetReadDeadline(time.Unix(1, 0)) })()
	line, err := c.lines.ReadString('\n')
	if err == nil {
		return strings.TrimSpace(line), nil
	}
	if said := c.errs.line(); said != "" {
		return "", errors.New(said)
	}
	return "", err
}

// count asks for the generator's counts.
func (c *child) count(ctx context.Context) (n counts, err error) {
	if _, err := c.in.WriteString("\n"); err != nil {
		return n, err
	}
	line, err := c.line(ctx)
	if err != nil {
		return n, err
	}
	if err := json.Unmarshal([]byte(line), &n); err != nil {
		return n, fmt.Errorf("a generator said %q: %w", line, err)
	}
	return n, nil
}

// stop ends the generator: it does so by itself when its input ends, and is
// killed if not.
func (c *child) stop() {
	c.in.Close()
	select {
	case <-c.process.Done():
	case <-time.After(time.Second):
		c.process.Stop()
	}
	c.out.Close()
}

// tail keeps the end of what a program writes: its last words are its error.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailMax = 4096

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - tailMax; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

// line is the last line.
func (t *tail) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.text))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
