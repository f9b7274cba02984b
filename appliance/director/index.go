package director

// entry is one direction of a flow in the index: the tag of its key's hash, the
// flow's place, and the direction. 0 is no entry.
type entry uint64

func entryOf(tag uint32, r ref, dir direction) entry {
	return entry(tag)<<32 | entry(r)<<1 | entry(dir)
}

func (e entry) tag() uint32    { return uint32(e >> 32) }
func (e entry) ref() ref       { return ref(uint32(e) >> 1) }
func (e entry) dir() direction { return direction(e & 1) }

// index is a hash table in order: entries lie sorted by tag, each at or behind
// its home, with gaps between (ordered linear probing, Amble and Knuth 1974).
// An unsuccessful search ends at the first larger tag, a removal leaves no
// tombstone, and there is no wrap: the last slots are spare.
type index struct {
	slots []entry
	homes uint64
	used  int
}

// spare slots behind the last home take the overflow of the last cluster.
const spare = 128

// init makes an empty index over storage of homes + spare entries.
func (x *index) init(storage []entry) {
	x.homes = uint64(len(storage) - spare)
	x.slots = storage
}

// room reports whether two more entries may be put in.
func (x *index) room() bool {
	n := len(x.slots)
	return x.used+2 <= int(x.homes)*9/10 && x.slots[n-2] == 0 && x.slots[n-1] == 0
}

func (x *index) home(tag uint32) int { return int(uint64(tag) * x.homes >> 32) }

// seek is the slot of the first entry with this tag, or where it would be.
func (x *index) seek(tag uint32) int {
	i := x.home(tag)
	for x.slots[i] != 0 && x.slots[i].tag() < tag {
		i++
	}
	return i
}

// has reports whether slot i holds an entry with this tag.
func (x *index) has(i int, tag uint32) bool {
	return x.slots[i] != 0 && x.slots[i].tag() == tag
}

// put enters e; there is room.
func (x *index) put(e entry) {
	for i := x.seek(e.tag()); e != 0; i++ {
		x.slots[i], e = e, x.slots[i]
	}
	x.used++
}

// drop takes e out and moves its cluster's rest one slot nearer to their homes.
func (x *index) drop(e entry) {
	i := x.seek(e.tag())
	for x.slots[i] != e {
		i++
	}
	for ; x.slots[i+1] != 0 && x.home(x.slots[i+1].tag()) <= i; i++ {
		x.slots[i] = x.slots[i+1]
	}
	x.slots[i] = 0
	x.used--
}

// ref is the place of a flow in its shard's slab, counted from 1; 0 is none.
type ref uint32

// slab holds the flows of a shard in chunks that are never moved or given back.
type slab struct {
	chunks []*[chunkFlows]flow
	used   ref // places ever given out
	free   ref // the first place given back, chained by next
	arena  *arena
}

const chunkFlows = 512

func (s *slab) at(r ref) *flow {
	return &s.chunks[(r-1)/chunkFlows][(r-1)%chunkFlows]
}

// alloc returns a place; its self is set, the rest is whatever it was.
func (s *slab) alloc() *flow {
	if s.free != 0 {
		f := s.at(s.free)
		s.free = f.next
		return f
	}
	if int(s.used) == len(s.chunks)*chunkFlows {
		s.chunks = append(s.chunks, s.arena.chunk())
	}
	s.used++
	f := s.at(s.used)
	f.self = s.used
	return f
}

func (s *slab) release(f *flow) {
	*f = flow{self: f.self, next: s.free}
	s.free = f.self
}
