package config

import "strings"

// advise names the known word that was probably meant, or else all of them.
func advise(got string, known []string) string {
	if w, ok := nearest(got, known); ok {
		return `did you mean "` + w + `"?`
	}
	return "known here: " + strings.Join(known, ", ")
}

// nearest is the known word closest to got, if one is close enough for a slip
// of the fingers (a third of its letters, one at least) or is what got begins
// with.
func nearest(got string, known []string) (string, bool) {
	const longest = 64 // nothing known is near a longer word, and the distance costs its square
	if len(got) > longest {
		return "", false
	}
	got = strings.ToLower(got)
	best, found := 0, ""
	for _, w := range known {
		d := distance(got, w)
		if d > max(1, len(w)/3) && !(len(w) >= 3 && strings.HasPrefix(got, w)) {
			continue
		}
		if found == "" || d < best {
			best, found = d, w
		}
	}
	return found, found != ""
}

// distance is the optimal string alignment distance: insertions, deletions,
// replacements and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
