package rules

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestRules holds the repository to every rule.
func TestRules(t *testing.T) {
	tree, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Files) < 50 {
		t.Fatalf("found %d files only: not the repository", len(tree.Files))
	}
	for _, rule := range Rules {
		t.Run(rule.Name, func(t *testing.T) {
			for _, b := range rule.Check(tree) {
				t.Error(b)
			}
		})
	}
}

// TestEachRuleCanFail gives every rule a tree that breaks it, and asserts what
// it says: testdata/NAME.txtar holds the tree and, as "broken", the lines
// without their reasons. The other rules are content with the tree, apart from
// READMEs that it does not need.
func TestEachRuleCanFail(t *testing.T) {
	seen := map[string]bool{}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// The mark keeps testdata from breaking the rule about places itself.
			archive := txtar.Parse(bytes.ReplaceAll(data, []byte("HALF"), nil))
			name := strings.TrimSpace(string(archive.Comment))
			seen[name] = true
			tree, want := unpack(t, archive)
			got := ""
			for _, rule := range Rules {
				broken := rule.Check(tree)
				if rule.Name != name {
					if len(broken) > 0 && name != "a folder of Go has a README.md" {
						t.Errorf("breaks another rule: %s", strings.Join(broken, "\n"))
					}
					continue
				}
				for _, b := range broken {
					what, reason, ok := strings.Cut(b, " (")
					if !ok || reason != rule.Name+": "+rule.Reason+")" {
						t.Errorf("%q does not end with the rule and its reason", b)
					}
					got += what + "\n"
				}
			}
			if got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
	for _, rule := range Rules {
		if !seen[rule.Name] {
			t.Errorf("no tree in testdata breaks the rule %q", rule.Name)
		}
	}
}

// unpack writes a tree to a folder of the test and loads it. What every tree
// needs is added: go.mod and a README.md in each folder of Go.
func unpack(t *testing.T, archive *txtar.Archive) (tree *Tree, broken string) {
	root := t.TempDir()
	write := func(name string, data []byte) {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", []byte("module weir\n"))
	bare := strings.Contains(string(archive.Comment), "README.md")
	for _, f := range archive.Files {
		if f.Name == "broken" {
			broken = string(f.Data)
			continue
		}
		if !bare {
			write(filepath.ToSlash(filepath.Join(filepath.Dir(f.Name), "README.md")), []byte("# a room\n"))
		}
		write(f.Name, []byte(strings.ReplaceAll(string(f.Data), "REPEAT\n", strings.Repeat("//\n", maxLines))))
	}
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return tree, broken
}

// In a worktree .git is a file that names a place on the machine; what make and
// the README's commands leave behind is nobody's source.
func TestWhatGitDoesNotTrackIsNotRead(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module weir\n", ".gitignore": "/weir\n/weir.yaml\n*.out\n", ".git": "gitdir: elsewhere\n",
		"weir": "binary", "weir.yaml": "topology: host\n", "cpu.out": "",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	var read []string
	for _, f := range tree.Files {
		read = append(read, f.Path)
	}
	if got := strings.Join(read, " "); got != ".gitignore go.mod" {
		t.Errorf("read %s", got)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	root := t.TempDir()
	if _, err := Load(root); err == nil {
		t.Error("a folder without go.mod is no tree")
	}
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("go 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(root); err == nil || !strings.Contains(err.Error(), "names no module") {
		t.Errorf("go.mod without a module: got %v", err)
	}
	for name, data := range map[string]string{"go.mod": "module weir\n", "broken.go": "package"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(root); err == nil || !strings.Contains(err.Error(), "broken.go") {
		t.Errorf("Go source that does not parse: got %v", err)
	}
}
