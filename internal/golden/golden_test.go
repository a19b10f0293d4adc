package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `# about upper
upper a b
one
two
----
ONE
TWO

empty
----

blank
x
----
----
X

x
----
----
`

func answer(_ *testing.T, c Case) string {
	switch c.Command {
	case "upper":
		return strings.ToUpper(c.Input)
	case "blank":
		return strings.ToUpper(c.Input) + "\n\n" + c.Input
	}
	return ""
}

func TestRunAcceptsWhatItWrote(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sample.txt")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := 0
	Run(t, path, func(t *testing.T, c Case) string {
		t.Helper()
		cases++
		return answer(t, c)
	})
	if cases != 3 {
		t.Errorf("%d cases, want 3", cases)
	}
	c := parse(sample)[0]
	if c.Line != 2 || strings.Join(c.Args, ",") != "a,b" || c.Input != "one\ntwo" {
		t.Errorf("first case: %+v", c)
	}
}

func TestOutputIsWrittenAsItIsRead(t *testing.T) {
	t.Parallel()
	for _, output := range []string{"", "a", "a\nb", "a\n\nb", "\na"} {
		text := "cmd\n" + block(output)
		if got := parse(text)[0].want; got != output {
			t.Errorf("read %q from %q", got, text)
		}
	}
}
