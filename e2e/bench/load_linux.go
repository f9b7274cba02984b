package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every step of a load: what takes longer is an error.
const patience = 2 * time.Second

// load starts the workers of one kind of load and returns once each has its
// connection. They end with the process.
func (g *generator) load(kind string, target netip.Addr, streams int) error {
	kinds := map[string]struct {
		port   uint16
		worker func(*net.TCPConn)
	}{
		"bulk": {bulkPort, g.sendBulk},
		"rr":   {rrPort, g.requestBytes},
		"http": {httpPort, g.requestHTTP},
	}
	k, known := kinds[kind]
	switch {
	case kind == "udp":
		return g.sendDatagrams(netip.AddrPortFrom(target, udpPort))
	case kind == "conn":
		for range streams {
			go g.requestAnew(netip.AddrPortFrom(target, httpPort), g.newLatencies())
		}
		return nil
	case !known:
		return fmt.Errorf("there is no load %q", kind)
	}
	for range streams {
		conn, err := dial(netip.AddrPortFrom(target, k.port))
		if err != nil {
			return err
		}
		go k.worker(conn)
	}
	return nil
}

func dial(to netip.AddrPort) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: patience, KeepAlive: -1}
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(context.Background(), "tcp", to.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

func (g *generator) sendBulk(conn *net.TCPConn) {
	buf := make([]byte, chunk)
	for {
		n, err := conn.Write(buf)
		g.bytes.Add(uint64(n))
		if err != nil {
			g.fault(err)
			return
		}
	}
}

// requestBytes sends a byte and waits for it, again and again, in blocking
// system calls on a thread of its own.
func (g *generator) requestBytes(conn *net.TCPConn) {
	runtime.LockOSThread()
	file, fd, err := blocking(conn)
	if err != nil {
		g.fault(err)
		return
	}
	defer file.Close()
	timeout := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		g.fault(err)
		return
	}
	took := g.newLatencies()
	buf := make([]byte, 1)
	for {
		began := time.Now()
		if err := whole(unix.Write, fd, buf); err != nil {
			g.fault(fmt.Errorf("send a byte: %w", err))
			return
		}
		if err := whole(unix.Read, fd, buf); err != nil {
			g.fault(fmt.Errorf("receive it again: %w", err))
			return
		}
		took.add(time.Since(began))
		g.requests.Add(1)
	}
}

func (g *generator) requestHTTP(conn *net.TCPConn) {
	defer conn.Close()
	took := g.newLatencies()
	buf := make([]byte, 4096)
	for {
		began := time.Now()
		conn.SetDeadline(began.Add(patience))
		if err := get(conn, httpRequest, buf); err != nil {
			g.fault(err)
			return
		}
		took.add(time.Since(began))
		g.requests.Add(1)
	}
}

// requestAnew opens a connection for each request. The server closes first, so
// that TIME_WAIT does not use up the client's ports.
func (g *generator) requestAnew(to netip.AddrPort, took *latencies) {
	buf := make([]byte, 4096)
	for {
		began := time.Now()
		if err := g.once(to, began, buf); err != nil {
			g.fault(err)
			time.Sleep(time.Millisecond) // an error that comes at once must not become a flood
			continue
		}
		took.add(time.Since(began))
		g.requests.Add(1)
	}
}

func (g *generator) once(to netip.AddrPort, began time.Time, buf []byte) error {
	conn, err := dial(to)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(began.Add(patience))
	if err := get(conn, httpLast, buf); err != nil {
		return err
	}
	if n, err := conn.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("%d bytes behind the answer: %w", n, err)
	}
	return nil
}

// get sends a request and reads its answer, exactly as long as that says it is.
func get(conn net.Conn, request, buf []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	have, want := 0, len(buf)
	for have < want {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return err
		}
		have += n
		if want == len(buf) {
			want = answerLength(buf[:have], want)
		}
	}
	if have != want || !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answer of %d bytes, want a 200 of %d", have, want)
	}
	return nil
}

// answerLength is the whole length of the answer that begins in b, or unknown.
func answerLength(b []byte, unknown int) int {
	header, _, whole := bytes.Cut(b, headerEnd)
	if !whole {
		return unknown
	}
	_, rest, _ := bytes.Cut(header, []byte("\r\nContent-Length: "))
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		return unknown
	}
	return len(header) + len(headerEnd) + n
}

// sendDatagrams sends as fast as one socket can.
func (g *generator) sendDatagrams(to netip.AddrPort) error {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return err
	}
	file, err := conn.File()
	if err != nil {
		return err
	}
	conn.Close()
	fd := int(file.Fd())
	timeout := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
		return err
	}
	go func() {
		runtime.LockOSThread()
		defer file.Close()
		batch := newBatch(datagramSize)
		for {
			n, err := batch.send(fd)
			g.sent.Add(uint64(n))
			if err != nil {
				g.fault(fmt.Errorf("send datagrams: %w", err))
				return
			}
		}
	}()
	return nil
}
