package pages

import (
	"testing"
	"unsafe"
)

func TestMemoryIsZeroedWritableAndAsLongAsAsked(t *testing.T) {
	for _, n := range []int{1, 4096, 1 << 20, 2 << 20, 3<<20 + 17} {
		m := Huge(n)
		if len(m) != n || cap(m) < n {
			t.Fatalf("%d bytes asked, got %d", n, len(m))
		}
		for i := 0; i < n; i += 997 {
			if m[i] != 0 {
				t.Fatalf("byte %d of %d is not zero", i, n)
			}
			m[i] = 1
		}
		m[n-1] = 1
		if uintptr(unsafe.Pointer(&m[0]))%8 != 0 {
			t.Errorf("%d bytes do not begin at a whole word", n)
		}
	}
}
