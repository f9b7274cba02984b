package appliance

import "testing"

func TestMemoryIsZeroedWritableAndAsLongAsAsked(t *testing.T) {
	for _, n := range []int{4096, 2 << 20, 3<<20 + 17} {
		m, from := hugeMemory(n)
		if len(m) != n || cap(m) != n {
			t.Fatalf("%d bytes asked, got %d of %d", n, len(m), cap(m))
		}
		for i := 0; i < n; i += 997 {
			if m[i] != 0 {
				t.Fatalf("byte %d of %d is not zero", i, n)
			}
			m[i] = 1
		}
		m[n-1] = 1
		if err := from.unmap(); from != nil && err != nil {
			t.Error(err)
		}
	}
}
