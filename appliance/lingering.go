package appliance

import (
	"context"
	"slices"
	"time"

	"weir/appliance/announce"
	"weir/appliance/config"
)

// tidyEvery is how often it is asked whether flows have ended, and how long
// after a change nothing is believed: a packet that was under way then may have
// begun a flow with a real server that left.
const tidyEvery = time.Second

// lingering are sources of real servers that left the configuration. Their
// flows go on to their end, and until then the host must send their replies
// into the TUN. Guarded by Appliance.changing.
type lingering struct {
	sources []announce.Source
	since   time.Duration // of the last change
}

// change adds what old names and new does not, each once.
func (l *lingering) change(now time.Duration, old, new *config.Config) {
	l.since = now
	listed := map[announce.Source]bool{}
	for _, s := range wanted(new).From {
		listed[s] = true
	}
	candidates := append(l.sources, wanted(old).From...)
	l.sources = nil
	for _, s := range candidates {
		if !listed[s] {
			listed[s] = true
			l.sources = append(l.sources, s)
		}
	}
}

// wanted is what the host must send by cfg and for what lingers.
func (l *lingering) wanted(cfg *config.Config) announce.Want {
	w := wanted(cfg)
	w.From = append(w.From, l.sources...)
	return w
}

// tidy lets the host go its own way with real servers whose flows have ended.
func (a *Appliance) tidy(now time.Duration) {
	a.changing.Lock()
	defer a.changing.Unlock()
	l := &a.lingering
	if a.ending || len(l.sources) == 0 || now-l.since < tidyEvery {
		return
	}
	used := map[announce.Source]bool{}
	for _, r := range a.director.Table().Leaving() {
		for _, s := range announce.Replies(r.Addr, r.Proto) {
			used[s] = true
		}
	}
	before := len(l.sources)
	l.sources = slices.DeleteFunc(l.sources, func(s announce.Source) bool { return !used[s] })
	if len(l.sources) < before {
		a.reduce()
	}
}

// reduce has the host send no more than it must.
func (a *Appliance) reduce() {
	if err := a.steering.Reduce(a.lingering.wanted(a.Config())); err != nil {
		a.log.Warn("the host still sends what is not wanted any more", "error", err)
	}
}

// tidier is the task that tidies until ctx ends.
type tidier struct{ *Appliance }

func (tidier) String() string { return "tidier" }

func (tidier) Ready() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

func (t tidier) Run(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.tidy(t.clock())
		case <-ctx.Done():
			return nil
		}
	}
}
