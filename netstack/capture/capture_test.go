package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"weir/netstack/packet"
)

var epoch = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func build(t testing.TB, text string) *packet.Packet {
	t.Helper()
	p := new(packet.Packet)
	if err := packet.Build(p, text); err != nil {
		t.Fatal(err)
	}
	return p
}

// partial leaves p's checksum to the device, as a kernel does.
func partial(p *packet.Packet) *packet.Packet {
	offset := uint16(16)
	if p.Proto == packet.UDP {
		offset = 6
	}
	p.Offload.NeedsCsum, p.Offload.CsumStart, p.Offload.CsumOffset = true, uint16(p.L4), offset
	src, dst := p.SrcAddr(), p.DstAddr()
	sum := uint32(p.Proto) + uint32(p.L3End-p.L4)
	for i := 0; i < 16; i += 2 {
		if p.Version == 6 || i >= 12 {
			sum += uint32(binary.BigEndian.Uint16(src[i:])) + uint32(binary.BigEndian.Uint16(dst[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(p.Store[p.L4+int(offset):], uint16(sum))
	return p
}

// ended runs c to its end: what waits is written.
func ended(t testing.TB, c *Capture) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// seen is a frame of a file, as text.
type seen struct {
	point string
	at    time.Duration // since epoch
	text  string
}

// contents reads a file with gopacket.
func contents(t testing.TB, file []byte) (frames []seen, stats map[string]pcapgo.NgInterfaceStatistics) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	var p packet.Packet
	for {
		b, ci, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		intf, err := r.Interface(ci.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		link := packet.LinkRaw
		if intf.LinkType == layers.LinkTypeEthernet {
			link = packet.LinkEthernet
		}
		p.Load(b)
		p.Parse(link)
		frames = append(frames, seen{intf.Name, ci.Timestamp.Sub(epoch), p.String()})
	}
	stats = make(map[string]pcapgo.NgInterfaceStatistics)
	for i := range r.NInterfaces() {
		intf, err := r.Interface(i)
		if err != nil {
			t.Fatal(err)
		}
		stats[intf.Name] = intf.Statistics
	}
	return frames, stats
}

func TestAFileHoldsFramesByPointAndTime(t *testing.T) {
	var file bytes.Buffer
	c := New(&file, Config{Epoch: epoch})
	rx, tx := c.Point("wan-rx", packet.LinkEthernet), c.Point("tun-tx", packet.LinkRaw)
	if c.Point("wan-rx", packet.LinkEthernet) != rx {
		t.Error("one name, two points")
	}
	c.Point("drop-no-flow", packet.LinkRaw)
	const (
		in  = "tcp 10.1.0.9:4000 > 192.0.2.10:80 S mac 02:00:00:00:00:01>02:00:00:00:00:02 vlan 5"
		out = "tcp 10.1.0.9:4000 > 10.2.0.2:80 S"
	)
	rx.Frame(time.Second, build(t, in))
	p := build(t, out)
	tx.Frame(time.Second+123456789, p)
	clear(p.Bytes()) // the caller's buffer is used again at once
	ended(t, c)
	frames, stats := contents(t, file.Bytes())
	want := []seen{{"wan-rx", time.Second, in}, {"tun-tx", time.Second + 123456789, out}}
	if len(frames) != 2 || frames[0] != want[0] || frames[1] != want[1] {
		t.Errorf("%v, want %v", frames, want)
	}
	if len(stats) != 3 || stats["wan-rx"].PacketsReceived != 1 || stats["drop-no-flow"].PacketsReceived != 0 {
		t.Errorf("interfaces and their statistics: %+v", stats)
	}
	if taken, lost := c.Counts(); taken != 2 || lost != 0 {
		t.Errorf("counted %d and %d lost", taken, lost)
	}
}

// What is left to the device is completed in the file only.
func TestPartialChecksumsAreCompletedInTheCopy(t *testing.T) {
	const mac = " mac 02:00:00:00:00:01>02:00:00:00:00:02"
	tests := []string{
		"tcp 10.1.0.9:4000 > 192.0.2.10:80 S",
		"tcp [2001:db8::9]:4000 > [2001:db8::10]:80 A len 30000",
		"udp 10.1.0.9:4000 > 192.0.2.10:53 len 7",
		"udp [2001:db8::9]:4000 > [2001:db8::10]:53 len 1000",
	}
	var file bytes.Buffer
	c := New(&file, Config{Epoch: epoch})
	raw, ether := c.Point("raw", packet.LinkRaw), c.Point("ether", packet.LinkEthernet)
	var want []string
	for _, text := range tests {
		p, q := partial(build(t, text)), partial(build(t, text+mac))
		before, offload := bytes.Clone(p.Bytes()), p.Offload
		raw.Frame(0, p)
		ether.Frame(0, &packet.Packet{Store: q.Store, Start: q.Start, End: q.End, Offload: q.Offload})
		if !bytes.Equal(p.Bytes(), before) || p.Offload != offload {
			t.Errorf("%s: the caller's packet was changed", text)
		}
		want = append(want, text, text+mac)
	}
	// A wrong checksum is evidence: it stays.
	raw.Frame(0, build(t, tests[0]+" badsum"))
	want = append(want, tests[0]+" badsum")
	ended(t, c)
	frames, _ := contents(t, file.Bytes())
	for i, w := range want {
		if i >= len(frames) || frames[i].text != w {
			t.Fatalf("frame %d: %v, want %s", i, frames[i:], w)
		}
	}
}

func TestFramesBeyondTheBufferAreLostAndCounted(t *testing.T) {
	tests := []struct {
		name          string
		buffer        int
		frame         string
		offered, kept uint64
	}{
		{"large frames fill it with their bytes", 10_000, "udp 10.1.0.9:1 > 10.1.0.8:2 len 972", 50, 10},
		{"small frames count as 64 bytes", 640, "udp 10.1.0.9:1 > 10.1.0.8:2", 50, 10},
		{"a frame larger than the buffer never fits", 500, "udp 10.1.0.9:1 > 10.1.0.8:2 len 972", 3, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var file bytes.Buffer
			c := New(&file, Config{Buffer: tt.buffer})
			pt, p := c.Point("wan-rx", packet.LinkRaw), build(t, tt.frame)
			for range tt.offered {
				pt.Frame(0, p)
			}
			if taken, lost := c.Counts(); taken != tt.kept || lost != tt.offered-tt.kept {
				t.Errorf("%d taken and %d lost, want %d and %d", taken, lost, tt.kept, tt.offered-tt.kept)
			}
			ended(t, c)
			frames, stats := contents(t, file.Bytes())
			if s := stats["wan-rx"]; uint64(len(frames)) != tt.kept || s.PacketsReceived != tt.offered || s.PacketsDropped != tt.offered-tt.kept {
				t.Errorf("the file has %d frames and says %+v", len(frames), s)
			}
			pt.Frame(0, p)
			if _, lost := c.Counts(); lost != tt.offered-tt.kept+1 {
				t.Error("a frame after the end is not counted as lost")
			}
		})
	}
}

func TestAnEmptyCaptureIsAFile(t *testing.T) {
	var file bytes.Buffer
	ended(t, New(&file, Config{}))
	if frames, _ := contents(t, file.Bytes()); len(frames) != 0 {
		t.Error(frames)
	}
}

// stuck is a pipe nobody reads from until it is released, and then a full disk.
type stuck struct{ entered, release chan struct{} }

func (s stuck) Write([]byte) (int, error) {
	close(s.entered)
	<-s.release
	return 0, errors.New("no space left on device")
}

func TestAFileThatCannotBeWrittenHoldsNobodyUp(t *testing.T) {
	s := stuck{make(chan struct{}), make(chan struct{})}
	c := New(s, Config{Buffer: 640})
	pt, p := c.Point("wan-rx", packet.LinkRaw), build(t, "udp 10.1.0.9:1 > 10.1.0.8:2")
	result := make(chan error)
	go func() { result <- c.Run(context.Background()) }() // ends when its write fails
	<-c.Ready()
	pt.Frame(0, p)
	<-s.entered
	for range 20 { // while Run is stuck in Write
		pt.Frame(0, p)
	}
	if taken, lost := c.Counts(); taken != 11 || lost != 10 {
		t.Errorf("%d taken and %d lost while the pipe is blocked, want 11 and 10", taken, lost)
	}
	close(s.release)
	err := <-result
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "no space left on device: 0 frames are in the file, 21 are not") {
		t.Errorf("%v", err)
	}
	pt.Frame(0, p)
	if taken, lost := c.Counts(); taken != 0 || lost != 22 {
		t.Errorf("%d taken and %d lost in the end, want 0 and 22", taken, lost)
	}
}

func TestFramesComeFromManyGoroutinesWhileTheFileIsWritten(t *testing.T) {
	const writers, each = 4, 500
	var file bytes.Buffer
	c := New(&file, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	result, done := make(chan error), make(chan struct{})
	go func() { result <- c.Run(ctx) }() // ends with ctx
	for range writers {
		go func() {
			p := new(packet.Packet)
			p.Load(make([]byte, 100))
			for i := range each {
				c.Point([]string{"a", "b", "c"}[i%3], packet.LinkRaw).Frame(0, p)
			}
			done <- struct{}{}
		}()
	}
	for range writers {
		<-done
	}
	cancel()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if frames, _ := contents(t, file.Bytes()); len(frames) != writers*each {
		t.Errorf("%d frames in the file, want %d", len(frames), writers*each)
	}
}

func TestAWarmPointAllocatesNothing(t *testing.T) {
	c := New(io.Discard, Config{Buffer: 64 << 10})
	pt, p := c.Point("wan-rx", packet.LinkRaw), build(t, "udp 10.1.0.9:1 > 10.1.0.8:2 len 100")
	var spare batch
	round := func() {
		pt.Frame(0, p)
		spare = c.swap(spare, false)
	}
	round()
	round()
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// Whatever the bytes and their Offload, the file holds the frame in its length.
func FuzzFrame(f *testing.F) {
	f.Add(build(f, "tcp 10.1.0.9:4000 > 192.0.2.10:80 S").Bytes(), true, false, uint16(20), uint16(16))
	f.Add(build(f, "udp [2001:db8::9]:1 > [2001:db8::10]:2 len 3 mac 02:00:00:00:00:01>02:00:00:00:00:02").Bytes(), true, true, uint16(54), uint16(6))
	f.Add([]byte{}, true, false, uint16(65535), uint16(65535))
	f.Fuzz(func(t *testing.T, b []byte, needs, ether bool, start, offset uint16) {
		var file bytes.Buffer
		c := New(&file, Config{})
		link := packet.LinkRaw
		if ether {
			link = packet.LinkEthernet
		}
		p := new(packet.Packet)
		p.Load(b)
		p.Offload = packet.Offload{NeedsCsum: needs, CsumStart: start + packet.Headroom, CsumOffset: offset}
		c.Point("x", link).Frame(0, p)
		ended(t, c)
		r, err := pcapgo.NewNgReader(&file, pcapgo.NgReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := r.ReadPacketData()
		if err != nil || len(got) != len(b) {
			t.Fatalf("%d bytes in the file, want %d: %v", len(got), len(b), err)
		}
	})
}
