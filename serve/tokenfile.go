package serve

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// AddToken writes a token into the text of a file of tokens, which may be empty. Comments and the other tokens stay as they are.
func AddToken(file []byte, t Token) ([]byte, error) {
	roles := make([]string, len(t.Roles))
	for i, r := range t.Roles {
		roles[i] = string(r)
	}
	item := fmt.Sprintf("  - {name: %q, sha256: %s, roles: [%s]}\n", t.Name, t.SHA256, strings.Join(roles, ", "))
	if len(bytes.TrimSpace(file)) == 0 {
		return checked([]byte("# Only hashes of tokens are kept; see tidewatch token --help.\ntokens:\n"+item), []Token{t})
	}
	before, err := ParseTokens(file)
	if err != nil {
		return nil, err
	}
	doc, list, err := tokenList(file)
	if err != nil {
		return nil, err
	}
	one, err := parser.ParseBytes([]byte(item), 0)
	if err != nil {
		return nil, fmt.Errorf("write token %s: %w", t.Name, err)
	}
	list.Merge(one.Docs[0].Body.(*ast.SequenceNode)) //nolint:forcetypeassert // item is one
	return checked([]byte(doc.String()), append(before, t))
}

// RemoveToken takes the token of that name, which is there, out of the text of a file of tokens.
func RemoveToken(file []byte, name string) ([]byte, error) {
	before, err := ParseTokens(file)
	if err != nil {
		return nil, err
	}
	doc, list, err := tokenList(file)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(before, func(t Token) bool { return t.Name == name })
	list.Values = slices.Delete(list.Values, i, i+1)
	list.Entries = slices.Delete(list.Entries, i, i+1)
	if len(list.ValueHeadComments) > i {
		list.ValueHeadComments = slices.Delete(list.ValueHeadComments, i, i+1)
	}
	return checked([]byte(doc.String()), slices.Delete(slices.Clone(before), i, i+1))
}

// tokenList finds the list in the text.
func tokenList(file []byte) (*ast.File, *ast.SequenceNode, error) {
	doc, err := parser.ParseBytes(file, parser.ParseComments)
	if err != nil {
		return nil, nil, errors.New(yaml.FormatError(err, false, false))
	}
	path, err := yaml.PathString("$.tokens")
	if err != nil {
		return nil, nil, err
	}
	node, err := path.FilterFile(doc)
	if err != nil {
		return nil, nil, err
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		return nil, nil, errors.New("its tokens are written in a form that programs do not change: edit it by hand")
	}
	return doc, list, nil
}

// checked refuses a text that does not say what it should: then it is better edited by hand.
func checked(file []byte, want []Token) ([]byte, error) {
	if len(file) > 0 && file[len(file)-1] != '\n' {
		file = append(file, '\n')
	}
	got, err := ParseTokens(file)
	if err != nil {
		return nil, err
	}
	for i := range want {
		if err := want[i].check(); err != nil {
			return nil, err
		}
	}
	if !reflect.DeepEqual(got, want) {
		return nil, errors.New("it is written in a form that programs do not change: edit it by hand")
	}
	return file, nil
}
