package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden faults anew")

// base is what a snippet leaves out, each under its key.
var base = []struct{ key, text string }{
	{"topology", "topology: routed\n"},
	{"ports", `ports:
  - {name: wan, tap: weir0, addresses: [192.0.2.2/24]}
  - {name: lan, tap: weir1, addresses: [10.0.0.1/24]}
`},
	{"services", "services: []\n"},
}

// whole is the snippet, from the first line on, and behind it the parts of
// base that it does not have. A snippet that begins with "# alone" stays so.
func whole(snippet string) string {
	if strings.HasPrefix(snippet, "# alone\n") {
		return snippet
	}
	for _, b := range base {
		if !strings.HasPrefix(snippet, b.key+":") && !strings.Contains(snippet, "\n"+b.key+":") {
			snippet += b.text
		}
	}
	return snippet
}

// TestFaults reads testdata/faults: pairs of "SENTENCE" (a snippet of a file)
// and "= SENTENCE" (the exact lines of its faults).
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden faults: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { goldenFaults(t, file) })
	}
}

func goldenFaults(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string]string{}
	var rows []txtar.File
	for _, f := range archive.Files {
		if s, ok := strings.CutPrefix(f.Name, "= "); ok {
			golden[s] = string(f.Data)
		} else {
			rows = append(rows, f)
		}
	}
	archive.Files = nil
	for _, row := range rows {
		got := ""
		if _, err := Parse("weir.yaml", []byte(whole(string(row.Data)))); err != nil {
			got = err.Error() + "\n"
		}
		archive.Files = append(archive.Files, row, txtar.File{Name: "= " + row.Name, Data: []byte(got)})
		if got == "" {
			t.Errorf("%s: no fault", row.Name)
		}
		if got != golden[row.Name] && !*update {
			t.Errorf("%s:\ngot\n%swant\n%s", row.Name, got, golden[row.Name])
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
