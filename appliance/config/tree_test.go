package config

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// A panic of the YAML library, in either of its halves, is a fault at the line
// that brings it about.
func TestPanicOfTheLibraryIsAFault(t *testing.T) {
	const text = "topology: host\nports: []\nservices: []\nlog: {level: info}\n"
	touchy := func(s string) {
		if strings.Contains(s, "services") {
			panic("index out of range")
		}
	}
	for what, lib := range map[string]library{
		"in the scanner": {
			tokens: func(text string) token.Tokens { touchy(text); return goccy.tokens(text) },
			parse:  goccy.parse,
		},
		"in the parser": {
			tokens: goccy.tokens,
			parse: func(tokens token.Tokens) (*ast.File, error) {
				for _, tok := range tokens {
					touchy(tok.Value)
				}
				return goccy.parse(tokens)
			},
		},
	} {
		t.Run(what, func(t *testing.T) {
			log := &faultLog{file: "weir.yaml"}
			if body := tree(log, lib, text); body != nil {
				t.Errorf("got a tree: %v", body)
			}
			want := "weir.yaml:3:1: not valid YAML: cannot be read from here on (YAML library: index out of range)"
			if err := log.err(); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}
