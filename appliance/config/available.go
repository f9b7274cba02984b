package config

import "strings"

// gap is a key, or one word of a key, that the grammar has and this version
// does not build. A file that uses one is refused at the place where it does:
// nothing is ever read and then ignored.
type gap struct {
	pattern string // services[].method
	word    string // "": the key as a whole
}

// notBuilt is what is missing yet. Whoever builds one deletes its row, and
// takes the # from its line in reference.yaml.
var notBuilt = gaps(
	"services[].method: proxy",
	"services[].scheduler: lc wlc sed nq lblc lblcr dh sh fo ovf mh twos first random maglev",
	"services[].affinity",
	"services[].check",
	"services[].cookie",
	"control.http",
	"timeouts.icmp",
)

// gaps reads rows of "pattern" or "pattern: word word".
func gaps(rows ...string) map[gap]bool {
	all := map[gap]bool{}
	for _, row := range rows {
		pattern, words, some := strings.Cut(row, ":")
		if !some {
			all[gap{pattern, ""}] = true
		}
		for _, w := range strings.Fields(words) {
			all[gap{pattern, w}] = true
		}
	}
	return all
}

// available are the words of choices that can be used at p.
func available[T number](d *decoder, p place, choices []choice[T]) []string {
	var words []string
	for _, c := range choices {
		if !d.missing[gap{p.pattern, c.word}] {
			words = append(words, c.word)
		}
	}
	return words
}
