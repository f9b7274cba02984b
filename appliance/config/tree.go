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

// tree parses text into the YAML library's tree; nil with a fault in log where
// it cannot.
func tree(log *faultLog, text string) ast.Node {
	tokens, crash := tokenize(text)
	if crash != nil {
		crashed(log, text, crash)
		return nil
	}
	if !guard(log, tokens) {
		return nil
	}
	body, err := parse(tokens)
	var syntax syntaxError
	switch {
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		at := syntax.GetToken().Position
		log.add(at.Line, at.Column, "not valid YAML: %s%s", syntax.GetMessage(), hint(text, at))
	case err != nil:
		crashed(log, text, err)
	case body == nil:
		log.add(1, 1, "file holds no configuration")
	}
	return body
}

// syntaxError is what the library's errors have in common.
type syntaxError interface {
	error
	GetToken() *token.Token
	GetMessage() string
}

// parse returns the one document's body, nil where there is none. The tokens
// have passed guard.
func parse(tokens token.Tokens) (body ast.Node, err error) {
	defer recovered(&err)
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
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

func tokenize(text string) (tokens token.Tokens, err error) {
	defer recovered(&err)
	return joinColons(lexer.Tokenize(text)), nil
}

// recovered turns a panic of the YAML library into an error. It is the one
// place in the package that recovers: the library indexes and dereferences
// tokens that it has not looked for first, and a slip in a file must not end a
// process that is carrying traffic.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("YAML library: %v", r)
	}
}

// crashed reports an input that the library gave up on without saying where:
// the line is the first that brings it to that when the file ends there.
func crashed(log *faultLog, text string, err error) {
	lines := strings.SplitAfter(text, "\n")
	n := sort.Search(len(lines)-1, func(i int) bool {
		tokens, e := tokenize(strings.Join(lines[:i+1], ""))
		if e != nil {
			return true
		}
		if !guard(&faultLog{}, tokens) {
			return false
		}
		_, e = parse(tokens)
		var syntax syntaxError
		return e != nil && !errors.As(e, &syntax)
	})
	log.add(n+1, 1, "not valid YAML: cannot be read from here on (%v)", err)
}

// hint explains the slip that an address in brackets invites.
func hint(text string, at *token.Position) string {
	lines := strings.SplitN(text, "\n", at.Line+1)
	if at.Line > len(lines) {
		return ""
	}
	if strings.Contains(lines[at.Line-1], "]:") {
		return `; quote an IPv6 address with a port: "[2001:db8::1]:80"`
	}
	return ""
}
