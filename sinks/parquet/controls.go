package parquet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// ControlsConfig is what a Controls sink needs.
type ControlsConfig struct {
	Objects stream.Objects
	Task    stream.TaskID // whose control records it keeps
	// Slot is the span of progress whose control records make a file. It divides an hour.
	Slot time.Duration
	// Discard keeps none: nobody archives the topic. What an earlier run has staged is revealed still.
	Discard bool
}

// DefaultControls is a file for five minutes, as in the rest of the archive.
func DefaultControls() ControlsConfig { return ControlsConfig{Slot: 5 * time.Minute} }

// Validate reports the first mistake.
func (c ControlsConfig) Validate() error {
	switch {
	case c.Objects == nil || c.Task.Instance == "" || c.Task.Partition.Topic == "":
		return errors.New("open archive of control records: the object store or the task is missing")
	case c.Slot < time.Second || time.Hour%c.Slot != 0:
		return fmt.Errorf("open archive of control records: a slot of %v does not divide an hour", c.Slot)
	}
	return nil
}

// Controls archives the control records of one task, so that a replay of the events that the task has read can apply them
// where they took effect. They are not in the files of events: those are cut and claimed by another task, which knows nothing
// of this one and must not wait for it.
//
// Ticks only raise the progress. So the control records whose progress lies in a slot are all there once the task's progress
// has left the slot, and what a file holds follows from what the task has claimed. Controls implements stream.Sink,
// stream.StatefulSink and stream.ControlSink.
type Controls struct {
	config  ControlsConfig
	pending []stream.Control // of slots that are not over
}

// NewControls returns an empty sink.
func NewControls(c ControlsConfig) (*Controls, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Controls{config: c}, nil
}

// Write implements stream.Sink: it takes no rows.
func (c *Controls) Write(_ context.Context, b *stream.Batch) error {
	return fmt.Errorf("archive control records: %v rows are none", b.Phase)
}

// Control implements stream.ControlSink.
func (c *Controls) Control(k *stream.Control) {
	if !c.config.Discard {
		c.pending = append(c.pending, *k)
	}
}

// Stage implements stream.Sink: it takes the control records of the slots that are over.
func (c *Controls) Stage(e stream.Epoch) stream.Work {
	var slots [][]stream.Control
	for len(c.pending) > 0 {
		slot := c.pending[0].Mark.Floor(c.config.Slot)
		if slot.Add(c.config.Slot) > e.Mark {
			break
		}
		n := 1
		for n < len(c.pending) && c.pending[n].Mark.Floor(c.config.Slot) == slot {
			n++
		}
		slots, c.pending = append(slots, c.pending[:n:n]), c.pending[n:]
	}
	if len(slots) == 0 {
		return nil
	}
	var files []encoded // kept for a second attempt
	return func(ctx context.Context) (stream.Receipt, error) {
		if files == nil {
			var err error
			if files, err = c.encode(slots); err != nil {
				return nil, stream.Mark(stream.Fatal, err)
			}
		}
		return put(ctx, c.config.Objects, e.Prefix, files)
	}
}

func (c *Controls) encode(slots [][]stream.Control) ([]encoded, error) {
	files := make([]encoded, 0, len(slots))
	t := &c.config.Task
	for _, list := range slots {
		of := columnfile.ControlMeta{Incarnation: t.Partition.Incarnation, ControlName: columnfile.ControlName{
			Topic: t.Partition.Topic, Instance: t.Instance, Stage: t.Stage, Partition: t.Partition.Number, Hour: list[0].Mark.Floor(time.Hour),
		}}
		meta, data, err := columnfile.EncodeControls(of, list)
		if err != nil {
			return nil, fmt.Errorf("encode control records from step %d: %w", list[0].At.Step, err)
		}
		files = append(files, newEncoded(meta.Key(), data))
	}
	return files, nil
}

// Reveal implements stream.Sink.
func (c *Controls) Reveal(ctx context.Context, receipt stream.Receipt) error {
	return reveal(ctx, c.config.Objects, receipt)
}

// Close implements stream.Sink; what is not staged is in the task's snapshot, or comes again with the replay.
func (c *Controls) Close() error { return nil }

const (
	controlsSection = "controls"
	controlsVersion = 1
)

// Snapshot implements stream.StatefulSink.
func (c *Controls) Snapshot(w *stream.StateWriter) error {
	w.Section(controlsSection, controlsVersion)
	w.Uint(uint64(len(c.pending)))
	for _, k := range c.pending {
		w.Text(k.Kind)
		w.Int(k.At.Offset)
		w.Uint(uint64(k.At.Step))
		w.Int(int64(k.Mark))
	}
	return nil
}

// Restore implements stream.StatefulSink. A snapshot of before the output existed restores as an empty sink.
func (c *Controls) Restore(r *stream.StateReader) error {
	version, ok := r.Section(controlsSection)
	if !ok {
		return nil
	}
	if version != controlsVersion {
		return fmt.Errorf("restore control records: section version %d, this program knows %d", version, controlsVersion)
	}
	for range r.Len(4) {
		k := stream.Control{Kind: r.Text(), At: stream.Version{Offset: r.Int(), Step: uint32(r.Uint())}, Mark: stream.Time(r.Int())}
		c.Control(&k)
	}
	return r.Err()
}
