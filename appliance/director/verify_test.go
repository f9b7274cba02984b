package director

import (
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
)

// verify checks every checksum of a packet with gopacket: it decodes, and
// serialises again with checksums of its own; the bytes must be the same.
func verify(p *packet.Packet) error {
	if p.Frag {
		return nil // the L4 checksum spans fragments that are not here
	}
	first := gopacket.LayerType(layers.LayerTypeIPv4)
	if p.Version == 6 {
		first = layers.LayerTypeIPv6
	}
	raw := p.Store[p.L3:p.L3End]
	decoded := gopacket.NewPacket(raw, first, gopacket.Default)
	var again []gopacket.SerializableLayer
	var network gopacket.NetworkLayer // the innermost: a tunnel has two
walk:
	for _, l := range decoded.Layers() {
		s, ok := l.(gopacket.SerializableLayer)
		if !ok {
			return fmt.Errorf("layer %v cannot be serialised", l.LayerType())
		}
		again = append(again, s)
		if n, ok := l.(gopacket.NetworkLayer); ok {
			network = n
		}
		if t, ok := s.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := t.SetNetworkLayerForChecksum(network); err != nil {
				return err
			}
		}
		switch l.LayerType() {
		case layers.LayerTypeTCP, layers.LayerTypeUDP, layers.LayerTypeICMPv4, layers.LayerTypeICMPv6:
			again = append(again, gopacket.Payload(l.LayerPayload())) // what it carries is not ours to decode
			break walk
		}
	}
	if len(again) < 3 {
		return fmt.Errorf("does not decode: %v", decoded)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, again...); err != nil {
		return err
	}
	if string(buf.Bytes()) != string(raw) {
		return fmt.Errorf("a checksum is wrong:\n got %x\nwant %x", raw, buf.Bytes())
	}
	return nil
}
