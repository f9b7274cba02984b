package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/appliance"
	"weir/appliance/announce"
	"weir/appliance/config"
	"weir/e2e/lab"
	"weir/netstack"
	"weir/netstack/capture"
	"weir/netstack/device"
	"weir/netstack/packet"
	"weir/tunnel"
)

// demoRequests is how many requests the client sends; the first is followed.
const demoRequests = 6

// demoMark stands in the request that is followed and in its answer, so that
// both are recognised whatever was done to their headers.
const demoMark = "request-1"

// demoBuffer is more than a demonstration can see.
const demoBuffer = 64 << 20

// demonstration is one run of `weir demo`.
type demonstration struct {
	demo
	topology lab.Topology
	build    func(lab.Topology) (lab.World, error)
	file     string
	out      io.Writer
	colour   bool

	world    lab.World
	captures map[string]*lab.Capture // by node
	weir     tapRecord
	servers  []*http.Server
	serving  sync.WaitGroup

	request, answer []sighting // of the request that is followed
}

func (d *demonstration) runWithin(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return d.run(ctx)
}

// run builds the world, lets weir carry the requests and shows what happened.
func (d *demonstration) run(ctx context.Context) (err error) {
	if d.world, err = d.build(d.topology); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() {
		for _, s := range d.servers {
			err = errors.Join(err, s.Close())
		}
		d.serving.Wait()
		err = errors.Join(err, d.world.Close())
	}()
	fmt.Fprintf(d.out, "weir demo %s, %s world\n\n%s\n", d.name, d.world.Name(), picture(d))
	if err := d.capture(); err != nil {
		return err
	}
	stop, err := d.startWeir(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := d.serve(); err != nil {
		return err
	}
	if err := d.ask(ctx); err != nil {
		return err
	}
	if err := d.show(); err != nil {
		return err
	}
	return d.write()
}

// capture begins to record at every host; weir itself is recorded by its tap.
func (d *demonstration) capture() error {
	d.captures = map[string]*lab.Capture{}
	for _, n := range d.topology.Nodes {
		if n.Forward {
			continue
		}
		c, err := d.world.Capture(n.Name, n.Interfaces[0].Segment)
		if err != nil {
			return err
		}
		d.captures[n.Name] = c
	}
	return nil
}

// startWeir runs the appliance in its place; the result stops it.
func (d *demonstration) startWeir(ctx context.Context) (stop func() error, err error) {
	text := d.world.Weir().Config() + d.service()
	cfg, err := config.Parse("demo", []byte(text))
	if err != nil {
		return nil, err
	}
	o := appliance.Options{OpenDevice: d.openDevice}
	if d.world.Name() == "sim" {
		o.Host = announce.None // a simulated host is built with its routes in place
	}
	var a *appliance.Appliance
	if err := d.world.Weir().Do(func() (err error) { a, err = appliance.New(cfg, o); return err }); err != nil {
		return nil, err
	}
	for _, p := range cfg.Ports {
		link := packet.LinkEthernet
		if p.Kind == config.PortTUN {
			link = packet.LinkRaw
		}
		d.weir.ports = append(d.weir.ports, tappedPort{p.Name, link})
	}
	a.SetTap(&d.weir)
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(running) }() // ends with stop
	select {
	case <-a.Ready():
	case err := <-ended:
		cancel()
		return nil, err
	}
	return func() error { cancel(); return <-ended }, nil
}

func (d *demonstration) openDevice(p config.Port) (device.Device, error) {
	kind := device.TAP
	if p.Kind == config.PortTUN {
		kind = device.TUN
	}
	return d.world.Weir().Open(device.Config{Name: p.Device, Kind: kind, MTU: p.MTU, MAC: p.MAC})
}

// service is the service part of weir's configuration.
func (d *demonstration) service() string {
	var b strings.Builder
	fmt.Fprintf(&b, "services:\n  - name: web\n    vip: %s:80\n    method: %s\n    scheduler: rr\n    reals:\n", d.vip, d.method)
	for _, n := range d.topology.Nodes {
		if strings.HasPrefix(n.Name, "real") {
			fmt.Fprintf(&b, "      - {name: %s, address: \"%s:80\"}\n", n.Name, n.Addr4())
		}
	}
	return b.String()
}

// serve starts an HTTP server on each real server. It says who it is and whom
// it sees.
func (d *demonstration) serve() error {
	for _, n := range d.topology.Nodes {
		if !strings.HasPrefix(n.Name, "real") {
			continue
		}
		at := n.Addr4()
		if len(n.Loopback) > 0 { // what comes to it is still for the VIP
			at = d.vip
		}
		l, err := d.world.Host(n.Name).Listen("tcp", net.JoinHostPort(at.String(), "80"))
		if err != nil {
			return fmt.Errorf("demo: %s: %w", n.Name, err)
		}
		s := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Demo", strings.TrimPrefix(r.URL.Path, "/"))
			fmt.Fprintf(w, "%s %s", n.Name, r.RemoteAddr)
		})}
		d.servers = append(d.servers, s)
		d.serving.Go(func() { _ = s.Serve(l) }) // ends with its Close
	}
	return nil
}

// ask sends the requests, each on a connection of its own.
func (d *demonstration) ask(ctx context.Context) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: d.world.Host("client1").Dial}}
	fmt.Fprintf(d.out, "%d requests to http://%s/\n", demoRequests, d.vip)
	for i := range demoRequests {
		url := fmt.Sprintf("http://%s/request-%d", d.vip, i+1)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		began := time.Now()
		answer, err := client.Do(r)
		if err != nil {
			return fmt.Errorf("demo: request %d: %w", i+1, err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			return fmt.Errorf("demo: answer %d: %w", i+1, err)
		}
		who, seen, _ := strings.Cut(string(body), " ")
		fmt.Fprintf(d.out, "  %d  %s answered %d in %.1f ms; it saw the client as %s\n",
			i+1, who, answer.StatusCode, float64(time.Since(began).Microseconds())/1000, seen)
	}
	return nil
}

// oneWay: real servers answer clients past weir.
func (d *demonstration) oneWay() bool { return d.method == "dsr" || d.method == "tunnel" }

// show prints the way of the marked request and of its answer.
func (d *demonstration) show() error {
	for _, leg := range []struct {
		title, beginning string
		places           int // where it must have been seen, at the least
		hops             *[]sighting
	}{
		{"the request", "GET /" + demoMark, 4, &d.request},
		{"the answer", "HTTP/1.1 200", map[bool]int{false: 4, true: 2}[d.oneWay()], &d.answer},
	} {
		hops := d.hops(leg.beginning)
		if len(hops) < leg.places {
			return fmt.Errorf("demo: %s was seen at %d places only, which is a fault in weir", leg.title, len(hops))
		}
		*leg.hops = hops
		fmt.Fprintf(d.out, "\n%s, hop by hop (* changed by weir)\n", leg.title)
		writeHops(d.out, hops, d.colour)
	}
	if !d.oneWay() {
		return nil
	}
	if slices.ContainsFunc(d.answer, func(s sighting) bool { return s.atWeir }) {
		return errors.New("demo: the answer came past weir, which is a fault in weir")
	}
	fmt.Fprintf(d.out, "\nthe answer never passed weir: %s it to the client itself, as the VIP\n", d.answer[0].where)
	return nil
}

// hops are the sightings of the marked packet that begins like this, in order.
func (d *demonstration) hops(beginning string) []sighting {
	var hops []sighting
	for _, r := range d.records() {
		if r.frame.Parse(r.link) != packet.OK {
			continue
		}
		s := sighting{where: r.where, frame: r.frame, weir: r.sent, atWeir: strings.HasPrefix(r.point, "weir-")}
		d.open(&s)
		if carries(&s.frame, beginning, demoMark) {
			hops = append(hops, s)
		}
	}
	return hops
}

// open takes what was seen out of its tunnel, if it is in one.
func (d *demonstration) open(s *sighting) {
	directors := d.topology.Node("real1").Decap
	if len(directors) == 0 {
		return
	}
	end, err := tunnel.NewDecap(tunnel.DecapConfig{Directors: directors, VIPs: d.topology.Weir.VIPs})
	if err != nil {
		return
	}
	outer := s.frame
	outer.Store = slices.Clone(s.frame.Store)
	if end.Pop(&s.frame) == packet.OK {
		s.outer = &outer
	}
}

// records are all frames seen anywhere, in order of time.
func (d *demonstration) records() []record {
	all := d.weir.records()
	for node, c := range d.captures {
		for _, f := range c.Frames() {
			verb, order := " receives", 1
			if f.Out {
				verb, order = " sends", 0
			}
			r := record{at: f.At, order: order, where: node + verb, point: node, link: packet.LinkEthernet}
			r.frame.Load(f.Data)
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b record) int {
		// A frame on a simulated segment is sent and received in one instant.
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order))
	})
	return all
}

// write writes all that was seen, if a file was asked for.
func (d *demonstration) write() error {
	if d.file == "" {
		return nil
	}
	f, err := os.Create(d.file)
	if err != nil {
		return fmt.Errorf("demo: write the capture: %w", err)
	}
	all, epoch := d.records(), time.Time{}
	if len(all) > 0 {
		epoch = all[0].at
	}
	c := capture.New(f, capture.Config{Epoch: epoch, Buffer: demoBuffer})
	for i := range all {
		c.Point(all[i].point, all[i].link).Frame(all[i].at.Sub(epoch), &all[i].frame)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nothing more comes: what waits is written, and that is all
	if err := errors.Join(c.Run(ctx), f.Close()); err != nil {
		return fmt.Errorf("demo: write the capture: %w", err)
	}
	frames, _ := c.Counts()
	fmt.Fprintf(d.out, "\n%d frames written to %s\n", frames, d.file)
	return nil
}

// record is a frame with where and when it was seen.
type record struct {
	at    time.Time
	order int    // of records of one instant
	where string // in the hop table
	point string // in the capture file
	link  packet.Link
	sent  bool // by weir
	frame packet.Packet
}

// tapRecord keeps what weir reads and writes.
type tapRecord struct {
	ports []tappedPort // by id
	mu    sync.Mutex
	seen  []record
}

type tappedPort struct {
	name string
	link packet.Link
}

// Frame implements netstack.Tap.
func (t *tapRecord) Frame(_ time.Duration, point netstack.Point, port packet.PortID, p *packet.Packet, _ packet.Reason) {
	if point == netstack.Drop {
		return
	}
	at, verb := t.ports[port], " reads from "
	if point == netstack.Tx {
		verb = " writes to "
	}
	r := record{at: time.Now(), where: "weir" + verb + at.name, point: "weir-" + at.name + "-" + point.String(), link: at.link, sent: point == netstack.Tx}
	r.frame.Load(p.Bytes())
	r.frame.Offload = p.Offload
	r.frame.Offload.CsumStart += uint16(r.frame.Start - p.Start)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = append(t.seen, r)
}

func (t *tapRecord) records() []record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.seen)
}
