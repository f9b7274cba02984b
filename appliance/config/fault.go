package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a file, at the place where it is written.
type Fault struct {
	File    string
	Line    int // from 1
	Col     int // from 1, in characters
	Message string
}

func (f Fault) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Col, f.Message)
}

// Faults is everything wrong with a file, in the file's order. It is the only
// kind of error that Parse returns, and it is never empty there.
type Faults []Fault

// Error is one line a fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// maxFaults bounds what one file can make us remember and print.
const maxFaults = 1000

// log collects the faults of one file while it is read.
type faultLog struct {
	file   string
	faults Faults
	more   bool // faults beyond maxFaults were left out
}

func (l *faultLog) add(line, col int, format string, args ...any) {
	if len(l.faults) == maxFaults {
		l.more = true
		return
	}
	l.faults = append(l.faults, Fault{l.file, line, col, fmt.Sprintf(format, args...)})
}

// err is the sorted faults without repetition, nil where there are none.
func (l *faultLog) err() error {
	if len(l.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(l.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Message, b.Message))
	})
	fs := slices.Compact(l.faults)
	if l.more {
		last := fs[len(fs)-1]
		last.Message = fmt.Sprintf("more than %d faults: the rest is not listed", maxFaults)
		fs = append(fs, last)
	}
	return fs
}

// clip quotes what a file says, short enough for a line.
func clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return fmt.Sprintf("%q", s)
}
