package director

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"weir/netstack/packet"
)

// pool lends source addresses and ports to fullnat flows. A port is lent per
// pool address, real server and protocol: towards another real server the same
// one can be lent again, since replies tell the two apart. What is lent is the
// index by which replies find their flow, whatever shard it is in.
type pool struct {
	addrs     []packet.Addr
	filter    [vipFilterSize / 64]uint64
	from      int // the first port
	ports     int // how many from there
	nextAddr  atomic.Uint32
	mu        sync.Mutex // guards making a set
	sets      atomic.Pointer[map[poolKey]*portSet]
	exhausted atomic.Uint64
}

// poolKey is who a set of ports is for.
type poolKey struct {
	local, real packet.Addr
	realPort    uint16
	proto       uint8
}

// portSet is the ports of one key. Each slot is 0 or a place in the flow table;
// slots come in pages, because most sets lend few.
type portSet struct {
	mu     sync.Mutex // guards taking and giving back, not looking
	cursor int
	lent   int
	pages  [65536 / pagePorts]atomic.Pointer[[pagePorts]atomic.Uint32]
}

const (
	pagePorts = 256
	// slotTaken marks a slot whose flow is not stored yet.
	slotTaken = 1<<32 - 1
	// A place is the shard's number above the flow's ref.
	refBits = 27
)

func newPool(addrs []netip.Addr, ports [2]uint16) *pool {
	if len(addrs) == 0 {
		return nil
	}
	l := &pool{from: int(ports[0]), ports: int(ports[1]) - int(ports[0]) + 1}
	if ports[1] == 0 {
		l.from, l.ports = 1024, 65536-1024
	}
	for _, a := range addrs {
		packed := packet.AddrFrom(a)
		l.addrs = append(l.addrs, packed)
		w, b := vipBit(&packed)
		l.filter[w] |= 1 << b
	}
	l.sets.Store(&map[poolKey]*portSet{})
	return l
}

// maybe is false only for addresses that are none of the pool's.
func (l *pool) maybe(a *packet.Addr) bool {
	if l == nil {
		return false
	}
	w, b := vipBit(a)
	return l.filter[w]&(1<<b) != 0
}

func (l *pool) owns(a *packet.Addr) bool {
	if !l.maybe(a) {
		return false
	}
	for i := range l.addrs {
		if l.addrs[i] == *a {
			return true
		}
	}
	return false
}

// lend gives f a local address and port of the real server's family; false if
// all are lent. Addresses take turns, and so do the ports of each, so that one
// that was given back rests as long as possible.
func (l *pool) lend(f *flow) bool {
	if l == nil {
		return false
	}
	start := int(l.nextAddr.Add(1))
	for i := range l.addrs {
		a := &l.addrs[(start+i)%len(l.addrs)]
		if a.Is4() != (f.realVersion == 4) {
			continue
		}
		if port, ok := l.set(l.key(a, f)).take(l.from, l.ports); ok {
			f.from(a, port)
			return true
		}
	}
	l.exhausted.Add(1)
	return false
}

// peek gives f the address and port that lend would, and lends nothing.
func (l *pool) peek(f *flow) bool {
	if l == nil {
		return false
	}
	start := int(l.nextAddr.Load()) + 1
	for i := range l.addrs {
		a := &l.addrs[(start+i)%len(l.addrs)]
		if a.Is4() != (f.realVersion == 4) {
			continue
		}
		s := (*l.sets.Load())[l.key(a, f)]
		if s == nil {
			s = &portSet{}
		}
		if port, ok := s.next(l.from, l.ports); ok {
			f.from(a, port)
			return true
		}
	}
	return false
}

func (l *pool) key(local *packet.Addr, f *flow) poolKey {
	return poolKey{local: *local, real: f.real, realPort: f.realPort, proto: f.proto}
}

// set is the ports of a key, made at the first need.
func (l *pool) set(k poolKey) *portSet {
	if s := (*l.sets.Load())[k]; s != nil {
		return s
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := *l.sets.Load()
	if s := old[k]; s != nil {
		return s
	}
	sets := make(map[poolKey]*portSet, len(old)+1)
	for k, s := range old {
		sets[k] = s
	}
	s := &portSet{}
	sets[k] = s
	l.sets.Store(&sets)
	return s
}

// stored makes a lent port lead to the flow's place.
func (l *pool) stored(f *flow, place uint32) {
	l.set(l.key(&f.local, f)).slot(f.localPort).Store(place)
}

// giveBack ends the loan of a flow's port.
func (l *pool) giveBack(f *flow) {
	s := l.set(l.key(&f.local, f))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slot(f.localPort).Store(0)
	s.lent--
}

// place is where the flow of a reply with key k is stored, 0 if nowhere.
func (l *pool) place(k *packet.FlowKey) uint32 {
	s := (*l.sets.Load())[poolKey{local: k.Dst, real: k.Src, realPort: k.SrcPort, proto: k.Proto}]
	if s == nil {
		return 0
	}
	page := s.pages[k.DstPort/pagePorts].Load()
	if page == nil {
		return 0
	}
	place := page[k.DstPort%pagePorts].Load()
	if place == slotTaken {
		return 0
	}
	return place
}

// counts are the ports that are lent now, and how often none was left.
func (l *pool) counts() (lent int, exhausted uint64) {
	if l == nil {
		return 0, 0
	}
	for _, s := range *l.sets.Load() {
		s.mu.Lock()
		lent += s.lent
		s.mu.Unlock()
	}
	return lent, l.exhausted.Load()
}

// take lends a free port.
func (s *portSet) take(from, ports int) (uint16, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	port, ok := s.free(from, ports)
	if ok {
		s.slot(port).Store(slotTaken)
		s.lent++
		s.cursor = int(port) - from + 1
	}
	return port, ok
}

// next is the port that take would lend.
func (s *portSet) next(from, ports int) (uint16, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free(from, ports)
}

// free finds a free port, beginning behind the one that was lent last.
func (s *portSet) free(from, ports int) (uint16, bool) {
	if s.lent == ports {
		return 0, false
	}
	for at := s.cursor; ; at++ {
		port := uint16(from + at%ports)
		if s.slot(port).Load() == 0 {
			return port, true
		}
	}
}

// slot is a port's slot; its page is made at the first need, with mu held, or
// by the flow that has been lent a port of it.
func (s *portSet) slot(port uint16) *atomic.Uint32 {
	at := &s.pages[port/pagePorts]
	page := at.Load()
	if page == nil {
		at.CompareAndSwap(nil, new([pagePorts]atomic.Uint32))
		page = at.Load()
	}
	return &page[port%pagePorts]
}
