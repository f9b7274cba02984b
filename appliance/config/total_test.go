package config

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/tools/txtar"
)

// answers checks Parse's promise for any bytes: a Config, or faults that each
// name the file, a line and a column that are in it.
// valid says which.
func answers(data []byte) (valid bool, broken error) {
	c, err := Parse("weir.yaml", data)
	if err == nil {
		if c == nil {
			return false, errors.New("neither a configuration nor a fault")
		}
		return true, nil
	}
	return false, decent(c, err, data)
}

// decent checks the error that Parse gave for data, beside the configuration c.
func decent(c *Config, err error, data []byte) error {
	faults, ok := err.(Faults)
	if !ok || len(faults) == 0 {
		return fmt.Errorf("not Faults, but %T: %v", err, err)
	}
	if c != nil {
		return fmt.Errorf("a configuration in spite of %v", err)
	}
	lines := strings.Split(string(data), "\n")
	for _, f := range faults {
		if f.File != "weir.yaml" || f.Message == "" || strings.Contains(f.String(), "\n") {
			return fmt.Errorf("not one line with a file name: %q", f)
		}
		if f.Line < 1 || f.Line > len(lines) {
			return fmt.Errorf("file has %d lines: %s", len(lines), f)
		}
		if wide := utf8.RuneCountInString(lines[f.Line-1]); f.Col < 1 || f.Col > wide+1 {
			return fmt.Errorf("line has %d characters: %s", wide, f)
		}
	}
	return nil
}

// TestMutatedFiles holds row 26 of the list of threats: of a thousand mutated
// files each gives a configuration or faults with their lines, within a second.
func TestMutatedFiles(t *testing.T) {
	const seed, mutants = 26, 1500
	rnd := rand.New(rand.NewPCG(seed, seed))
	sources := []string{minimal, string(Reference), everything()}
	valid := 0
	for i := range mutants {
		text := sources[i%len(sources)]
		for range 1 + rnd.IntN(3) {
			text = mutations[rnd.IntN(len(mutations))](rnd, text)
		}
		begin := time.Now()
		ok, err := answers([]byte(text))
		if err != nil {
			t.Errorf("mutant %d: %v\n%s", i, err, text)
		}
		if ok {
			valid++
		}
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("mutant %d took %v\n%s", i, d, text)
		}
	}
	if valid == 0 || valid == mutants {
		t.Errorf("%d of %d mutants are valid: the mutations are too strong or too weak to prove anything", valid, mutants)
	}
}

// mutations each damage a text in one way.
var mutations = []func(*rand.Rand, string) string{
	func(r *rand.Rand, s string) string { // one bit
		b := []byte(s)
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		return string(b)
	},
	func(r *rand.Rand, s string) string { // a line goes
		return lines(s, func(l []string) []string { i := r.IntN(len(l)); return append(l[:i:i], l[i+1:]...) })
	},
	func(r *rand.Rand, s string) string { // a line comes twice
		return lines(s, func(l []string) []string { i := r.IntN(len(l)); return append(l[:i:i], l[max(0, i-1):]...) })
	},
	func(r *rand.Rand, s string) string { // two lines change places
		return lines(s, func(l []string) []string {
			i, j := r.IntN(len(l)), r.IntN(len(l))
			l[i], l[j] = l[j], l[i]
			return l
		})
	},
	func(r *rand.Rand, s string) string { // two values change places
		w := strings.SplitAfter(s, " ")
		i, j := r.IntN(len(w)), r.IntN(len(w))
		w[i], w[j] = w[j], w[i]
		return strings.Join(w, "")
	},
	func(r *rand.Rand, s string) string { // the indentation of a line changes
		return lines(s, func(l []string) []string {
			i := r.IntN(len(l))
			l[i] = strings.Repeat(" ", r.IntN(9)) + strings.TrimLeft(l[i], " ")
			return l
		})
	},
	func(r *rand.Rand, s string) string { // the end is missing
		return s[:1+r.IntN(len(s)-1)]
	},
	func(r *rand.Rand, s string) string { // something of YAML's stands where it should not
		at := r.IntN(len(s))
		return s[:at] + oddities[r.IntN(len(oddities))] + s[at:]
	},
	func(r *rand.Rand, s string) string { // something nests deeply
		at, n := r.IntN(len(s)), 1+r.IntN(2000)
		open := []string{"[", "{", "{a: ", "- ", "[[{b: "}[r.IntN(5)]
		return s[:at] + strings.Repeat(open, n) + s[at:]
	},
}

var oddities = []string{"&a ", "*a", "<<: *a", "!!map ", "!x", "|", ">-\n", "? ", "---\n", "...\n", "%TAG ! x\n", "\t", "\x00",
	"\r", "\r\n", "'", "\"", "#", " #", ":", ": ", "- ", ",", "]", "}", "[", "{", "@", "`", "~", "null", "\\", "\xff", "\ufeff", "\u2028",
	"0x", "-", "99999999999999999999", "é", "😀", "<<", "\n", "\n\n", "  \n ", "{]", "[}", "::", "=", "\"\\u12", "\"\\x", "\"\\"}

// lines changes a text as lines.
func lines(s string, change func([]string) []string) string {
	return strings.Join(change(strings.Split(s, "\n")), "\n")
}

// Hostile files must end, with a fault, by a bound and not by luck: unbounded,
// most of these take minutes, or a stack that no recover can save. Each is far
// larger than any bound but not refused for its mere size.
func TestHostileFilesEnd(t *testing.T) {
	const size, most, soon = maxSize / 8, maxSigns / 8, 10 * time.Second
	for what, f := range map[string]struct{ head, repeat, tail string }{
		"brackets":                {"", "[", ""},
		"braces":                  {"", "{a: ", ""},
		"closing brackets":        {"", "]", ""},
		"dashes on one line":      {"", "- ", ""},
		"dashes, each on a line":  {"", "-\n", ""},
		"keys of one mapping":     {"", "a: b\n", ""},
		"keys without values":     {"", "a:\n", ""},
		"words in braces":         {"{", "a,", "}"},
		"pairs in braces":         {"{", "a: b,", "}"},
		"pairs in brackets":       {"[", "a: b,", "]"},
		"empty pairs in brackets": {"[", "a: ,", "]"},
		"words in brackets":       {"a: [", "b,", "]"},
		"documents":               {"", "---\na\n", ""},
		"ends of documents":       {"", "...\n", ""},
		"anchors":                 {"", "&a ", ""},
		"aliases":                 {"", "*a ", ""},
		"tags":                    {"", "! ", ""},
		"one long tag":            {"", "!", ""},
		"directives":              {"", "%a\n", ""},
		"merge signs":             {"", "<", ""},
		"tabs in a quoted text":   {`a: "`, "\tb", `"`},
		"one long key":            {"", "a", ": b"},
		"a long key above a list": {strings.Repeat("a", maxSize/16) + ":\n", "- b\n", ""},
		"one long word":           {"", "a", ""},
		"one long line of colons": {"", "a:", ""},
		"one word over lines":     {"", "a\n", ""},
		"quoted text over lines":  {`a: "`, "b\n", `"`},
		"an open quote":           {`a: "`, "b", ""},
		"a text block":            {"a: |\n", "  b\n", ""},
		"reserved signs":          {"", "@", ""},
		"faults":                  {"services:\n", "- {x: 1}\n", ""},
		"quoted words":            {"a: [", `"b",`, "]"},
		"mistyped keys":           {"services:\n", "- {nmae: 1}\n", ""},
		"comments":                {"", "# a\n", ""},
		"blank lines":             {"", "\n", ""},
		"spaces":                  {"", " ", ""},
	} {
		t.Run(what, func(t *testing.T) {
			n := size / len(f.repeat)
			if s := signs(f.repeat + " "); s > 0 {
				n = min(n, most/s)
			}
			begin := time.Now()
			valid, err := answers([]byte(f.head + strings.Repeat(f.repeat, n) + f.tail))
			if err != nil {
				t.Error(err)
			}
			if valid {
				t.Errorf("%d times: no fault", n)
			}
			if d := time.Since(begin); d > soon {
				t.Errorf("%d times took %v", n, d)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	for _, row := range []struct{ sentence, text, want string }{
		{"a file that is too large", strings.Repeat("#", maxSize+1), "file has 4194305 bytes: at most 4194304 are read"},
		{"too many signs", strings.Repeat("[", maxSigns+1), "file has more than 524288 signs of YAML"},
		{"too deep in brackets", strings.Repeat("[", maxDepth+1), "more than 32 levels of nesting"},
		{"too deep by indentation", stairs(maxDepth + 1), "more than 32 levels of nesting"},
		{"too deep in dashes", strings.Repeat("- ", maxDepth+1), "more than 32 levels of nesting"},
		{"too many keys in one mapping", strings.Repeat("a: b\n", maxKeys+1), "more than 256 keys in one mapping"},
		{"too many keys in braces", "{" + strings.Repeat("a: b, ", maxKeys+1) + "}", "more than 256 keys in one mapping"},
		{"a key that is too long", strings.Repeat("k", maxKeyLen+1) + ": b", "key of more than 64 bytes"},
		{"too many keys without a value", strings.Repeat("- a:\n", maxEmpty+1), "more than 256 keys and list items without a value"},
		{"too many empty list items", strings.Repeat("-\n", maxEmpty+1), "more than 256 keys and list items without a value"},
		{"too many empty pairs", "[" + strings.Repeat("{a: },", maxEmpty+1) + "]", "more than 256 keys and list items without a value"},
		{"too many lone words in braces", "[" + strings.Repeat("{a},", maxEmpty+1) + "]", "more than 256 keys and list items without a value"},
		{"more faults than are listed", "services:\n" + strings.Repeat("- {x: 1}\n", maxFaults), "more than 1000 faults: the rest is not listed"},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			_, err := Parse("weir.yaml", []byte(row.text))
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %.300v, want %s", err, row.want)
			}
		})
	}
}

// stairs is n keys, each one deeper than the one before.
func stairs(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return s.String()
}

func TestLargestUsefulFileIsRead(t *testing.T) {
	var s strings.Builder
	s.WriteString("topology: host\nports: [{name: lan, tun: weir0}]\nservices:\n")
	const services = 10000
	for i := range services {
		fmt.Fprintf(&s, "- {name: s%d, vip: \"10.%d.%d.1:80\", method: nat, reals: [", i, i/250, i%250+1)
		for j := range 10 {
			fmt.Fprintf(&s, "172.16.%d.%d:80,", i%250, j+1)
		}
		s.WriteString("]}\n")
	}
	c, err := Parse("weir.yaml", []byte(s.String()))
	if err != nil {
		t.Fatal(err.Error()[:min(len(err.Error()), 500)])
	}
	if len(c.Services) != services || len(c.VIPs()) != services {
		t.Errorf("got %d services and %d VIPs of %d", len(c.Services), len(c.VIPs()), services)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add(Reference)
	f.Add([]byte(everything()))
	files, err := filepath.Glob("testdata/faults/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, row := range archive.Files {
			f.Add([]byte(whole(string(row.Data))))
		}
	}
	for _, odd := range oddities {
		f.Add([]byte("a: " + odd + " b\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := answers(data); err != nil {
			t.Error(err)
		}
	})
}
