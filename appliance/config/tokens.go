package config

import (
	"strings"

	"github.com/goccy/go-yaml/token"
)

// What the tokens of a file may add up to. The library parses by recursion,
// once a level and once a key of a mapping, and a Go stack that overflows
// cannot be recovered; it also copies what it has for every empty value. So
// these bounds are checked before it parses.
const (
	maxDepth  = 32  // the grammar needs 6
	maxKeys   = 256 // of one mapping; the grammar needs 12
	maxKeyLen = 64  // bytes: the library keeps the whole path of every value
	maxEmpty  = 256 // keys and list items without a value
)

// refused are the parts of YAML that a configuration does not need. Each would
// let a file mean something else than it seems to, or cost more than its size.
var refused = map[token.Type]string{
	token.AnchorType:     "anchors (&) are not supported: write the value where it is used",
	token.AliasType:      "aliases (*) are not supported: write the value again, or quote it",
	token.MergeKeyType:   "merge keys (<<) are not supported: write the keys out",
	token.TagType:        "tags (!) are not supported: remove it, or quote the value",
	token.DirectiveType:  "directives (%) are not supported: remove the line",
	token.MappingKeyType: `"? " keys are not supported: write "key: value"`,
	token.LiteralType:    "text blocks (|) are not supported: write the value on one line",
	token.FoldedType:     "text blocks (>) are not supported: write the value on one line",
}

// guard reports whether the library may parse tokens, with a fault for every
// reason why not.
func guard(log *faultLog, tokens token.Tokens) bool {
	before := len(log.faults)
	g := guardian{log: log}
	for i, t := range tokens {
		if t.Type == token.InvalidType {
			g.fault(t, "not valid YAML: %s", t.Error)
			return false
		}
		if t.Type == token.CommentType {
			continue
		}
		g.single(tokens, i)
		if !g.shape(t, next(tokens, i)) {
			return false
		}
		g.last = t
	}
	return len(log.faults) == before
}

// next is the token after i that is no comment, nil at the end.
func next(tokens token.Tokens, i int) *token.Token {
	for _, t := range tokens[i+1:] {
		if t.Type != token.CommentType {
			return t
		}
	}
	return nil
}

// guardian walks the tokens once and keeps what is open around them.
type guardian struct {
	log   *faultLog
	last  *token.Token // the token before, comments apart
	open  []level
	empty int
	head  bool // a directive stands before the document
}

// level is a mapping or list that has begun and not ended.
type level struct {
	flow bool // in brackets or braces; else by indentation
	list bool
	col  int // of the keys or dashes, by indentation only
	keys int
	pair bool // the entry that is being read, in braces, has its colon
}

func (g *guardian) fault(t *token.Token, format string, args ...any) {
	g.log.add(t.Position.Line, t.Position.Column, format, args...)
}

// single checks what a token is, whatever is around it.
func (g *guardian) single(tokens token.Tokens, i int) {
	t := tokens[i]
	if why, ok := refused[t.Type]; ok {
		g.fault(t, "%s", why)
		g.head = g.head || t.Type == token.DirectiveType
		return
	}
	switch t.Type {
	case token.DocumentHeaderType:
		if g.last != nil && !g.head {
			g.fault(t, `second document ("---"): a configuration is one document`)
		}
	case token.DocumentEndType:
		if after := next(tokens, i); after != nil {
			g.fault(after, `text after the end of the document ("...")`)
		}
	case token.StringType, token.SingleQuoteType, token.DoubleQuoteType:
		if strings.Contains(strings.Trim(t.Origin, " \n"), "\n") {
			g.fault(t, `value %s goes on in the next line: it belongs on one line, or a ":" or "-" is missing`, clip(t.Value))
		}
	}
}

// shape keeps the stack of open levels; false once a bound is passed.
func (g *guardian) shape(t, after *token.Token) bool {
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		g.open = append(g.open, level{flow: true, list: t.Type == token.SequenceStartType})
	case token.MappingEndType, token.SequenceEndType, token.CollectEntryType:
		g.entry()
		if t.Type != token.CollectEntryType {
			g.close()
		}
	case token.SequenceEntryType:
		g.dash(t, after)
	case token.MappingValueType:
		if !g.key(t, after) {
			return false
		}
	}
	if len(g.open) > maxDepth {
		g.fault(t, "more than %d levels of nesting", maxDepth)
		return false
	}
	if g.empty > maxEmpty {
		g.fault(t, "more than %d keys and list items without a value", maxEmpty)
		return false
	}
	return true
}

func (g *guardian) top() *level {
	if len(g.open) == 0 {
		return &level{}
	}
	return &g.open[len(g.open)-1]
}

// close ends the innermost bracket or brace; one too many is left to the
// library to complain about.
func (g *guardian) close() {
	if g.top().flow {
		g.open = g.open[:len(g.open)-1]
	}
}

// entry ends an entry in brackets or braces, and counts it if it is a key
// without a value.
func (g *guardian) entry() {
	if g.last == nil {
		return
	}
	l := g.top()
	switch g.last.Type {
	case token.MappingValueType:
		g.empty++
	case token.MappingStartType, token.CollectEntryType:
	default:
		if l.flow && !l.list && !l.pair {
			g.empty++
		}
	}
	l.pair = false
}

// dash opens a list by indentation, or goes on with it.
func (g *guardian) dash(t, after *token.Token) {
	at := t.Position
	g.leave(func(l level) bool { return l.col > at.Column })
	if l := g.top(); !l.flow && !(l.list && l.col == at.Column) {
		g.open = append(g.open, level{list: true, col: at.Column})
	}
	if after == nil || after.Position.Line > at.Line && after.Position.Column <= at.Column {
		g.empty++
	}
}

// key counts a key of the mapping it belongs to; false if that has too many,
// or the key itself is too long.
func (g *guardian) key(colon, after *token.Token) bool {
	key := g.last
	if key == nil {
		return true // the library says it better
	}
	if len(key.Value) > maxKeyLen {
		g.fault(key, "key of more than %d bytes", maxKeyLen)
		return false
	}
	if !g.top().flow {
		g.blockKey(colon.Position.Line, key.Position.Column, after)
	}
	l := g.top()
	l.pair = true
	l.keys++
	if l.keys > maxKeys {
		g.fault(key, "more than %d keys in one mapping", maxKeys)
		return false
	}
	return true
}

// blockKey opens a mapping by indentation, or goes on with it.
func (g *guardian) blockKey(line, col int, after *token.Token) {
	g.leave(func(l level) bool { return l.col > col || l.list && l.col == col })
	if l := g.top(); l.list || l.col != col {
		g.open = append(g.open, level{col: col})
	}
	switch {
	case after == nil:
		g.empty++
	case after.Position.Line == line || after.Position.Column > col:
	case after.Type == token.SequenceEntryType && after.Position.Column == col:
	default:
		g.empty++
	}
}

// leave closes the levels of the indentation that ended.
func (g *guardian) leave(ended func(level) bool) {
	for len(g.open) > 0 && !g.top().flow && ended(*g.top()) {
		g.open = g.open[:len(g.open)-1]
	}
}
