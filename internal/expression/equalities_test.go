package expression

import (
	"maps"
	"slices"
	"testing"
)

func TestEqualities(t *testing.T) {
	for src, want := range map[string]map[string][]string{
		`name == "a"`:                                  {"name": {"a"}},
		`"a" == name && value > 1`:                     {"name": {"a"}},
		`class == "x" and (user == "y" and mfa)`:       {"class": {"x"}, "user": {"y"}},
		`attributes["region"] == "eu"`:                 {"attributes.region": {"eu"}},
		`name == "a" or name == "b"`:                   {},
		`not (name == "a")`:                            {},
		`name != "a"`:                                  {},
		`value == 1`:                                   {},
		`name in ["a", "b"]`:                           {"name": {"a", "b"}},
		`name in ["a", host]`:                          {},
		`name == host`:                                 {},
		`(name == "a" or value > 1) and host == "web"`: {"host": {"web"}},
		`name ==`:                                      {},
	} {
		if got := Equalities(src); !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: %v, want %v", src, got, want)
		}
	}
}
