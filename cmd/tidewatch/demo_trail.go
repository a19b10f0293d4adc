package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/sources/replay"
	"github.com/tidewatch/tidewatch/stream"
)

// The part of the records that is played: the collection of one day, from just before its attack session to its end.
const (
	trailFrom = "2023-07-10T11:49:00Z"
	trailTo   = "2023-07-10T13:00:00Z"
)

// trailPause lies between two rounds.
const trailPause = time.Minute

// trailEvent is a record as a security event: what is before and after its time. It is kept as text since the records come
// again in every round.
type trailEvent struct {
	at   stream.Time
	user []byte
	rest []byte // behind the time
}

// trailEvents decodes the records, in the order of time. Their own time is kept as the attribute original_time.
func trailEvents(records io.Reader, from, to stream.Time) ([]trailEvent, error) {
	def, err := schemas.Builtin().ForTopic("security")
	if err != nil {
		return nil, err
	}
	decoder, err := schemas.NewDecoder("cloudtrail", def, def.Names())
	if err != nil {
		return nil, err
	}
	user := decoder.Schema().Index("user")
	const lateEnough = 10 * 365 * 24 * time.Hour // no record is of the future then
	var all []trailEvent
	lines := bufio.NewScanner(records)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		b := stream.NewBatch(decoder.Schema())
		if err := decoder.Decode(&stream.Message{Timestamp: to.Add(lateEnough), Value: lines.Bytes()}, b); err != nil {
			return nil, fmt.Errorf("decode a record of CloudTrail: %w", err)
		}
		if b.Time[0] < from || b.Time[0] >= to {
			continue
		}
		text := string(schemas.AppendJSON(nil, b, 0))
		_, rest, ok := strings.Cut(text, ",") // the time is the first field
		if !ok {
			return nil, fmt.Errorf("write a record of CloudTrail: %s has a time only", text)
		}
		e := trailEvent{at: b.Time[0], rest: []byte(`,"original_time":"` + b.Time[0].String() + `","origin":"` + demoTrail + `","tenant":"aws",` + rest)}
		if !b.Cols[user].IsNull(0) {
			e.user = []byte(fmt.Sprint(b.Cols[user].Value(0)))
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(x, y trailEvent) int {
		switch {
		case x.at < y.at:
			return -1
		case x.at > y.at:
			return 1
		}
		return 0
	})
	return all, lines.Err()
}

// appendShifted writes the event with its time moved by a constant.
func (e *trailEvent) appendShifted(dst []byte, shift time.Duration) []byte {
	return append(strconv.AppendQuote(append(dst, `{"time":`...), e.at.Add(shift).String()), e.rest...)
}

// trailAfter is when the first record is sent: reading them all takes a while, and the start of everything else comes first.
const trailAfter = 3 * time.Second

// playTrail sends the records at their own pace, round after round, and goes on where an earlier start of the product stopped.
func playTrail(ctx context.Context, client *kgo.Client, brokers []string) error {
	select {
	case <-ctx.Done():
		return nil
	case <-clock.System{}.After(trailAfter):
	}
	records, err := replay.CloudTrail()
	if err != nil {
		return err
	}
	var bounds [2]stream.Time
	for i, text := range []string{trailFrom, trailTo} {
		if bounds[i], err = serve.ParseTime(text, time.Time{}); err != nil {
			return err
		}
	}
	all, err := trailEvents(records, bounds[0], bounds[1])
	if err != nil {
		return err
	}
	next, _, err := nextPlace(ctx, brokers, "security", demoTrail)
	if err != nil {
		return err
	}
	for {
		if next, err = playRound(ctx, client, all, next); err != nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-clock.System{}.After(trailPause):
		}
	}
}

// playRound sends the records of a round from number next on, and answers the number of the next one. Numbers grow over the
// rounds. All times are shifted by one constant: the first record is now.
func playRound(ctx context.Context, client *kgo.Client, all []trailEvent, next int64) (int64, error) {
	all = all[next%int64(len(all)):]
	shift := stream.TimeOf(clock.System{}.Now()).Sub(all[0].at)
	for len(all) > 0 {
		due := all[0].at.Add(shift).Go()
		select {
		case <-ctx.Done():
			return next, nil
		case <-clock.System{}.After(due.Sub(clock.System{}.Now())):
		}
		n := 0 // records of this moment
		for n < len(all) && all[n].at <= all[0].at {
			n++
		}
		batch := make([]*kgo.Record, n)
		for i := range batch {
			batch[i] = &kgo.Record{
				Topic: "security", Key: all[i].user, Value: all[i].appendShifted(nil, shift), Headers: place(demoTrail, next+int64(i)),
			}
		}
		if err := client.ProduceSync(ctx, batch...).FirstErr(); err != nil {
			return next, fmt.Errorf("produce to security: %w", err)
		}
		all, next = all[n:], next+int64(n)
	}
	return next, nil
}
