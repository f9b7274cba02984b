package device

import (
	"encoding/binary"

	"weir/netstack/packet"
)

// The vnet header that the kernel puts before each frame and expects before
// each: struct virtio_net_hdr, little-endian as TUNSETVNETLE asked for.
const (
	vnetLen = 10

	vnetNeedsCsum = 1
	vnetDataValid = 2

	vnetGSONone  = 0
	vnetGSOTCP4  = 1
	vnetGSOTCP6  = 4
	vnetGSOUDPL4 = 5
	vnetGSOECN   = 0x80
)

// readVnet turns the header h of a frame Store[start:end] into an Offload;
// false if it does not describe a frame of that length.
//
// The header's hdr_len is ignored: it is a hint that the kernel itself does
// not always set.
func readVnet(h []byte, start, end int) (o packet.Offload, ok bool) {
	_ = h[vnetLen-1]
	o.NeedsCsum = h[0]&vnetNeedsCsum != 0
	o.DataValid = h[0]&vnetDataValid != 0
	o.ECN = h[1]&vnetGSOECN != 0
	switch h[1] &^ vnetGSOECN {
	case vnetGSONone:
	case vnetGSOTCP4:
		o.GSO = packet.GSOTCP4
	case vnetGSOTCP6:
		o.GSO = packet.GSOTCP6
	case vnetGSOUDPL4:
		o.GSO = packet.GSOUDP
	default:
		return packet.Offload{}, false
	}
	if o.GSO != packet.GSONone {
		if o.GSOSize = binary.LittleEndian.Uint16(h[4:]); o.GSOSize == 0 {
			return packet.Offload{}, false
		}
	}
	if o.NeedsCsum {
		at := start + int(binary.LittleEndian.Uint16(h[6:]))
		offset := binary.LittleEndian.Uint16(h[8:])
		if at > 0xffff || at+int(offset)+2 > end {
			return packet.Offload{}, false
		}
		o.CsumStart, o.CsumOffset = uint16(at), offset
	}
	return o, true
}

// putVnet writes p's Offload into h. DataValid is not passed on: the kernel
// has no use for it on this way in.
func putVnet(h []byte, p *packet.Packet) {
	*(*[vnetLen]byte)(h) = [vnetLen]byte{}
	o := &p.Offload
	if o.NeedsCsum {
		h[0] = vnetNeedsCsum
		binary.LittleEndian.PutUint16(h[6:], o.CsumStart-uint16(p.Start))
		binary.LittleEndian.PutUint16(h[8:], o.CsumOffset)
	}
	if o.GSO == packet.GSONone {
		return
	}
	h[1] = [...]byte{packet.GSOTCP4: vnetGSOTCP4, packet.GSOTCP6: vnetGSOTCP6, packet.GSOUDP: vnetGSOUDPL4}[o.GSO]
	if o.ECN {
		h[1] |= vnetGSOECN
	}
	binary.LittleEndian.PutUint16(h[2:], headerLen(p))
	binary.LittleEndian.PutUint16(h[4:], o.GSOSize)
}

// headerLen is the length of a super-packet's headers, as the kernel wants
// them in one piece; 0, which leaves it to the kernel, where that is unknown.
func headerLen(p *packet.Packet) uint16 {
	o := &p.Offload
	at := int(o.CsumStart)
	switch {
	case !o.NeedsCsum || at < p.Start:
		return 0
	case o.GSO == packet.GSOUDP:
		at += 8
	case at+13 > p.End:
		return 0
	default:
		at += int(p.Store[at+12]>>4) * 4
	}
	if at > p.End {
		return 0
	}
	return uint16(at - p.Start)
}
