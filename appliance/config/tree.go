package config

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// library is what is used of a YAML library. Both functions may panic.
type library struct {
	tokens func(text string) token.Tokens
	parse  func(token.Tokens) (*ast.File, error)
}

var goccy = library{
	tokens: lexer.Tokenize,
	parse: func(tokens token.Tokens) (*ast.File, error) {
		return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	},
}

// tree parses text into the library's tree; nil with a fault in log where it
// cannot.
func tree(log *faultLog, lib library, text string) ast.Node {
	body, err := lib.read(log, text)
	var syntax syntaxError
	switch {
	case len(log.faults) > 0:
		return nil
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		at := syntax.GetToken().Position
		log.add(at.Line, at.Column, "not valid YAML: %s%s", syntax.GetMessage(), hint(text, at))
	case err != nil:
		log.add(lib.crashLine(text), 1, "not valid YAML: cannot be read from here on (%v)", err)
	case body == nil:
		log.add(1, 1, "file holds no configuration")
	}
	return body
}

// syntaxError is what the library's own errors have in common.
type syntaxError interface {
	error
	GetToken() *token.Token
	GetMessage() string
}

// read is the body of the one document in text, nil where there is none. What
// guard refuses goes to log.
//
// This is the one place in the package that recovers: the library indexes and
// dereferences tokens that it has not looked for first, and a slip in a file
// must not end a process that is carrying traffic.
func (lib library) read(log *faultLog, text string) (body ast.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			body, err = nil, fmt.Errorf("YAML library: %v", r)
		}
	}()
	tokens := joinColons(lib.tokens(text))
	if !guard(log, tokens) {
		return nil, nil
	}
	file, err := lib.parse(tokens)
	if err != nil {
		return nil, err
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			return doc.Body, nil
		}
	}
	return nil, nil
}

// crashLine is the line that brings the library to a panic: the last of the
// shortest beginning of text that does.
func (lib library) crashLine(text string) int {
	lines := strings.SplitAfter(text, "\n")
	return 1 + sort.Search(len(lines)-1, func(i int) bool {
		_, err := lib.read(&faultLog{}, strings.Join(lines[:i+1], ""))
		var syntax syntaxError
		return err != nil && !errors.As(err, &syntax)
	})
}

// hint explains the slip that an address in brackets invites.
func hint(text string, at *token.Position) string {
	lines := strings.SplitN(text, "\n", at.Line+1)
	if at.Line <= len(lines) && strings.Contains(lines[at.Line-1], "]:") {
		return `; quote an IPv6 address with a port: "[2001:db8::1]:80"`
	}
	return ""
}
