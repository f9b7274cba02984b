//go:build !linux

package appliance

// hugeMemory returns zeroed memory, on huge pages where the system has them: on
// Linux.
func hugeMemory(bytes int) []byte { return make([]byte, bytes) }
