package columnfile

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// TestMaskWithoutNullsDoesNotMatter: a batch has a mask as soon as one of its rows is null, and that row may end up in another
// file. Where batches end is no property of the log, so the bytes must not tell.
func TestMaskWithoutNullsDoesNotMatter(t *testing.T) {
	for _, distinct := range []int{3, 700} { // with a dictionary, and plain
		encode := func(mask []bool) []byte {
			text := Column{Name: "s", Column: stream.Column{Kind: stream.String, Dict: stream.NewDict(), Null: mask}}
			number := Column{Name: "n", Column: stream.Column{Kind: stream.Int, Ints: make([]int64, 700), Null: mask}}
			for i := range 700 {
				text.IDs = append(text.IDs, text.Dict.ID(fmt.Append(nil, i%distinct)))
			}
			w, err := NewWriter()
			if err != nil {
				t.Fatal(err)
			}
			data, err := w.Encode(&Table{Columns: []Column{text, number}}, Order(make([]stream.Time, 700)))
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		if !bytes.Equal(encode(nil), encode(make([]bool, 700))) {
			t.Errorf("%d distinct texts: a mask without a null changes the file", distinct)
		}
	}
}
