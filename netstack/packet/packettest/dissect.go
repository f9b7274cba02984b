// Package packettest judges packets by a second opinion: gopacket decodes them,
// finds what differs between two, and computes the checksums they should have.
// It also makes random packets of every kind that package packet reads.
package packettest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"weir/netstack/packet"
)

// Field is one field of a frame as gopacket decodes it, such as IPv4.TTL. The
// fields of a packet quoted in an ICMP error begin with "quote.".
type Field struct{ Name, Value string }

// Checksum is a checksum that a frame has, and that gopacket would have put
// there. Checksums that cannot be computed, of fragments and of quotes cut
// short, are not among a frame's; nor is UDP's 0, which says there is none.
type Checksum struct {
	Name       string
	Have, Want uint16
}

// Error is what is wrong with the checksum: a number that stays the same as
// long as only incremental updates are made. 0 is right.
func (c Checksum) Error() uint16 {
	e := uint32(c.Have) + uint32(^c.Want)
	e = e&0xffff + e>>16
	if e == 0xffff {
		return 0
	}
	return uint16(e)
}

// FieldChange is a field that two frames do not have in common. Before or After
// is empty where the frame lacks the field.
type FieldChange struct{ Name, Before, After string }

// Fields decodes a frame as far as L4, in the order of its bytes. What gopacket
// cannot decode is there as the hexadecimal "raw".
func Fields(frame []byte, link packet.Link) []Field {
	return dissect(frame, link).fields
}

// Checksums finds all checksums of a frame that can be computed.
func Checksums(frame []byte, link packet.Link) []Checksum {
	return dissect(frame, link).sums
}

// Diff decodes both frames and returns the fields that differ, in order of the
// first. Every byte belongs to some field, so no change escapes.
func Diff(before, after []byte, link packet.Link) []FieldChange {
	return DiffLinks(before, link, after, link)
}

// DiffLinks is Diff of frames from different links.
func DiffLinks(before []byte, beforeLink packet.Link, after []byte, afterLink packet.Link) []FieldChange {
	was, is := dissect(before, beforeLink), dissect(after, afterLink)
	var changes []FieldChange
	for _, f := range was.fields {
		if now := is.value[f.Name]; now != f.Value {
			changes = append(changes, FieldChange{f.Name, f.Value, now})
		}
	}
	for _, f := range is.fields {
		if _, ok := was.value[f.Name]; !ok {
			changes = append(changes, FieldChange{f.Name, "", f.Value})
		}
	}
	return changes
}

type dissection struct {
	fields []Field
	value  map[string]string
	sums   []Checksum
}

func dissect(frame []byte, link packet.Link) *dissection {
	d := &dissection{value: map[string]string{}}
	first := gopacket.LayerType(layers.LayerTypeEthernet)
	if link == packet.LinkRaw {
		first = ipType(frame)
	}
	d.walk("", frame, first)
	return d
}

// ipType is the layer type of a raw packet, by its first nibble.
func ipType(b []byte) gopacket.LayerType {
	if len(b) > 0 && b[0]>>4 == 6 {
		return layers.LayerTypeIPv6
	}
	return layers.LayerTypeIPv4
}

// add appends a field; the second of a name is called name#2, and so on.
func (d *dissection) add(name, value string) {
	unique := name
	for n := 2; ; n++ {
		if _, taken := d.value[unique]; !taken {
			break
		}
		unique = fmt.Sprintf("%s#%d", name, n)
	}
	d.value[unique] = value
	d.fields = append(d.fields, Field{unique, value})
}

// addLayer appends the exported fields of a decoded layer.
func (d *dissection) addLayer(prefix string, l gopacket.Layer) {
	switch l.(type) {
	case *layers.IPv6HopByHop, *layers.IPv6Destination, *layers.IPv6Routing, *layers.IPSecAH:
		// Nothing in them that weir would change.
		d.add(prefix+l.LayerType().String(), hex.EncodeToString(l.LayerContents()))
		return
	}
	v := reflect.ValueOf(l).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous || !f.IsExported() || f.Name == "HopByHop" { // a layer of its own
			continue
		}
		d.add(prefix+v.Type().Name()+"."+f.Name, fmt.Sprint(v.Field(i).Interface()))
	}
}

// walk decodes the packet data from layer first on and adds what it finds.
func (d *dissection) walk(prefix string, data []byte, first gopacket.LayerType) {
	w := walker{d: d, prefix: prefix, truncated: prefix != "" && claimed(data) > len(data)}
	w.walk(data, first)
}

// claimed is the length of the IP packet at the start of b by its own word.
// gopacket's Truncated is not used: it takes a hop-by-hop header for missing.
func claimed(b []byte) int {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return int(binary.BigEndian.Uint16(b[2:]))
	case len(b) >= 40 && b[0]>>4 == 6:
		return 40 + int(binary.BigEndian.Uint16(b[4:]))
	}
	return 0
}
