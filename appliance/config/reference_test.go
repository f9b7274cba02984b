package config

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

func TestReferenceIsValid(t *testing.T) {
	c, err := Parse("reference.yaml", Reference)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Ports) != 2 || len(c.Services) != 6 {
		t.Errorf("got %d ports and %d services of the file's 2 and 6", len(c.Ports), len(c.Services))
	}
}

func TestReferenceShowsTheTrueDefaults(t *testing.T) {
	shown, err := Parse("reference.yaml", Reference)
	if err != nil {
		t.Fatal(err)
	}
	bare := mustParse(t, minimal)
	if shown.Timeouts != bare.Timeouts {
		t.Errorf("timeouts: the reference shows %+v, the default is %+v", shown.Timeouts, bare.Timeouts)
	}
	if shown.Limits != bare.Limits || shown.Log != bare.Log || shown.Host != bare.Host {
		t.Errorf("the reference shows %+v %+v %+v, the defaults are %+v %+v %+v",
			shown.Limits, shown.Log, shown.Host, bare.Limits, bare.Log, bare.Host)
	}
}

// everything is the reference with the keys that are not built yet.
func everything() string {
	return regexp.MustCompile(`(?m)^( *)#([^ \n])`).ReplaceAllString(string(Reference), "$1$2")
}

func TestReferenceIsValidWithAllThatIsToCome(t *testing.T) {
	text := everything()
	// A file has one topology: the reference's port for another one is the one
	// thing that does not fit.
	want := "ports[2].tun: topology routed needs a tap: frames with MAC addresses cross it"
	_, err := parseWith("reference.yaml", []byte(text), nil)
	faults, _ := err.(Faults)
	if len(faults) != 1 || faults[0].Message != want {
		t.Fatalf("got\n%v\nwant only\n%s", err, want)
	}
}

func TestReferenceHasEveryKey(t *testing.T) {
	file, err := parser.ParseBytes([]byte(everything()), 0)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string][]string{}
	collect(shown, "", file.Docs[0].Body)
	for pattern, keys := range grammar {
		for _, key := range keys {
			if !slices.Contains(shown[pattern], key) {
				t.Errorf("reference.yaml does not document %s", strings.TrimPrefix(pattern+"."+key, "."))
			}
		}
	}
}

// collect notes the keys of every mapping below n.
func collect(shown map[string][]string, pattern string, n ast.Node) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, pair := range n.Values {
			key := pair.Key.GetToken().Value
			shown[pattern] = append(shown[pattern], key)
			collect(shown, strings.TrimPrefix(pattern+"."+key, "."), pair.Value)
		}
	case *ast.SequenceNode:
		for _, item := range n.Values {
			collect(shown, pattern+"[]", item)
		}
	}
}
