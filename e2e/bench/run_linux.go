package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"weir/e2e/lab"
)

// standUp bounds the building of one stand, programs included.
const standUp = 20 * time.Second

// stand is a director in a world of its own, with the real server's generator
// running.
type stand struct {
	director director
	world    lab.World
	target   netip.Addr
	server   *child
}

func newStand(ctx context.Context, d director, congestion, dir string) (s *stand, err error) {
	ctx, cancel := context.WithTimeout(ctx, standUp)
	defer cancel()
	s = &stand{director: d, target: lab.VIP4}
	if d.toReal {
		s.target = realAddr()
	}
	if s.world, err = lab.NewKernel(testbed(congestion)); err != nil {
		return nil, err
	}
	s.server, err = startChild(ctx, s.world.Host("real1"), "serve", realAddr().String())
	if err == nil {
		err = d.setUp(ctx, s.world, dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// congestion is the congestion control of the world.
func (s *stand) congestion() (name string) {
	err := s.world.Weir().Do(func() error {
		b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
		name = strings.TrimSpace(string(b))
		return err
	})
	if err != nil {
		return "unknown"
	}
	return name
}

func (s *stand) close() error {
	if s.server != nil {
		s.server.stop()
	}
	return s.world.Close()
}

// measureAll builds the stands, takes the rounds and prints the tables. An
// interrupt ends it early; what has been measured is printed.
func measureAll(ctx context.Context, o options, dir string) (err error) {
	began := time.Now()
	picked, _ := pick(o.directors, directorKeys())
	only, _ := pick(o.only, measureKeys())
	res := newResults()
	var stands []*stand
	defer func() {
		for _, s := range stands {
			err = errors.Join(err, s.close())
		}
	}()
	for _, d := range directors {
		if !picked[d.key] {
			continue
		}
		s, err := newStand(ctx, d, o.congestion, dir)
		if ctx.Err() != nil {
			return errors.New("interrupted before the first measurement")
		}
		if err != nil {
			res.note("%s: not measured: %v", d.key, err)
			fmt.Fprintf(os.Stderr, "bench: %s: not measured: %v\n", d.key, err)
			continue
		}
		stands = append(stands, s)
		res.congestion = s.congestion()
	}
	if len(stands) == 0 {
		return errors.New("there is no director to measure")
	}
	length := time.Duration(o.seconds * float64(time.Second))
	for round := range o.rounds {
		if ctx.Err() != nil {
			res.note("interrupted in round %d of %d", round, o.rounds)
			break
		}
		fmt.Fprintf(os.Stderr, "bench: round %d of %d, %v\n", round+1, o.rounds, time.Since(began).Round(time.Second))
		for _, m := range measures {
			if only[m.key] {
				m.takeRound(ctx, stands, round, length, res, o.verbose)
			}
		}
	}
	res.took = time.Since(began)
	return res.print(os.Stdout)
}

// takeRound measures m at every stand, one after the other and each round
// beginning with another: what changes on the machine meanwhile meets them all.
func (m measure) takeRound(ctx context.Context, stands []*stand, round int, length time.Duration, res *results, verbose bool) {
	for i := range stands {
		s := stands[(i+round)%len(stands)]
		if m.udp && s.director.tcp || ctx.Err() != nil {
			continue
		}
		w, err := m.take(ctx, s, length)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			res.note("%s, %s, round %d: %v", s.director.key, m.key, round+1, err)
			fmt.Fprintf(os.Stderr, "bench: %s, %s: %v\n", s.director.key, m.key, err)
			continue
		}
		for _, r := range m.rows {
			v := r.value(w)
			res.add(r.name, s.director.key, round, v)
			if verbose {
				fmt.Fprintf(os.Stderr, "%d\t%s\t%s\t%.3f\t%s\n", round+1, r.name, s.director.key, v, r.unit)
			}
		}
	}
}
