package replay_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/sources/replay"
	"github.com/tidewatch/tidewatch/stream"
)

// lineDecoder keeps the line; lines that begin with # are rejected.
type lineDecoder struct{}

func (lineDecoder) Schema() *stream.Schema {
	return &stream.Schema{Fields: []stream.Field{{Name: "line", Kind: stream.String}}}
}

func (lineDecoder) Decode(m *stream.Message, b *stream.Batch) error {
	if m.Value[0] == '#' {
		return stream.Mark(stream.Reject, errors.New("comment"))
	}
	b.Cols[0].AppendBytes(m.Value)
	b.Time, b.Offset = append(b.Time, 0), append(b.Offset, m.Offset)
	b.SetLen(b.Len() + 1)
	return nil
}

// read returns all lines with their offsets, the rejected ones with a minus.
func read(t *testing.T, f replay.File) (lines []string) {
	t.Helper()
	var bytes int64
	r, err := f.Open(t.Context(), lineDecoder{}, func(n int64) { bytes += n })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	for {
		in, err := r.Read(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := int64(in.Batch.Len() + len(in.Rejected)); n != in.Next-in.From {
			t.Fatalf("%d records for offsets %d to %d", n, in.From, in.Next)
		}
		for i := range in.Batch.Len() {
			lines = append(lines, fmt.Sprint(in.Batch.Offset[i], " ", in.Batch.Cols[0].Text(i)))
		}
		for _, x := range in.Rejected {
			lines = append(lines, fmt.Sprint("-", x.Offset, " ", string(x.Raw)))
		}
	}
	if bytes != f.Size {
		t.Errorf("progress told %d bytes of %d", bytes, f.Size)
	}
	return lines
}

func TestLinesPlainAndCompressed(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	text := "a\r\n\nb\n#c\n" + long + "\nlast"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	z, err := os.Create(filepath.Join(dir, "b.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	w := gzip.NewWriter(z)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	files, err := replay.Find(dir, "metrics")
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, error %v", files, err)
	}
	want := fmt.Sprint([]string{"0 a", "1 b", "3 " + long, "4 last", "-2 #c"})
	for i, f := range files {
		if got := fmt.Sprint(read(t, f)); got != want || f.Partition.Number != int32(i) {
			t.Errorf("%s: %.80s, want %.80s", f.Path, got, want)
		}
	}
}

func TestNothingToReplay(t *testing.T) {
	if _, err := replay.Find(t.TempDir(), "metrics"); err == nil || !strings.Contains(err.Error(), "ndjson") {
		t.Errorf("error %v", err)
	}
}

// TestCloudTrailIsWhole reads the shipped records.
func TestCloudTrailIsWhole(t *testing.T) {
	files, err := replay.Find("testdata/cloudtrail.ndjson.gz", "cloudtrail")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, files[0])); n != 3210 {
		t.Errorf("%d records, want 3210", n)
	}
}
