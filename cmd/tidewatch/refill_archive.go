package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/sinks/parquet"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/stream"
)

// archive writes the final windows of one output, as far back as Redis keeps them, into the parts of its tasks. A file that
// cannot be read is reported once and does not keep Redis from being ready; a store that is away does.
func (r *refiller) archive(ctx context.Context, group []*part) error {
	o := &group[0].config.Output
	if !group[0].archived {
		return nil
	}
	q := parquet.All()
	q.Schema = group[0].schema
	if o.Keep > 0 {
		q.From = stream.TimeOf(r.clock.Now()).Add(-o.Keep)
	}
	w := archiveWriter{client: r.redis, group: group, sinks: map[stream.Partition]*redis.Sink{}}
	name := columnfile.RollupName{Pipeline: o.Pipeline, Output: o.Name, Instance: o.Instance}
	err := parquet.ScanRollups(ctx, r.objects, name, q, func(meta columnfile.RollupMeta, b *stream.Batch) error {
		return w.take(ctx, &meta, b)
	})
	if err != nil && ctx.Err() == nil && stream.KindOfError(err) != stream.Retry {
		r.log.Error("Redis lacks old windows: the archive cannot be read to its end", "pipeline", o.Pipeline, "output", o.Name, "error", err)
		err = nil
	}
	if err := errors.Join(err, w.finish(ctx)); err != nil {
		return fmt.Errorf("fill %s/%s from the archive: %w", o.Pipeline, o.Name, err)
	}
	return nil
}

// archiveWriter writes rows of files as the tasks would that they are of.
type archiveWriter struct {
	client *redis.Client
	group  []*part
	sinks  map[stream.Partition]*redis.Sink
	view   stream.Batch
}

func (w *archiveWriter) take(ctx context.Context, meta *columnfile.RollupMeta, b *stream.Batch) error {
	s, err := w.sink(stream.Partition{Topic: meta.Topic, Number: meta.Partition, Incarnation: meta.Incarnation})
	if s == nil {
		return err
	}
	b.View(&w.view, 0, b.Len())
	w.view.Phase, w.view.Version = stream.Live, engine.NewestVersion()
	return s.Write(ctx, &w.view)
}

// sink is that of the task which reads the partition; nil if it is none of ours.
func (w *archiveWriter) sink(p stream.Partition) (*redis.Sink, error) {
	if s := w.sinks[p]; s != nil {
		return s, nil
	}
	for _, part := range w.group {
		if part.config.Task.Partition != p {
			continue
		}
		s, err := w.client.NewSink(part.config)
		if err != nil {
			return nil, err
		}
		w.sinks[p] = s
		return s, nil
	}
	return nil, nil
}

// finish waits until Redis has everything, and closes the sinks.
func (w *archiveWriter) finish(ctx context.Context) error {
	var errs []error
	for _, s := range w.sinks {
		_, err := s.Refresh(stream.NoTime)(ctx)
		errs = append(errs, err, s.Close())
	}
	return errors.Join(errs...)
}
