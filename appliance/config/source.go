package config

import (
	"strings"
	"unicode/utf8"
)

// maxSize is the largest file, in bytes: ten thousand services with ten real
// servers each, in their short form, have 3.2 MB.
const maxSize = 4 << 20

// maxSigns bounds the signs of YAML in a file, and with them the tokens: the
// library spends some 300 bytes on each. Ten thousand services with ten real
// servers each, in their short form, have 160,000 to 250,000.
const maxSigns = 1 << 19

// signs counts what can begin or end a token, comments not told apart.
func signs(text string) int {
	n := 0
	for i := range len(text) {
		switch text[i] {
		case '[', ']', '{', '}', ',', '&', '*', '!', '%', '@', '`', '?', '#', '|', '>', '"', '\'':
			n++
		case ':', '-':
			if i+1 == len(text) || text[i+1] == ' ' || text[i+1] == '\n' {
				n++
			}
		}
	}
	return n
}

// clean checks the bytes of a file and returns the text that the YAML library
// gets: without a byte order mark, with \n at the end of a line, and with a
// space for every tab behind the indentation. Positions stay what they were.
// Faults go to log; the text is worth nothing then.
//
// The library counts a line twice where a comment ends in \r\n, looks from each
// tab in a quoted text to the end of its line and from each < to the end of its
// run, so none of these may reach it.
func clean(log *faultLog, data []byte) string {
	if len(data) > maxSize {
		log.add(1, 1, "file has %d bytes: at most %d are read", len(data), maxSize)
		return ""
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	var out strings.Builder
	out.Grow(len(text))
	number := 0
	for line := range strings.SplitAfterSeq(text, "\n") {
		number++
		cleanLine(log, &out, line, number)
	}
	if signs(out.String()) > maxSigns {
		log.add(1, 1, "file has more than %d signs of YAML (brackets, commas, colons, dashes): share the services among several appliances", maxSigns)
	}
	return out.String()
}

// cleanLine writes one line of clean's text to out.
func cleanLine(log *faultLog, out *strings.Builder, line string, number int) {
	indent, col, less := true, 0, 0
	for i, r := range line {
		col++
		if less++; r != '<' {
			less = 0
		}
		switch {
		case less > 2:
			log.add(number, col, `"<<<" is nothing that a configuration needs`)
			return
		case r == '\t' && indent:
			log.add(number, col, "tab in the indentation: YAML wants spaces")
			return
		case r == '\t':
			r = ' '
		case r == '\n':
		case r == utf8.RuneError && !strings.HasPrefix(line[i:], "\ufffd"):
			log.add(number, col, "byte 0x%02x is not UTF-8 text", line[i])
			return
		case r < ' ', r == 0x7f, r == '\u0085', r == '\u2028', r == '\u2029', r == '\ufeff':
			log.add(number, col, "control character %U", r)
			return
		}
		if r != ' ' {
			indent = false
		}
		out.WriteRune(r)
	}
}
