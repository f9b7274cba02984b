package netstack

import (
	"hash/maphash"
	"sync"
	"time"

	"weir/netstack/packet"
)

// bucket is a token bucket. The zero bucket with a rate and burst set is full.
type bucket struct {
	rate, burst float64 // tokens a second, tokens at most
	spent       float64
	last        time.Duration
}

// take takes one token if there is one.
func (b *bucket) take(now time.Duration) bool {
	if now > b.last {
		b.spent = max(0, b.spent-b.rate*(now-b.last).Seconds())
		b.last = now
	}
	if b.spent+1 > b.burst {
		return false
	}
	b.spent++
	return true
}

// The rates of ICMP errors: RFC 4443 2.4 (f) asks for a bucket; the figures
// leave a traceroute alone and make a flood of undeliverable packets useless
// as a reflector.
const (
	answersPerSecond       = 1000
	answersBurst           = 200
	answersPerSourceSecond = 100
	answersPerSourceBurst  = 20
	sourceBuckets          = 1024
)

// answerLimit decides whether an ICMP error may be sent, for the whole stack
// and for each source that asks for them. Sources share a bucket when they
// hash alike; the hash is seeded, so nobody can choose whom to share with.
type answerLimit struct {
	mu      sync.Mutex
	seed    maphash.Seed
	all     bucket
	sources [sourceBuckets]bucket
}

func newAnswerLimit() *answerLimit {
	l := &answerLimit{seed: maphash.MakeSeed(), all: bucket{rate: answersPerSecond, burst: answersBurst}}
	for i := range l.sources {
		l.sources[i] = bucket{rate: answersPerSourceSecond, burst: answersPerSourceBurst}
	}
	return l
}

func (l *answerLimit) allow(now time.Duration, source packet.Addr) bool {
	i := maphash.Comparable(l.seed, source) % sourceBuckets
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sources[i].take(now) && l.all.take(now)
}
