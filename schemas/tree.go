package schemas

import "strings"

// branch is a node in the making: a name in a record and what is wanted below it.
type branch struct {
	name  string
	below []*branch
	first bool // the names below are those of the first element of an array
	known bool
	place int // set by grow
}

// at returns the branch of a path such as "userIdentity.arn" or "resources[].ARN", and makes it if there is none.
func (br *branch) at(path string) *branch {
	name, rest, deeper := strings.Cut(path, ".")
	name, first := strings.CutSuffix(name, "[]")
	var found *branch
	for _, b := range br.below {
		if b.name == name {
			found = b
		}
	}
	if found == nil {
		found = &branch{name: name}
		br.below = append(br.below, found)
	}
	if deeper {
		found.first = found.first || first
		return found.at(rest)
	}
	return found
}

// grow gives every branch a place, from *places on, and makes the node.
func (br *branch) grow(places *int) *node {
	n := &node{lo: *places}
	var names []string
	for _, b := range br.below {
		b.place = *places
		*places++
		t := target{place: b.place, first: b.first, known: b.known}
		if len(b.below) > 0 {
			t.child = b.grow(places)
		}
		names = append(names, b.name)
		n.targets = append(n.targets, t)
	}
	n.keys, n.hi = newKeys(names), *places
	return n
}
