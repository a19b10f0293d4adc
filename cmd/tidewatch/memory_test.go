package main

import (
	"errors"
	"testing"
)

// TestMemoryLimit reads what the two versions of cgroups say.
func TestMemoryLimit(t *testing.T) {
	for _, tc := range []struct {
		v2, v1 string // "" is no such file
		want   int64
	}{
		{"1073741824\n", "", 966367638},
		{"max\n", "", 0},
		{"", "2147483648\n", 1932735276},
		{"", "9223372036854771712\n", 0},
		{"", "", 0},
		{"nonsense", "", 0},
	} {
		limit, ok := memoryLimit(func(name string) ([]byte, error) {
			text := map[string]string{memoryFiles[0]: tc.v2, memoryFiles[1]: tc.v1}[name]
			if text == "" {
				return nil, errors.New("no such file")
			}
			return []byte(text), nil
		})
		if limit != tc.want || ok != (tc.want > 0) {
			t.Errorf("%q, %q: %d, %t, want %d", tc.v2, tc.v1, limit, ok, tc.want)
		}
	}
}
