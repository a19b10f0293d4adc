package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

const (
	attributesColumn = "attributes"
	attributePrefix  = attributesColumn + "."
)

// attributes takes single attributes out of the column of all attributes. Each distinct object of a row group is read once.
type attributes struct {
	names   [][]byte
	columns []int // of the batch, parallel to names
	objects columnfile.Texts
	// By number of the object, for each name in turn: 1 + number of the text in the wanted column's dictionary, 0 for null.
	texts []uint32
}

func newAttributes(s *stream.Schema) *attributes {
	a := &attributes{}
	for i, f := range s.Fields {
		if name, ok := strings.CutPrefix(f.Name, attributePrefix); ok && f.Kind == stream.String {
			a.names, a.columns = append(a.names, []byte(name)), append(a.columns, i)
		}
	}
	return a
}

// has reports whether column i of the batch is an attribute.
func (a *attributes) has(i int) bool { return slices.Contains(a.columns, i) }

// fill puts the wanted attributes of a row group at their places.
func (a *attributes) fill(of *assembly, g *group) error {
	if len(a.names) == 0 {
		return nil
	}
	if err := of.reader.ReadTexts(g.file, g.number, attributesColumn, &a.objects); err != nil {
		return err
	}
	if err := a.read(of.batch); err != nil {
		return err
	}
	for k, c := range a.columns {
		dst := &of.batch.Cols[c]
		if g.file.Schema().Index(of.batch.Schema.Fields[c].Name) >= 0 {
			continue // another tool has made a column of it
		}
		for i, p := range g.places {
			if p < 0 {
				continue
			}
			text := uint32(0)
			if len(a.objects.Null) == 0 || !a.objects.Null[i] {
				text = a.texts[int(a.objects.Numbers[i])*len(a.names)+k]
			}
			if text == 0 {
				dst.IDs[p], nulls(dst)[p] = dst.Dict.ID(nil), true
				continue
			}
			dst.IDs[p] = text - 1
		}
	}
	return nil
}

// read looks the names up in every object.
func (a *attributes) read(b *stream.Batch) error {
	a.texts = append(a.texts[:0], make([]uint32, a.objects.Len()*len(a.names))...)
	for id := range a.objects.Len() {
		texts := a.texts[id*len(a.names) : (id+1)*len(a.names)]
		err := members(a.objects.Text(id), func(key, value []byte) error {
			for k, name := range a.names {
				if !bytes.Equal(key, name) {
					continue
				}
				text, err := textOf(value)
				if err != nil {
					return err
				}
				if text != nil {
					texts[k] = b.Cols[a.columns[k]].Dict.ID(text) + 1
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read attributes: %w", err)
		}
	}
	return nil
}

// textOf is a value as a column of its own shows it: what a string says, and others as they are written. null has none.
func textOf(value []byte) ([]byte, error) {
	switch {
	case value[0] == '"':
		return unquote(value)
	case string(value) == "null":
		return nil, nil
	}
	return value, nil
}

// unquote is never nil for a string.
func unquote(quoted []byte) ([]byte, error) {
	plain := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(plain, '\\') < 0 {
		return plain, nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil, err
	}
	return []byte(s), nil
}

var errObject = errors.New("it is no JSON object in one line")

// members calls visit for each member of an object that is written without space between the tokens, as decoders write it.
func members(object []byte, visit func(key, value []byte) error) error {
	if len(object) < 2 || object[0] != '{' || object[len(object)-1] != '}' {
		return errObject
	}
	for rest := object[1 : len(object)-1]; len(rest) > 0; {
		end := stringEnd(rest)
		if end < 0 || end >= len(rest) || rest[end] != ':' {
			return errObject
		}
		key, err := unquote(rest[:end])
		if err != nil {
			return err
		}
		rest = rest[end+1:]
		if end = valueEnd(rest); end <= 0 {
			return errObject
		}
		if err := visit(key, rest[:end]); err != nil {
			return err
		}
		if rest = rest[end:]; len(rest) > 0 {
			if rest = rest[1:]; len(rest) == 0 {
				return errObject // a comma at the end
			}
		}
	}
	return nil
}

// stringEnd is the index behind the string that text begins with, -1 if there is none.
func stringEnd(text []byte) int {
	if len(text) == 0 || text[0] != '"' {
		return -1
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// valueEnd is the index of the comma behind the value that text begins with, or the end of text; -1 if it does not end.
func valueEnd(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end := stringEnd(text[i:])
			if end < 0 {
				return -1
			}
			i += end - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	if depth != 0 {
		return -1
	}
	return len(text)
}
