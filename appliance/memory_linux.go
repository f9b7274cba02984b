package appliance

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20

// mapping is a whole mapping, as the kernel gave it.
type mapping []byte

func (m mapping) unmap() error {
	if err := unix.Munmap(m); err != nil {
		return fmt.Errorf("give back the flows' memory: %w", err)
	}
	return nil
}

// hugeMemory returns zeroed memory outside Go's heap for what holds no
// pointers, on pages of 2 MB where the kernel has them (transparent_hugepage
// always or madvise): with a million flows every look-up is a few cache misses,
// and with pages of 4 KB each of them is a walk through the page tables as
// well. It lasts until from is unmapped. If the kernel refuses, it is Go's
// heap, and from is nil.
func hugeMemory(bytes int) (b []byte, from mapping) {
	whole := (bytes + hugePage - 1) &^ (hugePage - 1)
	m, err := unix.Mmap(-1, 0, whole+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, bytes), nil
	}
	// What lies in front of and behind the aligned part is never touched and
	// so never backed by memory.
	skip := int(-uintptr(unsafe.Pointer(&m[0])) & (hugePage - 1))
	b = m[skip : skip+whole]
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // it is memory without it, too
	return b[:bytes:bytes], m
}
