package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// datagramSize is the payload, in bytes, of the UDP load.
const datagramSize = 64

// batchSize is how many datagrams go through one system call.
const batchSize = 64

// mmsghdr is struct mmsghdr of sendmmsg(2), which x/sys does not have.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// batch is the datagrams of one system call: built once, used for ever.
type batch struct {
	msgs [batchSize]mmsghdr
	vecs [batchSize]unix.Iovec
	buf  []byte
}

func newBatch(size int) *batch {
	b := &batch{buf: make([]byte, batchSize*size)}
	for i := range b.msgs {
		b.vecs[i].Base = &b.buf[i*size]
		b.vecs[i].SetLen(size)
		b.msgs[i].hdr.Iov = &b.vecs[i]
		b.msgs[i].hdr.SetIovlen(1)
	}
	return b
}

// send returns how many datagrams the kernel has taken.
func (b *batch) send(fd int) (int, error) { return b.call(unix.SYS_SENDMMSG, fd, 0) }

// receive waits for one datagram and takes those that are there with it.
func (b *batch) receive(fd int) (int, error) {
	return b.call(unix.SYS_RECVMMSG, fd, unix.MSG_WAITFORONE)
}

func (b *batch) call(trap uintptr, fd, flags int) (int, error) {
	for {
		n, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&b.msgs[0])), batchSize, uintptr(flags), 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.ENOBUFS, unix.ECONNREFUSED:
			return 0, nil // this one is lost; the next may get through
		default:
			return 0, errno
		}
	}
}
