package kafka

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/stream"
)

// DeadLetterTopic takes the records that do not decode or fail validation, or that no step can process. The value of a dead letter is the value of the
// record, byte for byte, the key its key; headers say the rest (see the package comment).
const DeadLetterTopic = "tidewatch.dead-letters"

// Headers of a dead letter.
const (
	headerPipeline    = "tidewatch.pipeline"
	headerTopic       = "tidewatch.topic"
	headerIncarnation = "tidewatch.incarnation"
	headerPartition   = "tidewatch.partition"
	headerKind        = "tidewatch.kind"
	headerReason      = "tidewatch.reason"
	headerDetail      = "tidewatch.detail"
	headerTimestamp   = "tidewatch.timestamp"
	headerSize        = "tidewatch.size"
	headerSink        = "tidewatch.sink"
	headerOutput      = "tidewatch.output"
	headerTarget      = "tidewatch.target"
	headerRow         = "tidewatch.row"
)

// wholeBytes is the longest key and value that are kept whole, and a reason and a detail at most. A producer's batch, and a
// topic without settings, take a million bytes; a longer record can be read at its place, which the headers tell.
const (
	wholeBytes  = 900_000
	reasonBytes = 4_000
	detailBytes = 32_000
)

// DeadLetters writes the dead letters of one task. It has what engine.DeadLetters asks for: Write comes from the task's
// goroutine, Flush from the committer.
type DeadLetters struct {
	*Writer
	task     stream.TaskID
	pipeline string
}

// NewDeadLetters returns the dead-letter output of a task.
func (c *Client) NewDeadLetters(task stream.TaskID, pipeline string) *DeadLetters {
	return &DeadLetters{c.NewWriter(), task, pipeline}
}

// Write appends the records; their bytes are copied.
func (d *DeadLetters) Write(ctx context.Context, dead []stream.Rejected) error {
	for i := range dead {
		if err := d.Append(ctx, d.record(&dead[i])); err != nil {
			return err
		}
	}
	return nil
}

func (d *DeadLetters) record(r *stream.Rejected) Record {
	var h []kgo.RecordHeader
	add := func(key, value string) { h = append(h, kgo.RecordHeader{Key: key, Value: []byte(value)}) }
	p := d.task.Partition
	add(headerPipeline, d.pipeline)
	add(headerTopic, p.Topic)
	add(headerIncarnation, p.Incarnation)
	add(headerPartition, strconv.Itoa(int(p.Number)))
	add(HeaderOffset, strconv.FormatInt(r.Offset, 10))
	add(headerKind, r.Kind.String())
	add(headerReason, cut(r.Reason, reasonBytes))
	if r.Detail != "" {
		add(headerDetail, cut(r.Detail, detailBytes))
	}
	add(HeaderTask, d.task.String())
	if row := r.Row; row != nil {
		add(headerSink, row.Sink)
		add(headerOutput, row.Output)
		add(headerTarget, row.Target)
		add(headerRow, row.Name)
		add(HeaderPhase, row.Phase.String())
		add(HeaderStep, strconv.FormatUint(uint64(row.At.Step), 10))
	} else {
		add(headerTimestamp, r.Timestamp.String())
		add(HeaderPhase, r.Kind.String())
		add(HeaderStep, "0")
		add(HeaderIndex, "0")
	}
	key := slices.Clone(r.Key[:min(len(r.Key), wholeBytes/2)])
	value := slices.Clone(r.Raw[:min(len(r.Raw), wholeBytes-len(key))])
	if len(value) < len(r.Raw) || len(key) < len(r.Key) {
		add(headerSize, strconv.Itoa(len(r.Raw)))
	}
	return Record{Topic: DeadLetterTopic, Partition: -1, Key: key, Value: value, Headers: h}
}
