package appliance

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20

// hugeMemory returns zeroed memory outside Go's heap for what holds no
// pointers, on pages of 2 MB where the kernel has them (transparent_hugepage
// always or madvise): with a million flows every look-up is a few cache misses,
// and with pages of 4 KB each of them is a walk through the page tables as
// well. It is never given back. If the kernel refuses, it is Go's heap.
func hugeMemory(bytes int) []byte {
	whole := (bytes + hugePage - 1) &^ (hugePage - 1)
	m, err := unix.Mmap(-1, 0, whole+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, bytes)
	}
	// What lies in front of and behind the aligned part is never touched and
	// so never backed by memory.
	skip := int(-uintptr(unsafe.Pointer(&m[0])) & (hugePage - 1))
	m = m[skip : skip+whole]
	_ = unix.Madvise(m, unix.MADV_HUGEPAGE) // it is memory without it, too
	return m[:bytes:bytes]
}
