package serve

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/tidewatch/tidewatch/stream"
)

// Token is what somebody shows to be let in. Only its hash is kept. Tokens are long and random (tidewatch token add makes
// them), so a plain hash is enough: there is nothing to guess.
type Token struct {
	Name   string `yaml:"name"`
	SHA256 string `yaml:"sha256"` // hex, of the token: printf %s TOKEN | sha256sum
	Roles  []Role `yaml:"roles"`

	sum [sha256.Size]byte
}

// tokenFile is the form of http.tokens.
type tokenFile struct {
	Tokens []Token `yaml:"tokens"`
}

// LoadTokens reads the file of http.tokens. Every mistake is named; hashes are not repeated.
func LoadTokens(name string) ([]Token, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read http.tokens: %w", err)
	}
	tokens, err := ParseTokens(data)
	if err != nil {
		return nil, fmt.Errorf("read http.tokens %s: %w", name, err)
	}
	return tokens, nil
}

// ParseTokens reads the text of a file of tokens.
func ParseTokens(data []byte) ([]Token, error) {
	var f tokenFile
	if err := yaml.UnmarshalWithOptions(data, &f, yaml.Strict()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	if len(f.Tokens) == 0 {
		return nil, errors.New("there is no token: make one with tidewatch token add, or write tokens: [{name: ada, sha256: HEX, roles: [read, ack]}]")
	}
	var errs []error
	seen := map[string]bool{}
	for i := range f.Tokens {
		t := &f.Tokens[i]
		errs = append(errs, t.check())
		if seen[t.Name] {
			errs = append(errs, fmt.Errorf("two tokens are called %q", t.Name))
		}
		seen[t.Name] = true
	}
	return f.Tokens, errors.Join(errs...)
}

func (t *Token) check() error {
	if t.Name == "" {
		return errors.New("a token has no name")
	}
	sum, err := hex.DecodeString(t.SHA256)
	if err != nil || len(sum) != sha256.Size {
		return fmt.Errorf("token %s: sha256 is not 64 hex digits: printf %%s TOKEN | sha256sum", t.Name)
	}
	copy(t.sum[:], sum)
	if len(t.Roles) == 0 {
		return fmt.Errorf("token %s: it has no roles; there are %v", t.Name, Roles())
	}
	for _, r := range t.Roles {
		if !slices.Contains(Roles(), r) {
			return fmt.Errorf("token %s: there is no role %q; there are %v", t.Name, r, Roles())
		}
	}
	return nil
}

// NewToken makes a token, and the secret that is to be shown; nobody can find that again.
func NewToken(name string, roles ...Role) (t Token, secret string) {
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // it never fails
	secret = hex.EncodeToString(random)
	t = Token{Name: name, Roles: roles, sum: sha256.Sum256([]byte(secret))}
	t.SHA256 = hex.EncodeToString(t.sum[:])
	return t, secret
}

// secretBytes is more than anybody can try.
const secretBytes = 32

// TokensEvery is how soon a running server sees that the file of its tokens was changed.
const TokensEvery = 2 * time.Second

// Tokens are those of a file as it is now: whoever adds or removes one needs no restart. Any goroutine may ask. nil has none.
type Tokens struct {
	file  string // "" if they never change
	clock stream.Clock
	log   *slog.Logger

	mu struct {
		sync.Mutex
		list   []Token
		looked time.Time   // when the file was last looked at
		info   os.FileInfo // of the file that was read last; nil where it was away
	}
}

// OpenTokens reads the file of http.tokens.
func OpenTokens(file string, clock stream.Clock, log *slog.Logger) (*Tokens, error) {
	t := &Tokens{file: file, clock: clock, log: log}
	info, err := os.Stat(file) // before it is read: a change between the two is seen later
	if err != nil {
		return nil, fmt.Errorf("read http.tokens: %w", err)
	}
	if t.mu.list, err = LoadTokens(file); err != nil {
		return nil, err
	}
	t.mu.looked, t.mu.info = clock.Now(), info
	return t, nil
}

// now are the tokens. A file that is away or has mistakes changes nothing: it may be half written, and nobody may be let in or
// locked out by that.
func (t *Tokens) now() []Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == "" || t.clock.Now().Sub(t.mu.looked) < TokensEvery {
		return t.mu.list
	}
	t.mu.looked = t.clock.Now()
	info, err := os.Stat(t.file)
	if same(t.mu.info, info) {
		return t.mu.list
	}
	t.mu.info = info
	var list []Token
	if err == nil {
		list, err = LoadTokens(t.file)
	}
	if err != nil {
		t.log.Warn("the file of tokens cannot be read; the tokens that were known stay", "error", err)
		return t.mu.list
	}
	t.mu.list = list
	t.log.Info("the file of tokens has changed", "file", t.file, "tokens", len(list))
	return list
}

// same tells whether a file is what it was; nil stands for none.
func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// caller is who asks.
type caller struct {
	name  string
	roles []Role
}

// may reports whether the caller has the role. Admin has all, and whoever acknowledges may read.
func (c *caller) may(r Role) bool {
	return r == RoleNone || slices.Contains(c.roles, r) || slices.Contains(c.roles, RoleAdmin) || r == RoleRead && slices.Contains(c.roles, RoleAck)
}

// knows finds the token. It compares with all of them, in a time that does not tell how much is right.
func (t *Tokens) knows(shown string) (caller, bool) {
	if t == nil {
		return caller{}, false
	}
	tokens := t.now()
	sum := sha256.Sum256([]byte(shown))
	found := -1
	for i := range tokens {
		if subtle.ConstantTimeCompare(tokens[i].sum[:], sum[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return caller{}, false
	}
	return caller{tokens[found].Name, tokens[found].Roles}, true
}
