package redis

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// KEYS.md names every key that is written, with its type.
func TestKeysAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("KEYS.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := sink(t, c, 0, func(c *SinkConfig) { c.Partitions = 1 })
			write(t, s, rowsOf(1, 1, map[string]int64{"host-1": 1}))
			flush(t, s, 1, at(1))
			settled(t, c, at(1))
			if _, err := c.BeginFill(ctx, []string{"part"}); err != nil {
				t.Fatal(err)
			}
			keys, err := c.rdb.Keys(ctx, "*").Result()
			if err != nil || len(keys) != 6 {
				t.Fatal(keys, err)
			}
			slices.Sort(keys)
			for _, key := range keys {
				kind, err := c.rdb.Type(ctx, key).Result()
				if err != nil {
					t.Fatal(err)
				}
				form := strings.NewReplacer("tidewatch:", "P:", "{host-cpu@1/cpu}", "O").Replace(key)
				form = regexp.MustCompile(`\d{19}`).ReplaceAllString(form, "START")
				if row := "| `" + form + "` | " + kind + " |"; !strings.Contains(string(doc), row) {
					t.Errorf("KEYS.md has no row %q for %s", row, key)
				}
			}
			if channel := "P:O:notices"; !strings.Contains(string(doc), "| `"+channel+"` | channel |") {
				t.Errorf("KEYS.md lacks %s", channel)
			}
		})
	}
}
