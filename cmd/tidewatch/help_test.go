package main

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func everyCommand(root *cobra.Command) (all []*cobra.Command) {
	all = append(all, root)
	for _, c := range root.Commands() {
		all = append(all, everyCommand(c)...)
	}
	return all
}

func newRoot() *cobra.Command {
	root := (&app{out: io.Discard, errs: io.Discard}).root()
	root.InitDefaultHelpCmd()
	return root
}

// TestEveryCommandIsExplained demands of each command a sentence, an explanation and an example, and of each flag a usage.
func TestEveryCommandIsExplained(t *testing.T) {
	all := everyCommand(newRoot())
	if len(all) < 30 {
		t.Fatalf("only %d commands are found", len(all))
	}
	for _, c := range all {
		path := c.CommandPath()
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: Short is %q: a phrase without a full stop is wanted", path, c.Short)
		}
		if c.Long == "" || c.Long == c.Short {
			t.Errorf("%s has no Long", path)
		}
		if !strings.Contains(c.Example, "tidewatch") {
			t.Errorf("%s has no Example", path)
		}
		for line := range strings.SplitSeq(c.Long, "\n") {
			if len([]rune(line)) > 130 {
				t.Errorf("%s: a line of Long has %d characters: %s", path, len([]rune(line)), line)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: the flag --%s is not explained", path, f.Name)
			}
		})
	}
}

// words splits a line of an example as a shell does, as far as examples go: quotes, and no pipes, redirections and comments.
func words(line string) (all []string) {
	line = regexp.MustCompile(`\s+#.*$|\s*[|>].*$|\s*&&.*$`).ReplaceAllString(line, "")
	for _, m := range regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`).FindAllString(line, -1) {
		if m[0] == '"' || m[0] == '\'' {
			m = m[1 : len(m)-1]
		}
		all = append(all, m)
	}
	return all
}

// TestExamplesAreRight parses every example: its command exists, its flags exist and take such values, its arguments pass.
func TestExamplesAreRight(t *testing.T) {
	tested := 0
	for _, c := range everyCommand(newRoot()) {
		own := false
		for line := range strings.SplitSeq(c.Example, "\n") {
			_, text, ok := strings.Cut(line, "tidewatch ")
			if !ok {
				t.Errorf("%s: %q is no example of tidewatch", c.CommandPath(), line)
				continue
			}
			root := newRoot()
			found, args, err := root.Find(words(strings.TrimSuffix(text, ")")))
			if err == nil {
				err = found.ParseFlags(args)
			}
			if err == nil && found.Args != nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err == nil {
				err = found.ValidateFlagGroups()
			}
			if err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
				continue
			}
			own = own || found.CommandPath() == c.CommandPath() || strings.HasPrefix(found.CommandPath(), c.CommandPath()+" ")
			tested++
		}
		if !own {
			t.Errorf("%s: none of its examples is about it", c.CommandPath())
		}
	}
	if tested < 40 {
		t.Errorf("only %d examples were tested", tested)
	}
}
