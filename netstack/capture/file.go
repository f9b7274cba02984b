package capture

import (
	"io"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"weir/netstack/packet"
)

// file is a pcapng file being written, by one goroutine.
type file struct {
	w       io.Writer
	ng      *pcapgo.NgWriter // nil until the first interface is known
	ids     map[*Point]int
	scratch packet.Packet
	last    time.Time // of the last frame
}

func newFile(w io.Writer) *file { return &file{w: w, ids: make(map[*Point]int)} }

// write appends b and flushes it: whoever reads the file while it grows sees
// whole frames.
func (f *file) write(b batch, epoch time.Time) error {
	at := 0
	for i := range b.records {
		r := &b.records[i]
		if err := f.frame(r, b.bytes[at:at+r.length], epoch.Add(r.at)); err != nil {
			return err
		}
		at += r.length
	}
	if f.ng == nil {
		return nil
	}
	return f.ng.Flush()
}

func (f *file) frame(r *record, b []byte, at time.Time) error {
	id, err := f.id(r.point)
	if err != nil {
		return err
	}
	f.last = at
	b = f.completed(r, b)
	info := gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(b), Length: len(b), InterfaceIndex: id}
	return f.ng.WritePacket(info, b)
}

// completed is the frame with the checksum that was left to the device, as the
// device will send it. Super-packets stay whole: weir handled one frame, so
// one frame is shown. What does not parse is shown as it was.
func (f *file) completed(r *record, b []byte) []byte {
	if !r.offload.NeedsCsum {
		return b
	}
	p := &f.scratch
	p.Load(b)
	p.Offload = r.offload
	if p.Parse(r.point.link) == packet.OK {
		p.Complete()
	}
	return p.Bytes()
}

// id is the point's interface in the file, which is added when its first frame
// comes: drop reasons become points as they occur.
func (f *file) id(pt *Point) (int, error) {
	if id, ok := f.ids[pt]; ok {
		return id, nil
	}
	intf := pcapgo.NgInterface{Name: pt.name, LinkType: layers.LinkTypeRaw}
	if pt.link == packet.LinkEthernet {
		intf.LinkType = layers.LinkTypeEthernet
	}
	id, err := f.add(intf)
	if err == nil {
		f.ids[pt] = id
	}
	return id, err
}

func (f *file) add(intf pcapgo.NgInterface) (id int, err error) {
	if f.ng != nil {
		return f.ng.AddInterface(intf)
	}
	options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "weir"}}
	f.ng, err = pcapgo.NewNgWriterInterface(f.w, intf, options)
	return 0, err
}

// finish adds the points that saw no frame, and what each point lost: a reader
// of the file is told that it is not complete.
func (f *file) finish(points []tally) error {
	for _, pt := range points {
		id, err := f.id(pt.point)
		if err != nil {
			return err
		}
		err = f.ng.WriteInterfaceStats(id, pcapgo.NgInterfaceStatistics{
			LastUpdate: f.last, PacketsReceived: pt.taken + pt.lost, PacketsDropped: pt.lost,
		})
		if err != nil {
			return err
		}
	}
	if f.ng == nil { // a file without any interface is not one that gopacket can write
		if _, err := f.add(pcapgo.NgInterface{Name: "no-points", LinkType: layers.LinkTypeRaw}); err != nil {
			return err
		}
	}
	return f.ng.Flush()
}
