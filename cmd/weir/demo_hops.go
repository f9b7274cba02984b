package main

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"weir/netstack/packet"
)

// sighting is one packet as it was seen at one place of the demonstration.
type sighting struct {
	where string // "client1 sends"
	frame packet.Packet
	weir  bool // what differs from the sighting before was changed by weir
}

// field is one column of the hop table.
type field struct {
	title string
	of    func(*packet.Packet) string
}

var hopFields = []field{
	{"source MAC", func(p *packet.Packet) string { return macText(p, p.SrcMAC()) }},
	{"destination MAC", func(p *packet.Packet) string { return macText(p, p.DstMAC()) }},
	{"source", func(p *packet.Packet) string { return netip.AddrPortFrom(p.Src(), p.SrcPort).String() }},
	{"destination", func(p *packet.Packet) string { return netip.AddrPortFrom(p.Dst(), p.DstPort).String() }},
	{"TTL", func(p *packet.Packet) string { return fmt.Sprint(p.TTL()) }},
}

func macText(p *packet.Packet, m packet.MAC) string {
	if p.Link != packet.LinkEthernet {
		return "-"
	}
	return m.String()
}

// writeHops prints the table: one line a sighting, and what weir changed set
// off, by a star and, where colour is wanted, in colour.
func writeHops(w io.Writer, hops []sighting, colour bool) {
	width := make([]int, len(hopFields)+1)
	rows := make([][]string, len(hops))
	for i := range hops {
		rows[i] = append(rows[i], hops[i].where)
		for _, f := range hopFields {
			rows[i] = append(rows[i], f.of(&hops[i].frame))
		}
	}
	for i, f := range hopFields {
		width[i+1] = len(f.title)
	}
	for i, row := range rows {
		for c, cell := range row {
			if changed(hops, rows, i, c) {
				row[c] = cell + "*"
			}
		}
	}
	for _, row := range rows {
		for c, cell := range row {
			width[c] = max(width[c], len(cell))
		}
	}
	fmt.Fprintf(w, "  %-*s", width[0], "")
	for c, f := range hopFields {
		fmt.Fprintf(w, "  %-*s", width[c+1], f.title)
	}
	fmt.Fprintln(w)
	for _, row := range rows {
		line := "  "
		for c, cell := range row {
			padded := fmt.Sprintf("%-*s", width[c], cell)
			if colour && strings.HasSuffix(cell, "*") {
				padded = "\x1b[1;33m" + padded + "\x1b[0m"
			}
			line += padded + "  "
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// changed reports whether weir made cell c of row i differ from the row before.
func changed(hops []sighting, rows [][]string, i, c int) bool {
	return c > 0 && i > 0 && hops[i].weir && strings.TrimSuffix(rows[i-1][c], "*") != rows[i][c]
}

// carries reports whether a TCP packet's payload begins like this and holds the
// mark: the same bytes, whatever was done to the headers.
func carries(p *packet.Packet, beginning, mark string) bool {
	return p.Proto == packet.TCP && p.HasL4 && bytes.HasPrefix(p.PayloadBytes(), []byte(beginning)) && bytes.Contains(p.PayloadBytes(), []byte(mark))
}
