package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// windowRow is what matters of a row for the latency of its window.
type windowRow struct {
	Start   int64 // milliseconds
	Host    string
	Samples int64
}

// parseWindowRow reads a row of a peer, or of Tidewatch's, which has its start as text.
func parseWindowRow(text []byte) (windowRow, error) {
	var r struct {
		Start   *int64
		Time    *time.Time
		Host    string
		Samples int64
	}
	err := json.Unmarshal(text, &r)
	switch {
	case err != nil:
		return windowRow{}, fmt.Errorf("read a row: %w", err)
	case r.Start != nil:
		return windowRow{*r.Start, r.Host, r.Samples}, nil
	case r.Time != nil:
		return windowRow{r.Time.UnixMilli(), r.Host, r.Samples}, nil
	}
	return windowRow{}, fmt.Errorf("read a row: %s has neither start nor time", text)
}

func (t *trial) reader() (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(t.servers.Kafka.Brokers()...), kgo.ConsumeTopics(t.name),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
}

// collectTopic writes all committed rows, those of a partition in order.
func collectTopic(ctx context.Context, t *trial, out io.Writer) error {
	ends, err := t.admin.ListCommittedOffsets(ctx, t.name)
	if err != nil {
		return fmt.Errorf("ask for the end of %s: %w", t.name, err)
	}
	open := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			open[o.Partition] = o.Offset
		}
	})
	c, err := kgo.NewClient(kgo.SeedBrokers(t.servers.Kafka.Brokers()...), kgo.ConsumeTopics(t.name), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer c.Close()
	for len(open) > 0 {
		fetched := c.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return fmt.Errorf("read %s: %w", t.name, err)
		}
		var failed error
		fetched.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				_, err := fmt.Fprintf(out, "%s\n", r.Value)
				failed = errors.Join(failed, err)
			}
			if r.Offset+1 >= open[r.Partition] {
				delete(open, r.Partition)
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// followTopic reads committed rows as they come.
func followTopic(ctx context.Context, t *trial, see func(windowRow)) error {
	c, err := t.reader()
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		fetched := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetched.Err(); err != nil {
			return fmt.Errorf("read %s: %w", t.name, err)
		}
		var failed error
		fetched.EachRecord(func(r *kgo.Record) {
			row, err := parseWindowRow(r.Value)
			if err != nil {
				failed = err
				return
			}
			see(row)
		})
		if failed != nil {
			return failed
		}
	}
}

func (t *trial) rowFiles() []string {
	parts, _ := filepath.Glob(filepath.Join(t.dir, "rows/*")) // the pattern is well-formed
	return parts
}

// collectFiles writes what the engine has written to files.
func collectFiles(_ context.Context, t *trial, out io.Writer) error {
	for _, part := range t.rowFiles() {
		file, err := os.Open(part)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// followFiles looks again and again for more lines.
func followFiles(ctx context.Context, t *trial, see func(windowRow)) error {
	read := map[string]int64{}
	for {
		for _, part := range t.rowFiles() {
			n, err := follow(part, read[part], see)
			if err != nil {
				return err
			}
			read[part] = n
		}
		if err := bed.Sleep(ctx, 20*time.Millisecond); err != nil {
			return nil //nolint:nilerr // it was told to end
		}
	}
}

// follow reads complete lines from an offset on, and answers where it stopped.
func follow(path string, from int64, see func(windowRow)) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return from, err
	}
	defer file.Close()
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return from, err
	}
	for r := bufio.NewReaderSize(file, 1<<16); ; {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return from, nil
		}
		if err != nil {
			return from, err
		}
		row, err := parseWindowRow(bytes.TrimSpace(text))
		if err != nil {
			return from, err
		}
		see(row)
		from += int64(len(text))
	}
}
