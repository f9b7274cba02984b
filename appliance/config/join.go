package config

import (
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// joinColons puts together again what the YAML library takes apart: inside
// braces it ends a word at every colon, so that {reals: [10.0.0.11:80]} would
// hold a key 10.0.0.11. By YAML 1.2 (section 7.3.3) a colon inside a plain word
// ends it only where a space, a bracket or the end of the line follows.
func joinColons(tokens token.Tokens) token.Tokens {
	var out token.Tokens
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		if t.Type != token.MappingValueType || i+1 == len(tokens) || !touches(t, tokens[i+1]) || !plain(tokens[i+1]) {
			out.Add(t)
			continue
		}
		text, at := t.Value, t.Position
		if n := len(out); n > 0 && plain(out[n-1]) && touches(out[n-1], t) {
			text, at = out[n-1].Value+text, out[n-1].Position
			out = out[:n-1]
		} else if n > 0 && out[n-1].Indicator == token.QuotedScalarIndicator {
			out.Add(t) // {"key":word} is JSON
			continue
		}
		i++
		text += tokens[i].Value
		out.Add(token.New(text, text, at))
	}
	return out
}

// plain reports whether t is a word without quotes.
func plain(t *token.Token) bool {
	switch t.Type {
	case token.StringType, token.IntegerType, token.OctetIntegerType, token.HexIntegerType, token.BinaryIntegerType,
		token.FloatType, token.BoolType, token.NullType:
		return true
	}
	return false
}

// touches reports whether b begins where a ends.
func touches(a, b *token.Token) bool {
	return a.Position.Line == b.Position.Line &&
		a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}
