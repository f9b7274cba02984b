package director

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"

	"weir/netstack/packet"
)

// shards is the number of parts of the flow table, each with its own lock: with
// a handful of queues two packets rarely meet in one.
const shards = 16

// flowTable is the set of live flows: bounded, sharded by the client's end –
// the one thing that both directions of a flow show – and found from either
// direction through one index a shard.
type flowTable struct {
	seeds  [4]uint64
	limit  int64
	live   atomic.Int64
	pool   *pool // nil: none
	shards [shards]shard
}

// shard is one part of the flow table.
type shard struct {
	mu    sync.Mutex
	index index
	flows slab
	timer timers
	count shardCounts
	table *flowTable
	place uint32   // the shard's number, where a flow's place is one number
	_     [64]byte // keeps the next shard's lock out of this one's cache line
}

func newFlowTable(limit int, seed uint64, memory Memory, lent *pool) *flowTable {
	t := &flowTable{limit: int64(limit), pool: lent}
	a := &arena{memory: memory}
	for i := range t.seeds {
		seed = splitmix(seed)
		t.seeds[i] = seed
	}
	// Each flow has two entries; a shard may hold a third more than its share,
	// because hashing does not share out evenly, and runs at seven tenths.
	slots := (limit/shards*2*10/7 + 64) * 11 / 10
	size := slots + spare
	all := a.entries(size * shards)
	for i := range t.shards {
		t.shards[i].table, t.shards[i].place = t, uint32(i)<<refBits
		t.shards[i].index.init(all[i*size : (i+1)*size : (i+1)*size])
		t.shards[i].flows.arena = a
		t.shards[i].timer.init()
	}
	return t
}

// splitmix is the step of the SplitMix64 generator (Steele, Lea, Flood 2014).
func splitmix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// flowHash is the hash of one key: of each end, and of both.
type flowHash struct {
	src, dst uint64
	tag      uint32
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hash is keyed by the table's seeds, so that nobody outside can choose 5-tuples
// that meet in one place.
func (t *flowTable) hash(k *packet.FlowKey) flowHash {
	class := uint64(k.Proto)<<16 | uint64(k.Version)<<24
	h := flowHash{src: t.end(&k.Src, class|uint64(k.SrcPort)), dst: t.end(&k.Dst, class|uint64(k.DstPort))}
	h.tag = uint32(mix(h.src^t.seeds[2], h.dst^t.seeds[3]) >> 32)
	return h
}

func (t *flowTable) end(a *packet.Addr, rest uint64) uint64 {
	hi, lo := binary.LittleEndian.Uint64(a[:8]), binary.LittleEndian.Uint64(a[8:])
	return mix(hi^t.seeds[0]^rest, lo^t.seeds[1]) ^ rest*0x9e3779b97f4a7c15
}

func (t *flowTable) shardOf(end uint64) *shard { return &t.shards[end>>60] }

// find returns the flow of a packet with key k and locks its shard; the caller
// unlocks it. Without a flow nothing is locked. A packet to a VIP is looked for
// as a request first, any other as a reply first.
func (t *flowTable) find(h *flowHash, k *packet.FlowKey, toVIP bool) (*shard, *flow, direction) {
	if t.pool.maybe(&k.Dst) {
		if s, f := t.lent(k); f != nil {
			return s, f, reply
		}
	}
	first := reply
	if toVIP {
		first = request
	}
	if s, f := t.probe(h, k, first); f != nil {
		return s, f, first
	}
	if s, f := t.probe(h, k, 1-first); f != nil {
		return s, f, 1 - first
	}
	return nil, nil, first
}

// probe looks in the shard of the end that is the client's in this direction.
func (t *flowTable) probe(h *flowHash, k *packet.FlowKey, dir direction) (*shard, *flow) {
	client := h.src
	if dir == reply {
		client = h.dst
	}
	s := t.shardOf(client)
	s.mu.Lock()
	if f := s.lookup(h.tag, k, dir); f != nil {
		return s, f
	}
	s.mu.Unlock()
	return s, nil
}

// lent finds the flow that was lent the address and port a reply goes to.
func (t *flowTable) lent(k *packet.FlowKey) (*shard, *flow) {
	place := t.pool.place(k)
	if place == 0 {
		return nil, nil
	}
	s := &t.shards[place>>refBits]
	s.mu.Lock()
	// The flow may have ended since the place was read.
	if f := s.flows.at(ref(place & (1<<refBits - 1))); f.method == FullNAT && f.matches(reply, k) {
		return s, f
	}
	s.mu.Unlock()
	return nil, nil
}

// lookup finds a flow of the shard, which is locked.
func (s *shard) lookup(tag uint32, k *packet.FlowKey, dir direction) *flow {
	for i := s.index.seek(tag); s.index.has(i, tag); i++ {
		e := s.index.slots[i]
		if e.dir() != dir {
			continue
		}
		if f := s.flows.at(e.ref()); f.matches(dir, k) {
			return f
		}
	}
	return nil
}

// insertResult says how an insertion went.
type insertResult uint8

const (
	inserted insertResult = iota
	full                  // the table's bound, and nothing to evict
	taken                 // another live flow has the same reply tuple
)

// insert stores f, whose request key's tag this is, and returns where; the
// shard is locked, and the caller has seen that no flow has the key.
func (s *shard) insert(f *flow, tag uint32, tbl *Table) (*flow, insertResult) {
	back, indexed := s.replyTag(f)
	if indexed {
		k := f.key(reply)
		if other := s.lookup(back, &k, reply); other != nil {
			if !other.state.over() {
				return nil, taken
			}
			s.replace(other, tbl)
		}
	}
	if s.table.live.Add(1) > s.table.limit || !s.index.room() {
		if !s.evict(tbl) || !s.index.room() {
			s.table.live.Add(-1)
			return nil, full
		}
	}
	g := s.flows.alloc()
	self := g.self
	*g = *f
	g.self = self
	s.index.put(entryOf(tag, self, request))
	if indexed {
		s.index.put(entryOf(back, self, reply))
	}
	if g.method == FullNAT {
		s.table.pool.stored(g, s.place|uint32(self))
	}
	s.arm(g, tbl)
	if r := tbl.real(g.server); r != nil {
		r.count(g.state, 1)
		r.created.Add(1)
	}
	s.count.created++
	return g, inserted
}

// replyTag is the tag of the flow's reply key, and whether it is in the index:
// replies of fullnat are found through the pool, and with one-way methods weir
// gets none.
func (s *shard) replyTag(f *flow) (tag uint32, indexed bool) {
	if f.method != NAT {
		return 0, false
	}
	k := f.key(reply)
	return s.table.hash(&k).tag, true
}

// remove forgets a flow; the shard is locked.
func (s *shard) remove(f *flow, tbl *Table) {
	k := f.key(request)
	s.index.drop(entryOf(s.table.hash(&k).tag, f.self, request))
	if back, indexed := s.replyTag(f); indexed {
		s.index.drop(entryOf(back, f.self, reply))
	}
	if f.method == FullNAT {
		s.table.pool.giveBack(f)
	}
	s.unlink(f)
	if r := tbl.real(f.server); r != nil {
		r.count(f.state, -1)
	}
	s.flows.release(f)
	s.table.live.Add(-1)
}

// replace forgets a flow that is over because its addresses and ports begin anew.
func (s *shard) replace(f *flow, tbl *Table) {
	s.remove(f, tbl)
	s.count.replaced++
}
