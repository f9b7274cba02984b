package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// chunk is how much a bulk stream reads or writes at once.
const chunk = 256 << 10

// serve starts every service. Its goroutines end with the process.
func (g *generator) serve(addr netip.Addr) error {
	for port, handle := range map[uint16]func(*net.TCPConn){
		bulkPort: g.takeBulk,
		rrPort:   g.echoBytes,
		httpPort: g.answerHTTP,
	} {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		ln, err := lc.Listen(context.Background(), "tcp", netip.AddrPortFrom(addr, port).String())
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					g.fault(err)
					return
				}
				go handle(conn.(*net.TCPConn))
			}
		}()
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, udpPort)))
	if err != nil {
		return err
	}
	file, err := conn.File()
	if err != nil {
		return err
	}
	conn.Close()
	go g.takeDatagrams(file)
	return nil
}

func (g *generator) takeBulk(conn *net.TCPConn) {
	defer conn.Close()
	buf := make([]byte, chunk)
	for {
		n, err := conn.Read(buf)
		g.bytes.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

// blocking takes the socket out of the runtime's poller: one system call waits
// and returns, which is what a latency should be measured with. The caller
// closes the file.
func blocking(conn *net.TCPConn) (*os.File, int, error) {
	file, err := conn.File()
	if err != nil {
		return nil, 0, err
	}
	conn.Close()
	return file, int(file.Fd()), nil // Fd makes it blocking
}

func (g *generator) echoBytes(conn *net.TCPConn) {
	runtime.LockOSThread()
	file, fd, err := blocking(conn)
	if err != nil {
		return
	}
	defer file.Close()
	buf := make([]byte, 1)
	for {
		if whole(unix.Read, fd, buf) != nil || whole(unix.Write, fd, buf) != nil {
			return
		}
	}
}

// whole reads or writes the one byte of buf. The runtime interrupts system calls
// that take long.
func whole(call func(int, []byte) (int, error), fd int, buf []byte) error {
	for {
		n, err := call(fd, buf)
		switch {
		case err == unix.EINTR:
		case err == nil && n != len(buf):
			return io.ErrUnexpectedEOF
		default:
			return err
		}
	}
}

// The answer to every GET, and what a request that wants no other says.
var (
	httpAnswer  = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n" + string(bytes.Repeat([]byte("weir"), 32)))
	httpRequest = []byte("GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
	httpLast    = []byte("GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
	headerEnd   = []byte("\r\n\r\n")
)

// answerHTTP is a server reduced to its system calls, so that the director and
// not the server sets the pace.
func (g *generator) answerHTTP(conn *net.TCPConn) {
	defer conn.Close()
	buf := make([]byte, 4096)
	have := 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		if !bytes.HasSuffix(buf[:have], headerEnd) {
			if have == len(buf) {
				return
			}
			continue
		}
		last := bytes.Contains(buf[:have], []byte("Connection: close"))
		if _, err := conn.Write(httpAnswer); err != nil || last {
			return
		}
		have = 0
	}
}

// takeDatagrams counts what comes, many a system call.
func (g *generator) takeDatagrams(file *os.File) {
	runtime.LockOSThread()
	defer file.Close() // and with it keep the descriptor from the collector
	fd := int(file.Fd())
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)      // as much as the limit allows
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) // all of it, where we may
	batch := newBatch(datagramSize)
	for {
		n, err := batch.receive(fd)
		if err != nil {
			g.fault(err)
			return
		}
		g.received.Add(uint64(n))
	}
}
