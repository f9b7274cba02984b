package appliance

import (
	"errors"
	"sync"
)

// memory holds a director's flows outside Go's heap, where the system has
// better pages for them. What it gave is unmapped by free; a director that
// touched its flows afterwards would end the process, so whoever comes from
// outside asks by use.
type memory struct {
	using sync.RWMutex // held for reading by use, for writing by free
	freed bool

	mu     sync.Mutex // guards blocks
	blocks []mapping
}

// take is a director.Memory.
func (m *memory) take(bytes int) []byte {
	b, from := hugeMemory(bytes)
	if from != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.blocks = append(m.blocks, from)
	}
	return b
}

// use calls do while the memory is there, and reports whether it still was. do
// must not wait for the appliance's end.
func (m *memory) use(do func()) bool {
	m.using.RLock()
	defer m.using.RUnlock()
	if m.freed {
		return false
	}
	do()
	return true
}

// free gives everything back, once nobody uses it any more. The receive loops
// and the timer must have ended: they do not ask.
func (m *memory) free() error {
	m.using.Lock()
	defer m.using.Unlock()
	m.freed = true
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, b := range m.blocks {
		errs = append(errs, b.unmap())
	}
	m.blocks = nil
	return errors.Join(errs...)
}
