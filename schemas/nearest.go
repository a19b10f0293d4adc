package schemas

import (
	"slices"
	"strings"
)

// Nearest is the name that the writer of a misspelt one most likely meant, or "" if none is close: at most one letter in
// three, and one more, may differ. Of equally near ones the first counts.
func Nearest(name string, among []string) string {
	best, least := "", len(name)/3+2
	for _, candidate := range among {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

func suggest(name string, among []string) string {
	if near := Nearest(name, among); near != "" {
		return "did you mean `" + near + "`?"
	}
	sorted := slices.Clone(among)
	slices.Sort(sorted)
	return "there is " + strings.Join(slices.Compact(sorted), ", ")
}

// distance is the number of insertions, deletions and replacements between a and b (Levenshtein), by rows.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
