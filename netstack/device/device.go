// Package device is how frames enter and leave weir: TUN and TAP devices of
// the Linux kernel, and a wire in memory for whole networks in one process.
//
// A device moves packet.Packets, one frame a call, with the checksum and
// segmentation work that the sender left beside the bytes (packet.Offload).
// What a device cannot take is done in software on the way out, so that a
// caller writes a 64 KiB super-packet to any of them.
package device

import (
	"errors"
	"strings"

	"weir/netstack/packet"
)

// Device is one end of a link.
//
// Each queue has one reader: a goroutine that has called runtime.LockOSThread
// and passes the same Packet again and again. Write is for any goroutine.
type Device interface {
	Name() string
	Link() packet.Link
	MTU() int        // largest IP packet, in bytes
	MAC() packet.MAC // this end's address; zero on LinkRaw
	Features() Features
	Queues() int

	// Read blocks until queue q has a frame and puts it into p.Store behind
	// the headroom, making a Store if p has too small a one. Start, End and
	// Offload are set; p is not parsed.
	//
	// ErrClosed and ErrRemoved are final. After ErrAgain the caller reads
	// again, a little later if it comes twice in a row.
	Read(q int, p *packet.Packet) error

	// Write sends p's frame. It may use the headroom before p.Start, complete
	// the checksum that NeedsCsum left, and parse p if nobody has; otherwise p
	// is unchanged. ErrFull means that this frame is lost and the
	// next may get through; so does ErrAgain, for as long as the link is down.
	Write(p *packet.Packet) error

	// Close ends blocked Reads with ErrClosed and returns when the last Read
	// and Write have returned. Closing twice is harmless.
	Close() error
}

// UpDowner is a Device whose link can be switched, as those of Open can.
type UpDowner interface {
	Device
	Up() error
	Down() error
}

// Errors of Read and Write; compare with errors.Is.
var (
	ErrClosed  = errors.New("device closed")
	ErrRemoved = errors.New("device was removed")
	ErrAgain   = errors.New("device not ready, try again")
	ErrFull    = errors.New("device queue is full")
)

// Kind is the kind of a kernel device, and what a wire imitates.
type Kind uint8

const (
	TUN Kind = iota // IP packets
	TAP             // Ethernet frames
)

func (k Kind) String() string {
	if k == TAP {
		return "TAP"
	}
	return "TUN"
}

// Link is what stands in front of the IP header on a device of kind k.
func (k Kind) Link() packet.Link {
	if k == TAP {
		return packet.LinkEthernet
	}
	return packet.LinkRaw
}

// Config says which kernel device to open.
type Config struct {
	Name string // 1 to 15 characters
	Kind Kind
	// MTU in bytes; 0 is 1500 for a new device and no change for one that
	// was there before.
	MTU int
	// MAC is weir's address on a TAP; zero draws a random one. The kernel's
	// end of the cable is another station and keeps an address of its own.
	MAC    packet.MAC
	Queues int // 0 is 1
	// NoOffload keeps the kernel from handing over super-packets and partial
	// checksums, and hands it none.
	NoOffload bool
}

// Features is the work that a device takes over, in both directions.
type Features struct {
	Checksum bool // partial checksums
	TSO      bool // TCP super-packets, IPv4 and IPv6
	USO      bool // UDP super-packets; Linux 6.2 and later
}

// Takes reports whether a super-packet of kind g can be handed over whole.
func (f Features) Takes(g packet.GSO) bool {
	switch g {
	case packet.GSONone:
		return true
	case packet.GSOTCP4, packet.GSOTCP6:
		return f.TSO
	case packet.GSOUDP:
		return f.USO
	}
	return false
}

// String is for the log: "checksum+tso+uso", or "none".
func (f Features) String() string {
	var parts []string
	if f.Checksum {
		parts = append(parts, "checksum")
	}
	if f.TSO {
		parts = append(parts, "tso")
	}
	if f.USO {
		parts = append(parts, "uso")
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, "+")
}

// BufferSize is the Store, in bytes, that Read needs for the largest frame.
const BufferSize = packet.Headroom + packet.MaxFrame
