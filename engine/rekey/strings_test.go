package rekey

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// States that travel as strings are seldom seen twice; a batch that is used again and again does not keep them all.
func TestStringsDoNotPileUp(t *testing.T) {
	d := NewDecoder(partial)
	out := stream.NewBatch(d.Schema())
	host := out.Cols[stream.EntryColumns]
	for i := range 200 {
		b := stream.NewBatch(partial)
		b.Phase = stream.Partial
		text := fmt.Sprint(i, strings.Repeat("x", 1<<16))
		b.Cols[0].AppendString(text)
		b.Cols[1].AppendInt(1)
		b.Cols[2].AppendFloat(1)
		b.Cols[3].AppendInt(1)
		b.SetLen(1)
		out.Reset()
		if err := d.Decode(&stream.Message{Offset: int64(i), Value: appendPartials(nil, 0, b, []int32{0})}, out); err != nil {
			t.Fatal(err)
		}
		if got := out.Cols[stream.EntryColumns].Text(0); got != text {
			t.Fatalf("record %d came out as %.20q", i, got)
		}
	}
	if n := host.Dict.Size(); n > maxStrings+1<<17 {
		t.Errorf("%d bytes of strings are kept", n)
	}
}
