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
	where  string // "client1 sends"
	frame  packet.Packet
	outer  *packet.Packet // the packet that frame was inside of; nil: none
	weir   bool           // what differs from the sighting before was changed by weir
	atWeir bool           // weir saw it
}

// link is the packet that has the frame's link header.
func (s *sighting) link() *packet.Packet {
	if s.outer != nil {
		return s.outer
	}
	return &s.frame
}

// field is one column of the hop table.
type field struct {
	title string
	of    func(*sighting) string
}

var hopFields = []field{
	{"source MAC", func(s *sighting) string { return macText(s.link(), s.link().SrcMAC) }},
	{"destination MAC", func(s *sighting) string { return macText(s.link(), s.link().DstMAC) }},
	{"source", func(s *sighting) string {
		return s.inside(func(p *packet.Packet) string { return p.Src().String() }, netip.AddrPortFrom(s.frame.Src(), s.frame.SrcPort).String())
	}},
	{"destination", func(s *sighting) string {
		return s.inside(func(p *packet.Packet) string { return p.Dst().String() }, netip.AddrPortFrom(s.frame.Dst(), s.frame.DstPort).String())
	}},
	{"TTL", func(s *sighting) string {
		return s.inside(func(p *packet.Packet) string { return fmt.Sprint(p.TTL()) }, fmt.Sprint(s.frame.TTL()))
	}},
}

// inside puts what is inside a tunnel into brackets behind what is outside.
func (s *sighting) inside(outer func(*packet.Packet) string, inner string) string {
	if s.outer == nil {
		return inner
	}
	return fmt.Sprintf("%s [%s]", outer(s.outer), inner)
}

func macText(p *packet.Packet, mac func() packet.MAC) string {
	if p.Link != packet.LinkEthernet {
		return "-"
	}
	return mac().String()
}

// writeHops prints the table: one line a sighting, and what weir changed set
// off, by a star and, where colour is wanted, in colour.
func writeHops(w io.Writer, hops []sighting, colour bool) {
	width := make([]int, len(hopFields)+1)
	rows := make([][]string, len(hops))
	for i := range hops {
		rows[i] = append(rows[i], hops[i].where)
		for _, f := range hopFields {
			rows[i] = append(rows[i], f.of(&hops[i]))
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
	head := fmt.Sprintf("  %-*s", width[0], "")
	for c, f := range hopFields {
		head += fmt.Sprintf("  %-*s", width[c+1], f.title)
	}
	fmt.Fprintln(w, strings.TrimRight(head, " "))
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

// writeComparison prints what the demonstrations have shown, side by side: what
// weir changed in the request and in the answer, and who answered the client.
func writeComparison(w io.Writer, done []*demonstration) {
	rows := [][]string{{"", "topology", "method", "weir changed in the request", "in the answer", "the answer came"}}
	for _, d := range done {
		by := "through weir"
		if d.oneWay() {
			by = "past weir"
		}
		rows = append(rows, []string{d.name, d.topology.Name, d.method, changes(d.request), changes(d.answer), by})
	}
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for c, cell := range row {
			width[c] = max(width[c], len(cell))
		}
	}
	fmt.Fprintln(w, "\n\nthe methods side by side")
	for _, row := range rows {
		line := "  "
		for c, cell := range row {
			line += fmt.Sprintf("%-*s  ", width[c], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// changes are the fields that weir changed on the way.
func changes(hops []sighting) string {
	var list []string
	for i := 1; i < len(hops); i++ {
		if !hops[i].weir {
			continue
		}
		if hops[i].outer != nil && hops[i-1].outer == nil {
			list = append(list, "a header around it")
		}
		for _, f := range hopFields {
			tunnelled := hops[i].outer != nil && !strings.HasSuffix(f.title, "MAC")
			if !tunnelled && f.of(&hops[i]) != f.of(&hops[i-1]) {
				list = append(list, f.title)
			}
		}
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// carries reports whether a TCP packet's payload begins like this and holds the
// mark: the same bytes, whatever was done to the headers.
func carries(p *packet.Packet, beginning, mark string) bool {
	return p.Proto == packet.TCP && p.HasL4 && bytes.HasPrefix(p.PayloadBytes(), []byte(beginning)) && bytes.Contains(p.PayloadBytes(), []byte(mark))
}
