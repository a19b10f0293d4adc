package replay_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/sources/replay"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// acceptanceLog is lines of all lengths, some of which the decoder rejects, more than a Read returns.
func acceptanceLog() (log []stream.Message, text []byte) {
	for i := range int64(2200) {
		line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", int(i%37)))
		switch {
		case i%11 == 3:
			line = "#" + line
		case i == 1200:
			line = strings.Repeat("long ", 300_000)
		}
		log = append(log, stream.Message{Offset: i, Timestamp: stream.MaxTime, Value: []byte(line)})
		text = append(append(text, line...), []string{"\n", "\r\n", "\n\n"}[i%3]...)
	}
	return log, text
}

func TestAcceptance(t *testing.T) {
	log, text := acceptanceLog()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	streamtest.RunSource(t, streamtest.SourceHarness{
		Log: log, Decoder: func() stream.Decoder { return lineDecoder{} }, End: int64(len(log)), Bounded: true, FromFirst: true, Histories: 3,
		Ways: []streamtest.SourceWay{
			{Name: "plain", Open: opens(t, "a.jsonl", text)},
			{Name: "without a last line break", Open: opens(t, "b.jsonl", bytes.TrimRight(text, "\r\n"))},
			{Name: "compressed", Open: opens(t, "c.jsonl.gz", packed.Bytes())},
		},
		Broken: []streamtest.SourceFault{
			{Name: "no file", Kind: stream.Fatal, Open: func(t testing.TB) (stream.Reader, error) {
				return replay.File{Path: filepath.Join(t.TempDir(), "none.jsonl")}.Open(t.Context(), lineDecoder{}, nil)
			}},
			{Name: "cut short", Kind: stream.Fatal, Open: func(t testing.TB) (stream.Reader, error) {
				return opens(t, "d.jsonl.gz", packed.Bytes()[:packed.Len()/2])(t, 0, lineDecoder{})
			}},
			{Name: "no lines", Kind: stream.Fatal, Open: func(t testing.TB) (stream.Reader, error) {
				return opens(t, "e.jsonl", bytes.Repeat([]byte("x"), 17<<20))(t, 0, lineDecoder{})
			}},
		},
	})
}

// opens writes a file and returns what opens it.
func opens(t testing.TB, name string, data []byte) func(testing.TB, int64, stream.Decoder) (stream.Reader, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(t testing.TB, offset int64, d stream.Decoder) (stream.Reader, error) {
		if offset != 0 {
			return nil, errors.New("files are read from their beginning")
		}
		return replay.File{Path: path}.Open(t.Context(), d, nil)
	}
}
