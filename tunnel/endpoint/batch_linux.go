package endpoint

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"weir/netstack/device"
	"weir/netstack/packet"
)

// batchSize is how many packets one system call reads at most, and so how many
// can be put together. 64 full segments are more than a super-packet holds.
const batchSize = 64

// controlLen holds the control messages that a socket has asked for.
const controlLen = 128

// batch is where packets are read to: some 4 MiB, of which small packets touch
// a page each.
type batch struct {
	packets [batchSize]packet.Packet
	names   [batchSize][unix.SizeofSockaddrInet6]byte
	control [batchSize][controlLen]byte
	iov     [batchSize]unix.Iovec
	headers [batchSize]mmsghdr
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32 // bytes read
}

func newBatch() *batch {
	b := new(batch)
	for i := range b.packets {
		store := make([]byte, device.BufferSize)
		b.packets[i].Store = store
		b.iov[i].Base = &store[packet.Headroom]
		b.iov[i].SetLen(len(store) - packet.Headroom)
		h := &b.headers[i]
		h.Name, h.Control = &b.names[i][0], &b.control[i][0]
		h.Iov = &b.iov[i]
		h.SetIovlen(1)
	}
	return b
}

// receive reads what fd has, up to batchSize packets, and does not wait.
func (b *batch) receive(fd int) (n int, err error) {
	for i := range b.headers {
		h := &b.headers[i]
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlLen)
	}
	for {
		got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&b.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(got), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// packet is the i-th packet that was read, the socket address and the control
// messages that came with it; ok is false if it was longer than the storage.
func (b *batch) packet(i int) (p *packet.Packet, name, control []byte, ok bool) {
	h := &b.headers[i]
	p = &b.packets[i]
	store := p.Store
	*p = packet.Packet{Store: store, Start: packet.Headroom, End: packet.Headroom + int(h.n)}
	return p, b.names[i][:h.Namelen], b.control[i][:h.Controllen], h.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) == 0
}
