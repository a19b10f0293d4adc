package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/goccy/go-yaml"
)

// Token is what somebody shows to be let in. Only its hash is kept. Tokens are long and random (openssl rand -hex 32), so
// a plain hash is enough: there is nothing to guess.
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
		return nil, errors.New("there is no token: write tokens: [{name: ada, sha256: HEX, roles: [read, ack]}]")
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
func knows(tokens []Token, shown string) (caller, bool) {
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
