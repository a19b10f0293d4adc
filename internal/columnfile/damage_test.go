package columnfile

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// TestNoFlippedBitChangesARow: a file with one flipped bit is refused, or shows another schema, or says the same. What has no
// checksum, the footer and the headers of pages, may change what is said of the file; it must never change a value of a column that
// has kept its kind, or lose or double a row.
func TestNoFlippedBitChangesARow(t *testing.T) {
	table := &Table{Columns: []Column{
		{Name: "n", Required: true, Column: stream.Column{Kind: stream.Int}},
		{Name: "host", Column: stream.Column{Kind: stream.String, Dict: stream.NewDict()}},
		{Name: "value", Column: stream.Column{Kind: stream.Float}},
	}}
	const rows = 12
	var order []uint32
	for i := range rows {
		order = append(order, uint32(i))
		table.Columns[0].AppendInt(int64(1000 + i))
		table.Columns[1].AppendString("host-" + strconv.Itoa(i%5))
		if i%4 == 1 {
			table.Columns[2].AppendNull()
		} else {
			table.Columns[2].AppendFloat(float64(i) / 8)
		}
	}
	w, err := NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	data, err := w.Encode(table, order)
	if err != nil {
		t.Fatal(err)
	}
	want, err := allTexts(data)
	if err != nil || len(want) != 3*rows {
		t.Fatal(len(want), err)
	}
	refused := 0
	for bit := range 8 * len(data) {
		bad := bytes.Clone(data)
		bad[bit/8] ^= 1 << (bit % 8)
		got, err := allTexts(bad)
		switch {
		case err != nil:
			refused++
		case !slices.Equal(got, want):
			t.Errorf("bit %d of byte %d of %d: the file is read as %q", bit%8, bit/8, len(data), got)
		}
	}
	t.Logf("%d of %d bits were refused", refused, 8*len(data))
}

// allTexts reads the three columns.
func allTexts(data []byte) (texts []string, err error) {
	f, err := Open(data)
	if err != nil {
		return nil, err
	}
	kind := map[string]stream.Kind{"n": stream.Int, "host": stream.String, "value": stream.Float}
	for _, name := range []string{"n", "host", "value"} {
		i := f.Schema().Index(name)
		if i < 0 || f.Schema().Fields[i].Kind != kind[name] {
			return nil, fmt.Errorf("column %s is another", name)
		}
		dst := &stream.Column{Kind: f.Schema().Fields[i].Kind, Dict: stream.NewDict()}
		var r Reader
		for g := range f.Groups() {
			if err := r.Read(f, g, name, dst); err != nil {
				return nil, err
			}
		}
		n := len(dst.Ints) + len(dst.Floats) + len(dst.IDs)
		for row := range n {
			texts = append(texts, fmt.Sprint(dst.Value(row)))
		}
	}
	return texts, nil
}
