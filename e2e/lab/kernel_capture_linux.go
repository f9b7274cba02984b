package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// captureQueue is the receive buffer that a capture asks for: room for what
// arrives while the reader is not on a CPU.
const captureQueue = 32 << 20

func (w *kernelWorld) Capture(node, segment string) (*Capture, error) {
	h := w.Host(node).(*kernelHost)
	var file *os.File
	err := h.ns.do(func() (err error) {
		file, err = openPacketSocket(segment)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("capture at %s on %s: %w", node, segment, err)
	}
	c := newCapture()
	done := make(chan error, 1)
	go func() { done <- readFrames(file, c) }() // ends with the deadline that stop sets
	c.stop = func() error {
		file.SetReadDeadline(time.Unix(1, 0))
		err := <-done
		return errors.Join(err, file.Close())
	}
	w.mu.Lock()
	closed := w.closed
	if !closed {
		w.captures = append(w.captures, c)
	}
	w.mu.Unlock()
	if closed {
		return nil, errors.Join(errClosed, c.Stop())
	}
	return c, nil
}

// openPacketSocket opens an AF_PACKET socket bound to the interface, with what
// the kernel knows beside the bytes of a frame. It must run in the namespace.
func openPacketSocket(name string) (*os.File, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	// Protocol 0 until it is bound: else frames of other interfaces come first.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "capture of "+name)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, captureQueue)      // as much as the limit allows
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureQueue) // all of it, where we may
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: link.Attrs().Index})
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// readFrames adds frames to c until the file's deadline, then those that are
// queued already.
func readFrames(file *os.File, c *Capture) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<17)
	oob := make([]byte, 256)
	read := func(fd uintptr) bool {
		for {
			n, oobn, _, from, err := unix.Recvmsg(int(fd), buf, oob, 0)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return err != unix.EAGAIN
			}
			c.add(frame(buf[:n], oob[:oobn], from))
		}
	}
	if err := raw.Read(read); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return raw.Control(func(fd uintptr) { read(fd) })
}

// frame copies what was read. A VLAN tag that the kernel has taken out of the
// bytes goes back to where it was.
func frame(bytes, oob []byte, from unix.Sockaddr) Frame {
	f := Frame{At: time.Now()}
	if ll, ok := from.(*unix.SockaddrLinklayer); ok {
		f.Out = ll.Pkttype == unix.PACKET_OUTGOING
	}
	messages, _ := syscall.ParseSocketControlMessage(oob)
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS:
			if at, ok := control[unix.Timespec](m.Data); ok {
				f.At = time.Unix(at.Unix())
			}
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA:
			aux, ok := control[unix.TpacketAuxdata](m.Data)
			f.Partial = ok && aux.Status&unix.TP_STATUS_CSUMNOTREADY != 0
			if ok && aux.Status&unix.TP_STATUS_VLAN_VALID != 0 && len(bytes) >= 12 {
				f.Data = append(f.Data, bytes[:12]...)
				f.Data = binary.BigEndian.AppendUint16(f.Data, aux.Vlan_tpid)
				f.Data = binary.BigEndian.AppendUint16(f.Data, aux.Vlan_tci)
				bytes = bytes[12:]
			}
		}
	}
	f.Data = append(f.Data, bytes...)
	return f
}

// control reads a control message that is a C structure.
func control[T any](data []byte) (v T, ok bool) {
	if len(data) < int(unsafe.Sizeof(v)) {
		return v, false
	}
	return *(*T)(unsafe.Pointer(&data[0])), true
}
