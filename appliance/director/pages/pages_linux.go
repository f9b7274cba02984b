// Package pages gives the director memory in pages of 2 MB. With a million
// flows every look-up is a few cache misses, and with pages of 4 KB each of
// them is a walk through the page tables as well.
package pages

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const huge = 2 << 20

// Huge returns zeroed memory outside Go's heap for what holds no pointers, on
// huge pages where the kernel has them (transparent_hugepage always or
// madvise). It is never given back. If the kernel refuses, it is Go's heap.
func Huge(bytes int) []byte {
	if bytes < huge/2 { // not worth a page of its own
		return make([]byte, bytes)
	}
	whole := (bytes + huge - 1) &^ (huge - 1)
	m, err := unix.Mmap(-1, 0, whole+huge, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, bytes)
	}
	// What lies in front of and behind the aligned part is never touched and
	// so never backed by memory.
	skip := int(-uintptr(unsafe.Pointer(&m[0])) & (huge - 1))
	m = m[skip : skip+whole]
	_ = unix.Madvise(m, unix.MADV_HUGEPAGE) // it is memory without it, too
	return m[:bytes:bytes]
}
