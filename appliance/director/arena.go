package director

import (
	"sync"
	"unsafe"
)

// Memory gives zeroed memory for what holds no pointers: the flows and their
// index. It is asked for whole blocks, rarely, and never given any back. The
// default is Go's heap; an appliance gives pages of 2 MB, because with a
// million flows half of a look-up's time is the walk through page tables.
type Memory func(bytes int) []byte

func heapMemory(bytes int) []byte { return make([]byte, bytes) }

// blockBytes is what the arena asks for at a time: one huge page.
const blockBytes = 2 << 20

// arena cuts blocks into the chunks of all shards' slabs, so that a few flows
// in each shard do not take a huge page a shard.
type arena struct {
	memory Memory
	mu     sync.Mutex
	block  []byte // what is left of the last block
}

// chunkBytes divides blockBytes, so that no chunk straddles two huge pages.
const chunkBytes = chunkFlows * unsafe.Sizeof(flow{})

func (a *arena) chunk() *[chunkFlows]flow {
	a.mu.Lock()
	defer a.mu.Unlock()
	if uintptr(len(a.block)) < chunkBytes {
		a.block = a.memory(blockBytes)
	}
	c := (*[chunkFlows]flow)(unsafe.Pointer(&a.block[0]))
	a.block = a.block[chunkBytes:]
	return c
}

// entries is an index's storage.
func (a *arena) entries(n int) []entry {
	b := a.memory(n * int(unsafe.Sizeof(entry(0))))
	return unsafe.Slice((*entry)(unsafe.Pointer(&b[0])), n)
}
