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

// archive writes the final windows of one output, as far back as Redis keeps them, into the parts of its tasks. What nobody
// runs any more, it writes of all versions of the pipeline before.
func (r *refiller) archive(ctx context.Context, group []*part) error {
	if !group[0].archived {
		return nil
	}
	for o := &group[0].config.Output; o != nil; o = o.Before {
		if err := r.archiveOf(ctx, group, o); err != nil {
			return fmt.Errorf("fill %s/%s from the archive: %w", o.Instance, o.Name, err)
		}
		if !group[0].before {
			break // the version before is a part of its own
		}
	}
	return nil
}

// archiveOf writes the windows of one version. A file that cannot be read is reported once and does not keep Redis from being
// ready; a store that is away does.
func (r *refiller) archiveOf(ctx context.Context, group []*part, o *redis.Output) error {
	q := parquet.All()
	q.Schema = &stream.Schema{}
	for _, c := range o.Columns {
		q.Schema.Fields = append(q.Schema.Fields, stream.Field{Name: c.Name, Kind: stream.KindOf(c.Kind)})
	}
	if o.Keep > 0 {
		q.From = stream.TimeOf(r.clock.Now()).Add(-o.Keep)
	}
	w := archiveWriter{client: r.redis, group: group, output: o, sinks: map[stream.Partition]*redis.Sink{}}
	name := columnfile.RollupName{Pipeline: o.Pipeline, Output: o.Name, Instance: o.Instance}
	err := parquet.ScanRollups(ctx, r.objects, name, q, func(meta columnfile.RollupMeta, b *stream.Batch) error {
		return w.take(ctx, &meta, b)
	})
	if err != nil && ctx.Err() == nil && stream.KindOfError(err) != stream.Retry {
		r.log.Error("Redis lacks old windows: the archive cannot be read to its end", "instance", o.Instance, "output", o.Name, "error", err)
		err = nil
	}
	return errors.Join(err, w.finish(ctx))
}

// archiveWriter writes rows of files as the tasks would that they are of.
type archiveWriter struct {
	client *redis.Client
	group  []*part
	output *redis.Output // of the group, or of a version before it
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

// sink is that of the task which reads the partition, or which read it in a version before; nil if it is none of ours.
func (w *archiveWriter) sink(p stream.Partition) (*redis.Sink, error) {
	if s := w.sinks[p]; s != nil {
		return s, nil
	}
	for _, part := range w.group {
		c := part.config
		if !w.reads(c.Task, p) {
			continue
		}
		c.Task.Instance, c.Task.Partition, c.Output = w.output.Instance, p, *w.output
		if w.output.Instance != part.config.Task.Instance {
			c.Generation, c.Ended = 0, true
		}
		s, err := w.client.NewSink(c)
		if err != nil {
			return nil, err
		}
		w.sinks[p] = s
		return s, nil
	}
	return nil, nil
}

// reads reports whether the partition is that of a task of the group. Each version has an internal topic of its own.
func (w *archiveWriter) reads(task stream.TaskID, p stream.Partition) bool {
	if w.output.Instance != task.Instance && p.Topic != task.Partition.Topic {
		return p.Number == task.Partition.Number
	}
	return p == task.Partition
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
