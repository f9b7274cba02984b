package simnet

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"weir/netstack/packet"
)

// Ping describes an echo request.
type Ping struct {
	To   netip.Addr
	From netip.Addr // zero: the host's address towards To
	TTL  uint8      // 0 is 64
	Size int        // payload, in bytes
}

// Reply is what came back for a ping.
type Reply struct {
	From netip.Addr
	// Error is AnswerNone for an echo reply; else the packet did not arrive,
	// and this is why: time exceeded at From, for one.
	Error packet.Answer
	MTU   uint16 // of AnswerTooBig
	TTL   uint8  // of the reply, as it arrived
	After time.Duration
}

// echo names a ping under way.
type echo struct {
	id      uint16
	version uint8
}

// Ping sends one echo request and waits for its reply, or for the error that
// says why there will be none; else for ctx to end.
func (h *Host) Ping(ctx context.Context, c Ping) (Reply, error) {
	from := c.From
	if !from.IsValid() {
		if from = h.stack.Source(c.To); !from.IsValid() {
			return Reply{}, fmt.Errorf("simnet: %s: ping %s: no address of its family; give the host one", h.name, c.To)
		}
	}
	key, replies := h.hook.await(from)
	defer h.hook.forget(key)
	ttl := c.TTL
	if ttl == 0 {
		ttl = 64
	}
	var p packet.Packet
	text := fmt.Sprintf("icmp %s > %s echo id %d seq 1 ttl %d len %d", from, c.To, key.id, ttl, c.Size)
	if err := packet.Build(&p, text); err != nil {
		return Reply{}, fmt.Errorf("simnet: %s: ping: %w", h.name, err)
	}
	sent := time.Now()
	if r := h.stack.Send(&p); r != packet.OK {
		return Reply{}, fmt.Errorf("simnet: %s: ping %s: cannot be sent: %s", h.name, c.To, r)
	}
	select {
	case r := <-replies:
		r.After = time.Since(sent)
		return r, nil
	case <-ctx.Done():
		return Reply{}, fmt.Errorf("simnet: %s: ping %s: no reply: %w", h.name, c.To, ctx.Err())
	}
}

func (k *hook) await(from netip.Addr) (echo, <-chan Reply) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := echo{version: 6}
	if from.Is4() {
		key.version = 4
	}
	for taken := true; taken; {
		k.lastID++
		key.id = k.lastID
		_, taken = k.waiting[key]
	}
	replies := make(chan Reply, 1)
	k.waiting[key] = replies
	k.any.Add(1)
	return key, replies
}

func (k *hook) forget(key echo) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.waiting, key)
	k.any.Add(-1)
}

// listen wakes the ping that p answers. p goes on to the stack in any case,
// which ignores it.
func (k *hook) listen(p *packet.Packet) {
	r := Reply{From: p.Src(), TTL: p.TTL()}
	key := echo{id: p.SrcPort, version: p.Version}
	if p.IsICMPError() {
		var quoted packet.Packet
		if p.Quote(&quoted) != packet.OK || !quoted.IsEchoRequest() {
			return
		}
		key.id = quoted.SrcPort
		r.Error, r.MTU = errorOf(p)
	} else if !p.IsEchoReply() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if replies := k.waiting[key]; replies != nil {
		replies <- r
		k.waiting[key] = nil // the first one counts
	}
}

// errorOf is what an ICMP error says (RFC 792, RFC 4443 3).
func errorOf(p *packet.Packet) (packet.Answer, uint16) {
	const v4, v6 = 4 << 16, 6 << 16
	switch int(p.Version)<<16 | int(p.ICMPType())<<8 | int(p.ICMPCode()) {
	case v4 | 11<<8, v6 | 3<<8:
		return packet.AnswerTimeExceeded, 0
	case v4 | 3<<8 | 4, v6 | 2<<8:
		return packet.AnswerTooBig, uint16(p.ICMPRest())
	case v4 | 3<<8 | 3, v6 | 1<<8 | 4:
		return packet.AnswerPortUnreachable, 0
	case v4 | 3<<8, v6 | 1<<8:
		return packet.AnswerNetUnreachable, 0
	}
	return packet.AnswerHostUnreachable, 0
}
