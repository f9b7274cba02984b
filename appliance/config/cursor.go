package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// place is where something is written: for people, and for the tables.
type place struct {
	line, col int
	path      string // services[0].vip; "" for the file
	pattern   string // services[].vip
}

// at is a value and its place. ok is false where the file has no such value or
// a faulty one: a check that needs it keeps silent then, so that one slip is
// one fault.
type at[T any] struct {
	place
	v     T
	ok    bool
	given bool // written in the file, rightly or wrongly
}

// or is the value, or def where there is none.
func (a at[T]) or(def T) T {
	if a.ok {
		return a.v
	}
	return def
}

// decoder walks the tree of one file and collects its faults.
type decoder struct {
	faultLog
	missing map[gap]bool // what this version does not build
}

// fault records what is wrong at p.
func (d *decoder) fault(p place, format string, args ...any) {
	if p.path != "" {
		format = strings.ReplaceAll(p.path, "%", "%%") + ": " + format
	}
	d.add(p.line, p.col, format, args...)
}

// cursor is a place in the tree. Where the file does not have the place, node
// is nil and every reading of it is silently nothing.
type cursor struct {
	place
	d    *decoder
	node ast.Node
}

func (c cursor) written() bool { return c.node != nil }

func (c cursor) fault(format string, args ...any) { c.d.fault(c.place, format, args...) }

// wrong reports a value of another type than the one wanted.
func (c cursor) wrong(want string) {
	c.fault("wants %s, got %s", want, typeName(c.node))
}

// typeName says what a node is, in words of the file's author.
func typeName(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	default:
		return clip(n.GetToken().Value)
	}
}

// object is a mapping whose keys have been checked against the grammar.
type object struct {
	cursor
	values map[string]cursor
	meant  map[string]bool // keys that an unknown key was probably meant to be
}

// object opens the mapping at c. Unknown keys, keys given twice and keys that
// this version does not build become faults here; get finds the others.
func (c cursor) object() object {
	o := object{cursor: c}
	if !c.written() {
		return o
	}
	m, ok := c.node.(*ast.MappingNode)
	if !ok {
		c.wrong("a mapping (key: value)")
		return o
	}
	known := grammar[c.pattern]
	o.values = make(map[string]cursor, len(m.Values))
	o.meant = map[string]bool{}
	for _, pair := range m.Values {
		key := pair.Key.GetToken()
		v := c.child(key, pair.Value)
		first, twice := o.values[key.Value]
		switch {
		case twice:
			c.d.fault(c.on(key), "key %s given twice: first in line %d", clip(key.Value), first.line)
		case !slices.Contains(known, key.Value):
			c.d.fault(c.on(key), "unknown key %s: %s", clip(key.Value), advise(key.Value, known))
			if near, ok := nearest(key.Value, known); ok {
				o.meant[near] = true
			}
		default:
			o.values[key.Value] = v
			if c.d.missing[gap{v.pattern, ""}] {
				c.d.fault(c.on(key).below(key.Value), "not available in this version")
			}
		}
	}
	return o
}

// on is c's place, moved to a token.
func (c cursor) on(t *token.Token) place {
	p := c.place
	p.line, p.col = t.Position.Line, t.Position.Column
	return p
}

// below is the place's name for what key holds.
func (p place) below(key string) place {
	if p.path == "" {
		p.path, p.pattern = key, key
		return p
	}
	p.path, p.pattern = p.path+"."+key, p.pattern+"."+key
	return p
}

// child is the value of a key.
func (c cursor) child(key *token.Token, value ast.Node) cursor {
	p := c.on(first(value)).below(key.Value)
	if value.GetToken().Type == token.ImplicitNullType {
		p.line, p.col = key.Position.Line, key.Position.Column // nothing is written: show the key
	}
	return cursor{p, c.d, value}
}

// first is the token where a value begins: of a mapping by indentation the
// library itself names the first colon.
func first(n ast.Node) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken()
	}
	return n.GetToken()
}

// get is the value of a key that may be left out.
func (o object) get(key string) cursor {
	if v, ok := o.values[key]; ok {
		return v
	}
	return cursor{o.place.below(key), o.d, nil}
}

// need is the value of a key that may not be left out.
func (o object) need(key string) cursor {
	if o.lacks(key) {
		o.fault("missing key %s", clip(key))
	}
	return o.get(key)
}

// lacks reports that each of these keys is missing. A mistyped key is not
// missing too.
func (o object) lacks(keys ...string) bool {
	there := func(key string) bool { return o.get(key).written() || o.meant[key] }
	return o.values != nil && !slices.ContainsFunc(keys, there)
}

// list reads every entry of a list.
func list[T any](c cursor, read func(cursor) T) at[[]T] {
	if !c.written() {
		return unset[[]T](c)
	}
	seq, ok := c.node.(*ast.SequenceNode)
	if !ok {
		c.wrong("a list")
		return unset[[]T](c)
	}
	items := make([]T, 0, len(seq.Values))
	for i, n := range seq.Values {
		if c.d.more {
			break // nobody will see the faults of the rest
		}
		p := c.on(first(n))
		if n.GetToken().Type == token.ImplicitNullType {
			p = c.on(seq.Entries[i].GetToken()) // nothing is written: show the dash
		}
		p.path = fmt.Sprintf("%s[%d]", c.path, i)
		p.pattern = c.pattern + "[]"
		items = append(items, read(cursor{p, c.d, n}))
	}
	return set(c, items)
}
