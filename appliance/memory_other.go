//go:build !linux

package appliance

// mapping is nothing here.
type mapping []byte

func (mapping) unmap() error { return nil }

// hugeMemory returns zeroed memory, on huge pages where the system has them: on
// Linux. Here it is Go's heap, which needs no unmapping.
func hugeMemory(bytes int) ([]byte, mapping) { return make([]byte, bytes), nil }
