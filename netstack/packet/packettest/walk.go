package packettest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// walker goes through the layers of one packet.
type walker struct {
	d         *dissection
	prefix    string
	truncated bool // part of the packet is missing: it is a quote
	fragment  bool
	ip        gopacket.NetworkLayer
	proto     layers.IPProtocol
}

// walk decodes data from layer first on.
func (w *walker) walk(data []byte, first gopacket.LayerType) {
	p := gopacket.NewPacket(data, first, gopacket.DecodeOptions{NoCopy: true})
	at := 0
	for _, l := range p.Layers() {
		if failed(l, p.ErrorLayer()) {
			w.raw(data[at:])
			return
		}
		at += len(l.LayerContents())
		if !w.layer(l) {
			at += len(l.LayerPayload())
			break
		}
	}
	if at < len(data) {
		w.d.add(w.prefix+"trailer", hex.EncodeToString(data[at:]))
	}
}

// failed reports whether l is the layer that gopacket could not decode, failure
// not being nil. A TCP header whose options are cut it has decoded well enough.
func failed(l gopacket.Layer, failure gopacket.ErrorLayer) bool {
	switch l := l.(type) {
	case *gopacket.DecodeFailure:
		return true
	case *layers.TCP:
		return len(l.Contents) < 20
	case *layers.UDP, *layers.ICMPv4:
		return len(l.LayerContents()) < 8
	case *layers.ICMPv6:
		return len(l.LayerContents()) < 4
	case *layers.IPv4:
		return len(l.Contents) < 20 || failure != nil && len(l.Contents) != int(l.IHL)*4
	case *layers.IPv6:
		return len(l.Contents) < 40
	}
	return false
}

// layer adds one layer; false if the walk ends with it, payload included.
func (w *walker) layer(l gopacket.Layer) bool {
	switch l := l.(type) {
	case *layers.IPv4:
		w.ip, w.proto = l, l.Protocol
		w.fragment = l.FragOffset != 0 || l.Flags&layers.IPv4MoreFragments != 0
		w.d.addLayer(w.prefix, l)
		w.sum("IPv4.Checksum", l.Checksum, sumIPv4(l))
		return true
	case *layers.IPv6:
		w.ip = l
	case *layers.IPv6Fragment:
		w.proto = l.NextHeader
		w.fragment = l.FragmentOffset != 0 || l.MoreFragments
		w.d.addLayer(w.prefix, l)
		w.inFragment(l.FragmentOffset == 0, l.LayerPayload())
		return false
	case *gopacket.Fragment:
		w.inFragment(w.ip.(*layers.IPv4).FragOffset == 0, l.LayerContents())
		return false
	case *layers.TCP, *layers.UDP, *layers.ICMPv4, *layers.ICMPv6:
		w.l4(l)
		return false
	case *layers.Ethernet, *layers.Dot1Q, *layers.ARP,
		*layers.IPv6HopByHop, *layers.IPv6Destination, *layers.IPv6Routing, *layers.IPSecAH:
	default: // what IP carries and weir does not look into
		w.d.add(w.prefix+"payload", hex.EncodeToString(l.LayerContents())+hex.EncodeToString(l.LayerPayload()))
		return false
	}
	w.d.addLayer(w.prefix, l)
	return true
}

// inFragment looks into the data of a fragment: the first one begins with L4.
func (w *walker) inFragment(first bool, data []byte) {
	if !first {
		w.d.add(w.prefix+"payload", hex.EncodeToString(data))
		return
	}
	w.walk(data, w.proto.LayerType())
}

// raw adds what gopacket could not decode. The first 8 bytes of a quoted TCP
// header are told apart all the same: they may be rewritten.
func (w *walker) raw(data []byte) {
	if w.truncated && len(data) >= 8 {
		w.d.add(w.prefix+"TCP.SrcPort", layers.TCPPort(binary.BigEndian.Uint16(data)).String())
		w.d.add(w.prefix+"TCP.DstPort", layers.TCPPort(binary.BigEndian.Uint16(data[2:])).String())
		w.d.add(w.prefix+"TCP.Seq", hex.EncodeToString(data[4:8]))
		data = data[8:]
		if len(data) >= 10 {
			w.d.add(w.prefix+"TCP.Checksum", hex.EncodeToString(data[8:10]))
			w.d.add(w.prefix+"raw", hex.EncodeToString(data[:8])+" "+hex.EncodeToString(data[10:]))
			return
		}
	}
	w.d.add(w.prefix+"raw", hex.EncodeToString(data))
}

// l4 adds the L4 header, its checksum and what it carries.
func (w *walker) l4(l gopacket.Layer) {
	w.d.addLayer(w.prefix, l)
	payload := l.LayerPayload()
	switch l := l.(type) {
	case *layers.TCP:
		w.d.add(w.prefix+"TCP.Reserved", fmt.Sprint(l.Contents[12]>>1&7)) // no field of gopacket's
		if len(l.Contents) < int(l.DataOffset)*4 {                        // options that are cut
			w.d.add(w.prefix+"raw", hex.EncodeToString(l.Contents[20:]))
		}
		w.sumL4("TCP.Checksum", l.Checksum, sumTCP, l)
	case *layers.UDP:
		if l.Checksum != 0 {
			w.sumL4("UDP.Checksum", l.Checksum, sumUDP, l)
		}
	case *layers.ICMPv4:
		w.sumL4("ICMPv4.Checksum", l.Checksum, sumICMPv4, l)
		switch l.TypeCode.Type() {
		case layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4TypeSourceQuench,
			layers.ICMPv4TypeTimeExceeded, layers.ICMPv4TypeParameterProblem:
			w.d.walk(w.prefix+"quote.", payload, layers.LayerTypeIPv4)
			return
		}
	case *layers.ICMPv6:
		w.sumL4("ICMPv6.Checksum", l.Checksum, sumICMPv6, l)
		if len(payload) < 4 {
			break
		}
		w.d.add(w.prefix+"ICMPv6.Id", hex.EncodeToString(payload[:2]))
		w.d.add(w.prefix+"ICMPv6.Seq", hex.EncodeToString(payload[2:4]))
		payload = payload[4:]
		if l.TypeCode.Type() < 128 {
			w.d.walk(w.prefix+"quote.", payload, layers.LayerTypeIPv6)
			return
		}
	}
	w.d.add(w.prefix+"payload", hex.EncodeToString(payload))
}

func (w *walker) sum(name string, have, want uint16) {
	w.d.sums = append(w.d.sums, Checksum{w.prefix + name, have, want})
}

func (w *walker) sumL4(name string, have uint16, want func(gopacket.Layer, gopacket.NetworkLayer) uint16, l gopacket.Layer) {
	if !w.truncated && !w.fragment {
		w.sum(name, have, want(l, w.ip))
	}
}

// serialize lets gopacket write l before payload with a checksum of its own.
func serialize(l gopacket.SerializableLayer, payload []byte) {
	err := gopacket.SerializeLayers(gopacket.NewSerializeBuffer(),
		gopacket.SerializeOptions{ComputeChecksums: true}, l, gopacket.Payload(payload))
	if err != nil {
		panic("packettest: gopacket cannot write what it has read: " + err.Error())
	}
}

// sumIPv4 has the header summed as the payload of an ICMP message of zeros: the
// same arithmetic, and gopacket does not lose what stands behind an end-of-
// options option, as it would in writing an IPv4 header.
func sumIPv4(ip *layers.IPv4) uint16 {
	header := append([]byte(nil), ip.Contents...)
	header[10], header[11] = 0, 0
	var icmp layers.ICMPv4
	serialize(&icmp, header)
	return icmp.Checksum
}

func sumTCP(l gopacket.Layer, ip gopacket.NetworkLayer) uint16 {
	segment := append(append([]byte(nil), l.LayerContents()...), l.LayerPayload()...)
	segment[16], segment[17] = 0, 0
	var tcp layers.TCP
	// Options that gopacket cannot read do not matter: header and payload are
	// told apart before it looks at them.
	_ = tcp.DecodeFromBytes(segment, gopacket.NilDecodeFeedback)
	tcp.SetNetworkLayerForChecksum(ip)
	sum, err := tcp.ComputeChecksum()
	if err != nil {
		panic("packettest: TCP checksum: " + err.Error())
	}
	return sum
}

func sumUDP(l gopacket.Layer, ip gopacket.NetworkLayer) uint16 {
	udp := *l.(*layers.UDP)
	udp.SetNetworkLayerForChecksum(ip)
	serialize(&udp, l.LayerPayload())
	if udp.Checksum == 0 { // RFC 768; gopacket does not know
		return 0xffff
	}
	return udp.Checksum
}

func sumICMPv4(l gopacket.Layer, _ gopacket.NetworkLayer) uint16 {
	icmp := *l.(*layers.ICMPv4)
	serialize(&icmp, l.LayerPayload())
	return icmp.Checksum
}

func sumICMPv6(l gopacket.Layer, ip gopacket.NetworkLayer) uint16 {
	icmp := *l.(*layers.ICMPv6)
	icmp.SetNetworkLayerForChecksum(ip)
	serialize(&icmp, l.LayerPayload())
	return icmp.Checksum
}
