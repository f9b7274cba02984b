package lab

import (
	"fmt"
	"io"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernelInjector writes to a packet socket that receives nothing.
type kernelInjector struct {
	node string
	file *os.File
}

func (w *kernelWorld) Inject(node, segment string) (io.WriteCloser, error) {
	h := w.Host(node).(*kernelHost)
	i := &kernelInjector{node: node}
	err := h.ns.do(func() error {
		link, err := netlink.LinkByName(segment)
		if err != nil {
			return err
		}
		// Protocol 0, bound or not: nothing is queued that nobody reads.
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		i.file = os.NewFile(uintptr(fd), "frames into "+segment)
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}); err != nil {
			i.file.Close()
			return os.NewSyscallError("bind", err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("inject at %s on %s: %w", node, segment, err)
	}
	return i, nil
}

func (i *kernelInjector) Write(frame []byte) (int, error) {
	if err := checkFrame(i.node, frame); err != nil {
		return 0, err
	}
	n, err := i.file.Write(frame)
	if err != nil {
		return n, fmt.Errorf("inject at %s: %w", i.node, err)
	}
	return n, nil
}

func (i *kernelInjector) Close() error { return i.file.Close() }
