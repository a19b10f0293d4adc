// Package replay reads events from files of JSON lines, plain or compressed with gzip, as if they were partitions of a
// topic: each file is one partition, each line one record whose offset is the number of the line.
package replay

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// File is one partition of a replay.
type File struct {
	Path      string
	Size      int64
	Partition stream.Partition
}

// Find lists the files to replay: the file itself, or all *.json, *.jsonl and *.ndjson files of a folder, plain or .gz, in
// the order of their names. topic is what they stand for.
func Find(path, topic string) ([]File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	names := []string{path}
	if info.IsDir() {
		if names, err = inFolder(path); err != nil {
			return nil, err
		}
	}
	var files []File
	for i, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("find events: %w", err)
		}
		files = append(files, File{Path: name, Size: info.Size(), Partition: stream.Partition{Topic: topic, Number: int32(i)}})
	}
	return files, nil
}

func inFolder(path string) (names []string, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("find events: %w", err)
	}
	for _, e := range entries {
		base := strings.TrimSuffix(e.Name(), ".gz")
		if ext := filepath.Ext(base); !e.IsDir() && slices.Contains([]string{".json", ".jsonl", ".ndjson"}, ext) {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("find events in %s: there is no .json, .jsonl or .ndjson file, plain or .gz", path)
	}
	return names, nil
}

const (
	portion     = 1024     // lines of one Read
	longestLine = 16 << 20 // bytes; a longer line is no event, whatever the decoder's own limit
)

// Reader reads one file. It implements stream.Reader.
type Reader struct {
	file    *os.File
	counted *counter
	lines   *bufio.Reader
	decoder stream.Decoder
	batch   *stream.Batch
	next    int64
}

// Open opens the file. progress, if not nil, is told the bytes of the file that have been read since the last call.
func (f File) Open(_ context.Context, d stream.Decoder, progress func(bytes int64)) (*Reader, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	r := &Reader{file: file, decoder: d, batch: stream.NewBatch(d.Schema()), counted: &counter{r: file, told: progress}}
	plain := bufio.NewReaderSize(r.counted, 1<<20)
	r.lines = plain
	if magic, err := plain.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(plain)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", f.Path, err), file.Close())
		}
		r.lines = bufio.NewReaderSize(z, 1<<20)
	}
	return r, nil
}

// counter counts what is read of the file, compressed or not.
type counter struct {
	r    io.Reader
	told func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.told != nil {
		c.told(int64(n))
	}
	return n, err
}

// Read implements stream.Reader. Empty lines are no records and have no offset.
func (r *Reader) Read(ctx context.Context) (*stream.Input, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.batch.Reset()
	in := &stream.Input{Batch: r.batch, From: r.next, End: -1}
	for r.next-in.From < portion {
		line, err := r.line()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read %s after line %d: %w", r.file.Name(), r.next, err)
		}
		if err := r.decode(line, in); err != nil {
			return nil, err
		}
	}
	r.batch.Settle()
	if in.Next = r.next; in.Next == in.From {
		return nil, io.EOF
	}
	return in, nil
}

// line returns the next line that is not empty, or io.EOF.
func (r *Reader) line() ([]byte, error) {
	for {
		line, err := r.lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			line, err = r.rest(line)
		}
		line = trim(line)
		if len(line) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// rest reads the remainder of a line that is longer than the buffer.
func (r *Reader) rest(begin []byte) ([]byte, error) {
	long := slices.Clone(begin)
	for {
		more, err := r.lines.ReadSlice('\n')
		if long = append(long, more...); len(long) > longestLine {
			return nil, fmt.Errorf("a line is longer than %d bytes: this is no file of JSON lines", longestLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return long, err
		}
	}
}

func trim(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}

// decode appends the event. A file has no broker's clock, so no event time is too far ahead: MaxTime says so.
func (r *Reader) decode(line []byte, in *stream.Input) error {
	m := &stream.Message{Offset: r.next, Timestamp: stream.MaxTime, Value: line}
	r.next++
	err := r.decoder.Decode(m, r.batch)
	if err != nil && stream.KindOfError(err) != stream.Reject {
		return err
	}
	if err != nil {
		in.Rejected = append(in.Rejected, stream.Rejected{Offset: m.Offset, Reason: err.Error(), Raw: slices.Clone(line)})
	}
	return nil
}

// Close implements stream.Reader. It may be repeated.
func (r *Reader) Close() error {
	if err := r.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
