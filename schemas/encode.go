package schemas

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// AppendJSON appends a row of events to dst as the JSON object that NewJSON reads: `time` first, then the columns in
// order, without nulls. Attributes with columns of their own go, as text, into `attributes` unless the column of all
// attributes is there. It is for edges and tests: it allocates a little.
func AppendJSON(dst []byte, b *stream.Batch, row int) []byte {
	dst = append(dst, '{')
	first := len(dst)
	if i := b.Schema.Index(TimeField); i >= 0 {
		dst = appendMember(dst, first, TimeField, &b.Cols[i], row)
	} else if len(b.Time) > 0 {
		dst = appendInstant(append(dst, `"time":`...), b.Time[row])
	}
	for i, f := range b.Schema.Fields {
		if f.Name != TimeField && f.Name != AttributesField && !strings.HasPrefix(f.Name, attributePrefix) {
			dst = appendMember(dst, first, f.Name, &b.Cols[i], row)
		}
	}
	return append(appendAttributes(dst, first, b, row), '}')
}

func appendMember(dst []byte, first int, name string, c *stream.Column, row int) []byte {
	if c.IsNull(row) || c.Kind == stream.Float && (math.IsNaN(c.Floats[row]) || math.IsInf(c.Floats[row], 0)) {
		return dst
	}
	dst = append(appendQuoted(appendComma(dst, first), []byte(name)), ':')
	switch c.Kind {
	case stream.String:
		return appendQuoted(dst, c.Dict.Bytes(c.IDs[row]))
	case stream.Float:
		return appendFloat(dst, c.Floats[row])
	case stream.Bool:
		return strconv.AppendBool(dst, c.Ints[row] != 0)
	case stream.Timestamp:
		return appendInstant(dst, stream.Time(c.Ints[row]))
	case stream.Int:
	}
	return strconv.AppendInt(dst, c.Ints[row], 10)
}

func appendComma(dst []byte, first int) []byte {
	if len(dst) > first {
		return append(dst, ',')
	}
	return dst
}

func appendInstant(dst []byte, t stream.Time) []byte {
	return append(t.Go().AppendFormat(append(dst, '"'), time.RFC3339Nano), '"')
}

// appendFloat writes the shortest digits that read back as v, with an exponent only far from 1.
func appendFloat(dst []byte, v float64) []byte {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

func appendAttributes(dst []byte, first int, b *stream.Batch, row int) []byte {
	if c := b.Col(AttributesField); c != nil {
		if c.IsNull(row) {
			return dst
		}
		dst = append(appendComma(dst, first), `"attributes":`...)
		return append(dst, c.Dict.Bytes(c.IDs[row])...)
	}
	var cols []int
	for i, f := range b.Schema.Fields {
		if strings.HasPrefix(f.Name, attributePrefix) && !b.Cols[i].IsNull(row) {
			cols = append(cols, i)
		}
	}
	if len(cols) == 0 {
		return dst
	}
	slices.SortFunc(cols, func(i, j int) int { return strings.Compare(b.Schema.Fields[i].Name, b.Schema.Fields[j].Name) })
	dst = append(appendComma(dst, first), `"attributes":{`...)
	inner := len(dst)
	for _, i := range cols {
		name := strings.TrimPrefix(b.Schema.Fields[i].Name, attributePrefix)
		dst = appendMember(dst, inner, name, &b.Cols[i], row)
	}
	return append(dst, '}')
}
