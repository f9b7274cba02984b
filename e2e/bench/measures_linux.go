package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// measure is one kind of load and the figures it gives.
type measure struct {
	key     string
	load    string // of the generator
	streams int
	udp     bool
	rows    []row
}

// row is one figure of a measure.
type row struct {
	name, unit string
	lower      bool // less is better
	value      func(w window) float64
}

// window is what the generators counted between the beginning and the end of a
// measurement, each by its own clock.
type window struct{ client, server counts }

var measures = []measure{
	{key: "bulk1", load: "bulk", streams: 1, rows: []row{{name: "TCP bulk, 1 stream", unit: "Gbit/s", value: gigabits}}},
	{key: "bulk8", load: "bulk", streams: 8, rows: []row{{name: "TCP bulk, 8 streams", unit: "Gbit/s", value: gigabits}}},
	{key: "udp", load: "udp", streams: 1, udp: true, rows: []row{
		{name: "UDP 64 B, received", unit: "kpps", value: func(w window) float64 { return perSecond(w.server, w.server.Received) / 1e3 }},
		{name: "UDP 64 B, lost", unit: "%", lower: true, value: lost},
	}},
	{key: "rr", load: "rr", streams: 1, rows: []row{
		{name: "TCP 1-byte round trip, p50", unit: "us", lower: true, value: func(w window) float64 { return w.client.P50 }},
		{name: "TCP 1-byte round trip, p99", unit: "us", lower: true, value: func(w window) float64 { return w.client.P99 }},
	}},
	{key: "http", load: "http", streams: 8, rows: []row{
		{name: "HTTP keep-alive, 8 conns", unit: "req/s", value: requests},
		{name: "HTTP keep-alive, p50", unit: "us", lower: true, value: func(w window) float64 { return w.client.P50 }},
		{name: "HTTP keep-alive, p99", unit: "us", lower: true, value: func(w window) float64 { return w.client.P99 }},
	}},
	{key: "conn", load: "conn", streams: 8, rows: []row{
		{name: "HTTP, a connection each", unit: "conn/s", value: requests},
		{name: "HTTP, a connection each, p99", unit: "us", lower: true, value: func(w window) float64 { return w.client.P99 }},
	}},
}

func measureKeys() []string {
	var keys []string
	for _, m := range measures {
		keys = append(keys, m.key)
	}
	return keys
}

func perSecond(c counts, n uint64) float64 { return float64(n) / float64(c.Nanos) * 1e9 }

func gigabits(w window) float64 { return perSecond(w.server, w.server.Bytes) * 8 / 1e9 }

func requests(w window) float64 { return perSecond(w.client, w.client.Requests) }

// lost compares rates, not numbers: the two windows do not begin at one instant.
func lost(w window) float64 {
	sent := perSecond(w.client, w.client.Sent)
	return 100 * max(0, 1-perSecond(w.server, w.server.Received)/sent)
}

// since is what was counted after before.
func (c counts) since(before counts) counts {
	c.Nanos -= before.Nanos
	c.Bytes -= before.Bytes
	c.Received -= before.Received
	c.Sent -= before.Sent
	c.Requests -= before.Requests
	c.Errors -= before.Errors
	return c
}

// warmUp is how long a load runs before it is measured: slow start, neighbour
// tables, the first scheduling of every thread.
const warmUp = 300 * time.Millisecond

// slack is how much longer than planned a measurement may take.
const slack = 5 * time.Second

// take measures m once at a stand, for a time of length.
func (m measure) take(ctx context.Context, s *stand, length time.Duration) (w window, err error) {
	ctx, cancel := context.WithTimeout(ctx, warmUp+length+slack)
	defer cancel()
	client, err := startChild(ctx, s.world.Host("client1"), m.load, s.target.String(), strconv.Itoa(m.streams))
	if err != nil {
		return w, err
	}
	defer client.stop()
	var marks [2]window
	for i, wait := range []time.Duration{warmUp, length} {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return w, ctx.Err()
		}
		if marks[i].client, err = client.count(ctx); err != nil {
			return w, err
		}
		if marks[i].server, err = s.server.count(ctx); err != nil {
			return w, err
		}
	}
	w = window{client: marks[1].client.since(marks[0].client), server: marks[1].server.since(marks[0].server)}
	return w, m.fault(marks[1].client, marks[1].server, w)
}

// fault says why a window is no sample. Short connections may fail, as long as
// they are few: a lost SYN is part of what is measured. Nothing else may.
func (m measure) fault(client, server counts, w window) error {
	allowed := uint64(0)
	if m.load == "conn" {
		allowed = w.client.Requests / 100
	}
	if client.Errors > allowed {
		return fmt.Errorf("%d errors, the first: %s", client.Errors, client.Error)
	}
	if server.Errors > 0 {
		return fmt.Errorf("the real server failed: %s", server.Error)
	}
	if w.client.Requests+w.server.Bytes+w.server.Received == 0 {
		return fmt.Errorf("nothing came through")
	}
	return nil
}
