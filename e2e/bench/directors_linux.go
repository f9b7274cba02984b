package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"weir/e2e/lab"
)

// director is one way to get packets from the client to the real server.
type director struct {
	key string
	// toReal: the client addresses the real server itself, not the VIP.
	toReal bool
	tcp    bool // it does TCP only
	// setUp makes the middle namespace of w direct the VIP's ports to the real
	// server. What it starts ends with w.
	setUp func(ctx context.Context, w lab.World, dir string) error
}

// The directors, in the order of the tables' columns.
var directors = []director{
	{key: "kernel", toReal: true, setUp: func(context.Context, lab.World, string) error { return nil }},
	{key: "nft", setUp: setUpNft},
	{key: "haproxy1", tcp: true, setUp: haproxy(1)},
	{key: "haproxy2", tcp: true, setUp: haproxy(2)},
	{key: "weir", setUp: setUpWeir},
}

func directorKeys() []string {
	var keys []string
	for _, d := range directors {
		keys = append(keys, d.key)
	}
	return keys
}

// The services' ports, and what they are called in configurations.
var tcpServices = []struct {
	name string
	port uint16
}{{"bulk", bulkPort}, {"rr", rrPort}, {"http", httpPort}}

// testbed is client - host - real server with offloads on: one per director, so
// that none meets another's rules, connections or caches. Without a name the
// congestion control is the machine's own.
func testbed(congestion string) lab.Topology {
	t := lab.HostTopology(1, 1)
	t.Offload = true
	for i := range t.Nodes {
		t.Nodes[i].Sysctls = map[string]string{
			// Short connections leave TIME_WAIT behind: few of them, and their
			// ports free at once, or later rounds measure the limits of a host.
			"ipv4/tcp_max_tw_buckets":  "1024",
			"ipv4/tcp_tw_reuse":        "1",
			"ipv4/ip_local_port_range": "10000 65535",
			// A connection must not start with what another has learnt.
			"ipv4/tcp_no_metrics_save": "1",
		}
		if congestion != "" {
			t.Nodes[i].Sysctls["ipv4/tcp_congestion_control"] = congestion
		}
	}
	return t
}

func realAddr() netip.Addr {
	t := lab.HostTopology(1, 1)
	return t.Node("real1").Addr4()
}

// setUpNft is destination NAT in the kernel; connection tracking undoes it on
// the way back.
func setUpNft(ctx context.Context, w lab.World, _ string) error {
	rules := fmt.Sprintf("table ip bench { chain pre { type nat hook prerouting priority dstnat; ip daddr %s dnat to %s; }; }\n", lab.VIP4, realAddr())
	if err := runIn(ctx, w, rules, "nft", "-f", "-"); err != nil {
		return err
	}
	// Tracked connections of one round must not fill the table for the next.
	return w.Weir().Do(func() error {
		return os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait", []byte("5"), 0)
	})
}

// runIn runs a program to its end in the middle namespace.
func runIn(ctx context.Context, w lab.World, input, name string, args ...string) error {
	path, err := tool(name)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	p, err := w.Weir().(lab.Starter).Start(cmd)
	if err != nil {
		return err
	}
	if err := p.Wait(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
		return fmt.Errorf("%s: %w: %s", name, err, line)
	}
	return nil
}

// tool finds a program, also where a plain user's PATH does not lead.
func tool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// haproxy is the peer in user space, with threads threads. It forwards TCP
// streams and keeps no log.
func haproxy(threads int) func(context.Context, lab.World, string) error {
	return func(ctx context.Context, w lab.World, dir string) error {
		path, err := tool("haproxy")
		if err != nil {
			return err
		}
		if err := w.Weir().Do(addVIP); err != nil {
			return err
		}
		var config strings.Builder
		fmt.Fprintf(&config, "global\n\tnbthread %d\n\tmaxconn 4096\ndefaults\n\tmode tcp\n"+
			"\ttimeout connect 5s\n\ttimeout client 1m\n\ttimeout server 1m\n", threads)
		for _, s := range tcpServices {
			fmt.Fprintf(&config, "listen %s\n\tbind %s:%d\n\tserver real1 %s:%d\n", s.name, lab.VIP4, s.port, realAddr(), s.port)
		}
		file := filepath.Join(dir, fmt.Sprintf("haproxy%d.cfg", threads))
		if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
			return err
		}
		out := &tail{}
		cmd := exec.Command(path, "-db", "-q", "-f", file)
		cmd.Stdout, cmd.Stderr = out, out
		p, err := w.Weir().(lab.Starter).Start(cmd)
		if err != nil {
			return err
		}
		return awaitListener(ctx, w, p, out)
	}
}

// addVIP makes the VIP an address of the middle namespace: a proxy must own it.
func addVIP() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(lab.VIP4.String() + "/32")
	if err != nil {
		return err
	}
	return netlink.AddrAdd(lo, addr)
}

// awaitListener returns when the VIP accepts connections.
func awaitListener(ctx context.Context, w lab.World, p lab.Process, out *tail) error {
	for {
		conn, err := w.Host("client1").Dial(ctx, "tcp", netip.AddrPortFrom(lab.VIP4, bulkPort).String())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.Done():
			return fmt.Errorf("it ended: %w", lastWords(p, out))
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// setUpWeir runs the shipped binary with a configuration file, and waits for it
// to say that it is ready.
func setUpWeir(ctx context.Context, w lab.World, dir string) error {
	binary := weirBinary(dir)
	if _, err := os.Stat(binary); err != nil {
		if fault, err := os.ReadFile(weirFault(dir)); err == nil {
			return errors.New(string(fault))
		}
		return err
	}
	file := filepath.Join(dir, "weir.yaml")
	if err := os.WriteFile(file, []byte(weirConfig(dir)), 0o600); err != nil {
		return err
	}
	said, stdout, err := os.Pipe()
	if err != nil {
		return err
	}
	out := &tail{}
	cmd := exec.Command(binary, "run", file)
	cmd.Stdout, cmd.Stderr = stdout, out
	p, err := w.Weir().(lab.Starter).Start(cmd)
	stdout.Close()
	if err != nil {
		said.Close()
		return err
	}
	ready := make(chan bool, 1)
	go func() { // ends with weir
		defer said.Close()
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if strings.Contains(lines.Text(), "ready") {
				ready <- true
				break
			}
		}
		close(ready)
		io.Copy(io.Discard, said)
	}()
	select {
	case ok := <-ready:
		if ok {
			return nil
		}
		p.Stop()
		return fmt.Errorf("weir run ended: %w", lastWords(p, out))
	case <-ctx.Done():
		p.Stop()
		return fmt.Errorf("weir run did not say that it is ready within %v: %w", standUp, lastWords(p, out))
	}
}

// lastWords is why a program that has ended did so: its own words, if it had any.
func lastWords(p lab.Process, out *tail) error {
	err := p.Wait()
	if said := out.line(); said != "" {
		return errors.New(said)
	}
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func weirConfig(dir string) string {
	port := testbed("").Weir.Ports[0]
	var c strings.Builder
	fmt.Fprintf(&c, "topology: host\nports:\n  - {name: %s, tun: %s, addresses: [%s]}\nservices:\n", port.Name, port.Device, port.Addresses[0])
	service := func(name, protocol string, number uint16) {
		fmt.Fprintf(&c, "  - {name: %s, vip: \"%s:%d\", protocol: %s, method: nat, scheduler: rr, reals: [\"%s:%d\"]}\n",
			name, lab.VIP4, number, protocol, realAddr(), number)
	}
	for _, s := range tcpServices {
		service(s.name, "tcp", s.port)
	}
	service("udp", "udp", udpPort)
	fmt.Fprintf(&c, "control: {socket: %s}\n", filepath.Join(dir, "weir.sock"))
	return c.String()
}
