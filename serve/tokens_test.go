package serve

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/golden"
)

// fixedTokens never change; without any there are none.
func fixedTokens(list ...Token) *Tokens {
	if len(list) == 0 {
		return nil
	}
	t := &Tokens{}
	t.mu.list = list
	return t
}

// turned is a clock that a test turns on.
type turned struct{ seconds atomic.Int64 }

func (c *turned) Now() time.Time                         { return nine.Add(time.Duration(c.seconds.Load()) * time.Second) }
func (c *turned) After(d time.Duration) <-chan time.Time { return time.After(d) }

// tokenTest is a file of tokens and who reads it.
type tokenTest struct {
	*Tokens
	t     *testing.T
	path  string
	clock *turned
	log   bytes.Buffer
}

func newTokenTest(t *testing.T, secrets ...string) *tokenTest {
	t.Helper()
	x := &tokenTest{t: t, path: filepath.Join(t.TempDir(), "tokens.yaml"), clock: &turned{}}
	x.write(secrets...)
	var err error
	if x.Tokens, err = OpenTokens(x.path, x.clock, slog.New(slog.NewTextHandler(&x.log, nil))); err != nil {
		t.Fatal(err)
	}
	return x
}

// write replaces the file: a token with the role read for each secret, which is its name too.
func (x *tokenTest) write(secrets ...string) {
	x.t.Helper()
	var text []byte
	for _, s := range secrets {
		var err error
		if text, err = AddToken(text, token(x.t, s, s, RoleRead)); err != nil {
			x.t.Fatal(err)
		}
	}
	x.put(string(text))
}

func (x *tokenTest) put(text string) {
	x.t.Helper()
	err := os.WriteFile(x.path+".new", []byte(text), 0o600)
	if err = errors.Join(err, os.Rename(x.path+".new", x.path)); err != nil {
		x.t.Fatal(err)
	}
}

// known are those of the secrets that are let in.
func (x *tokenTest) known(secrets ...string) (some []string) {
	for _, s := range secrets {
		if who, ok := x.knows(s); ok && who.name == s {
			some = append(some, s)
		}
	}
	return some
}

// TestTokensFollowTheirFile: a change counts when the file is looked at again; what cannot be read changes nothing, and is told once.
func TestTokensFollowTheirFile(t *testing.T) {
	x := newTokenTest(t, "ada")
	for _, step := range []struct {
		about  string
		change func()
		after  int64 // seconds
		want   string
	}{
		{"as it was", func() {}, 0, "[ada]"},
		{"changed, not looked at yet", func() { x.write("ada", "bob") }, 1, "[ada]"},
		{"looked at", func() {}, 1, "[ada bob]"},
		{"removed", func() { x.write("bob") }, 2, "[bob]"},
		{"half written", func() { x.put("tokens: [{name: ada, sha") }, 2, "[bob]"},
		{"still half written", func() {}, 2, "[bob]"},
		{"without any token", func() { x.put("tokens: []") }, 2, "[bob]"},
		{"away", func() { _ = os.Remove(x.path) }, 2, "[bob]"},
		{"still away", func() {}, 2, "[bob]"},
		{"back", func() { x.write("ada") }, 2, "[ada]"},
	} {
		step.change()
		x.clock.seconds.Add(step.after)
		if got := fmt.Sprint(x.known("ada", "bob", "", "eve")); got != step.want {
			t.Errorf("%s: %s are let in, want %s", step.about, got, step.want)
		}
	}
	if n := strings.Count(x.log.String(), "the tokens that were known stay"); n != 3 {
		t.Errorf("%d warnings, want 3: %s", n, x.log.String())
	}
	if _, err := OpenTokens(filepath.Join(t.TempDir(), "none.yaml"), x.clock, slog.New(slog.DiscardHandler)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestConnectionEndsWithItsToken: a WebSocket whose token is removed is sent away.
func TestConnectionEndsWithItsToken(t *testing.T) {
	x := newTokenTest(t, "ada", "bob")
	w, _ := present(t)
	s := w.listenAndServe(t, func(c *Config) { c.Tokens, c.Limits.Ping = x.Tokens, 10*time.Millisecond })
	connect := func(secret string) *socket {
		t.Helper()
		c, status, err := s.dial(t, http.Header{"Authorization": {"Bearer " + secret}})
		if err != nil {
			t.Fatalf("%d %v", status, err)
		}
		if m := c.next(); m.Type != "hello" {
			t.Fatalf("the first message is %+v", m)
		}
		return c
	}
	ada, bob := connect("ada"), connect("bob")
	x.write("bob")
	x.clock.seconds.Add(2)
	if m := ada.next(); m.Type != "bye" || !strings.Contains(m.Reason, "token") {
		t.Errorf("%+v", m)
	}
	bob.subscribe("a", "/pipelines")
	if m := bob.next(); m.Type != "snapshot" {
		t.Errorf("%+v", m)
	}
}

// TestTokenFileIsEdited shows what a change does to a file that somebody has written.
func TestTokenFileIsEdited(t *testing.T) {
	golden.Run(t, "testdata/tokenfile.txt", func(t *testing.T, c golden.Case) string {
		t.Helper()
		var text []byte
		var err error
		switch c.Command {
		case "add":
			text, err = AddToken([]byte(c.Input), token(t, c.Args[0], c.Args[0], RoleRead, RoleAck))
		case "remove":
			text, err = RemoveToken([]byte(c.Input), c.Args[0])
		}
		if err != nil {
			return err.Error()
		}
		return string(text)
	})
}

// TestTokenFileProperties: after any changes the file holds exactly the tokens that it should, and each secret is that of its
// name.
func TestTokenFileProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := []byte(rapid.SampledFrom([]string{"", "\n", "# people\n"}).Draw(rt, "file"))
		if len(text) > 1 {
			text = append(text, "tokens: # all\n- name: old\n  # of a laptop\n  sha256: "+strings.Repeat("ab", 32)+"\n  roles: [read]\n"...)
		}
		var names []string
		if len(text) > 1 {
			names = append(names, "old")
		}
		secrets := map[string]string{}
		for range rapid.IntRange(1, 8).Draw(rt, "changes") {
			var err error
			if len(names) > 1 && rapid.Bool().Draw(rt, "remove") {
				i := rapid.IntRange(0, len(names)-1).Draw(rt, "which")
				text, err = RemoveToken(text, names[i])
				names = slices.Delete(names, i, i+1)
			} else {
				added, secret := NewToken(fmt.Sprintf("%s%d", rapid.SampledFrom([]string{"ada", "1", "true", "ci-", "ö@x."}).Draw(rt, "name"), len(secrets)), RoleWrite)
				secrets[added.Name] = secret
				names = append(names, added.Name)
				text, err = AddToken(text, added)
			}
			if err != nil {
				rt.Fatalf("%v: %s", err, text)
			}
		}
		list, err := ParseTokens(text)
		if err != nil {
			rt.Fatal(err)
		}
		var got []string
		known := fixedTokens(list...)
		for i := range list {
			got = append(got, list[i].Name)
			if who, ok := known.knows(secrets[list[i].Name]); list[i].Name != "old" && (!ok || who.name != list[i].Name) {
				rt.Fatalf("%s is not let in", list[i].Name)
			}
		}
		if !slices.Equal(got, names) {
			rt.Fatalf("%v, want %v: %s", got, names, text)
		}
	})
}
