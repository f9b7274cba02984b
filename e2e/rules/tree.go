// Package rules holds the repository to the plan of the house: who may import
// whom, and what a folder looks like. Every rule is a row with its reason.
//
// It reads source files and not the build's graph, so that a rule holds for
// every operating system and build tag at once.
package rules

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Tree is the repository as the rules see it.
type Tree struct {
	Module  string   // its path, from go.mod
	Top     []string // names in the root folder
	Files   []*File  // all but what git ignores
	fset    *token.FileSet
	ignored []string // patterns of .gitignore
}

// File is one file of the repository.
type File struct {
	Path    string // from the root, with slashes
	Data    []byte
	Go      *ast.File // nil where it is no Go source
	Imports []Import
}

// Import is one import of a Go file.
type Import struct {
	Path string
	Name string // as the file calls it
	Line int
}

// Dir is the folder of the file: "." for the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

// Test reports whether only tests see the file.
func (f *File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// In reports whether the file lies in one of the folders, or below it.
func (f *File) In(folders ...string) bool {
	for _, d := range folders {
		if f.Dir() == d || strings.HasPrefix(f.Dir(), d+"/") {
			return true
		}
	}
	return false
}

// Load reads the tree below root, which holds go.mod.
func Load(root string) (*Tree, error) {
	t := &Tree{fset: token.NewFileSet()}
	if err := t.module(root); err != nil {
		return nil, err
	}
	if data, err := os.ReadFile(filepath.Join(root, ".gitignore")); err == nil {
		for line := range strings.Lines(string(data)) {
			if p := strings.TrimSpace(line); p != "" && p[0] != '#' {
				t.ignored = append(t.ignored, p)
			}
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !t.ignores(e.Name()) {
			t.Top = append(t.Top, e.Name())
		}
	}
	err = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case e.IsDir() && (rel == ".git" || t.ignores(rel)):
			return fs.SkipDir
		case !e.Type().IsRegular() || rel == ".git" || t.ignores(rel): // in a worktree .git is a file
			return nil
		}
		f, err := t.read(name, rel)
		t.Files = append(t.Files, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tree below %s: %w", root, err)
	}
	return t, nil
}

// ignores reports whether git ignores a file of this path, by the two forms of
// pattern that .gitignore uses: /name in the root, *.ending anywhere.
func (t *Tree) ignores(rel string) bool {
	for _, p := range t.ignored {
		if rooted, ok := strings.CutPrefix(p, "/"); ok && rooted == rel {
			return true
		}
		if ok, _ := path.Match(p, path.Base(rel)); ok {
			return true
		}
	}
	return false
}

func (t *Tree) module(root string) error {
	data, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		if f := strings.Fields(string(line)); len(f) == 2 && f[0] == "module" {
			t.Module = f[1]
			return nil
		}
	}
	return fmt.Errorf("%s/go.mod names no module", root)
}

// read loads one file, and its imports where it is Go source.
func (t *Tree) read(name, rel string) (*File, error) {
	f := &File{Path: rel}
	var err error
	if f.Data, err = os.ReadFile(name); err != nil {
		return f, err
	}
	if !strings.HasSuffix(rel, ".go") || strings.Contains("/"+rel, "/testdata/") {
		return f, nil
	}
	if f.Go, err = parser.ParseFile(t.fset, rel, f.Data, parser.SkipObjectResolution); err != nil {
		return f, err
	}
	for _, spec := range f.Go.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return f, err
		}
		i := Import{Path: p, Name: path.Base(p), Line: t.fset.Position(spec.Pos()).Line}
		if spec.Name != nil {
			i.Name = spec.Name.Name
		}
		f.Imports = append(f.Imports, i)
	}
	return f, nil
}

// local is an import path below the module's own, "" for one of another.
func (t *Tree) local(importPath string) string {
	if importPath == t.Module {
		return "."
	}
	if rest, ok := strings.CutPrefix(importPath, t.Module+"/"); ok {
		return rest
	}
	return ""
}

// std reports whether an import path is the standard library's: its first
// element has no dot.
func (t *Tree) std(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return t.local(importPath) == "" && !strings.Contains(first, ".")
}

// under reports whether p is prefix or lies below it.
func under(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

// uses are the places where the file names something of an imported package.
func (t *Tree) uses(f *File, importPath string, names ...string) []use {
	called := ""
	for _, i := range f.Imports {
		if i.Path == importPath {
			called = i.Name
		}
	}
	if called == "" {
		return nil
	}
	var found []use
	ast.Inspect(f.Go, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == called {
			for _, name := range names {
				if sel.Sel.Name == name {
					found = append(found, use{importPath + "." + name, t.fset.Position(sel.Pos()).Line})
				}
			}
		}
		return true
	})
	return found
}

type use struct {
	what string
	line int
}
