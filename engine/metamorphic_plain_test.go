package engine_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// metaRecord is a record of a log of events as it was produced.
type metaRecord struct {
	event
	gone bool
}

// plainLedger is where plain code puts every offset of the logs for version 1, with a map of what was seen as first step.
func (m *metamorph) plainLedger() string {
	var sum stream.Ledger
	for p := range m.log {
		task := stream.TaskID{Instance: "counts@1", Stage: "main", Partition: stream.Partition{Topic: "events", Number: int32(p)}}
		if m.two {
			task.Stage = "fold"
		}
		ledger := plainLedger(m.log[p], m.controlsOf(task))
		sum.Add(&ledger)
	}
	return fmt.Sprint(sum.Map())
}

func plainLedger(log []metaRecord, controls []stream.Control) (l stream.Ledger) {
	const never, grace = -time.Hour, 10 * time.Minute
	front, tick := never, never
	seen := map[string]bool{}
	var times []time.Duration // of all events so far
	for offset, r := range log {
		for len(controls) > 0 && controls[0].At.Offset <= int64(offset) {
			if controls[0].Kind == "tick" {
				tick = max(tick, time.Duration(controls[0].Mark))
			}
			controls = controls[1:]
		}
		if b, aside := asideBucket(r); aside {
			l[b]++
			continue
		}
		record := max(front-disorder, tick-grace)
		end, id := r.at.Truncate(size)+size, onceID(r.at, r.key)
		switch {
		case seen[id]:
			l[stream.BucketDuplicate]++
		case end+lateness <= record:
			l[stream.BucketLate]++
		case end <= max(record, tick):
			l[stream.BucketRevised]++
		default:
			l[stream.BucketCounted]++
		}
		seen[id] = true
		times = append(times, r.at)
		switch {
		case front == never || r.at-front <= time.Minute:
			front = max(front, r.at)
		default:
			front = witnessedFront(front, times)
		}
	}
	return l
}

func asideBucket(r metaRecord) (b stream.Bucket, aside bool) {
	switch {
	case r.gone:
		return stream.BucketGap, true
	case r.bad:
		return stream.BucketRejected, true
	case r.panics != "":
		return stream.BucketQuarantined, true
	}
	return 0, false
}

// witnessedFront moves the front to the lowest of the newest eight of the last thousand that are far ahead of it, if there are eight.
func witnessedFront(front time.Duration, times []time.Duration) time.Duration {
	var ahead []time.Duration
	for _, t := range slices.Backward(times[max(len(times)-1000, 0):]) {
		if t-front > time.Minute && len(ahead) < 8 {
			ahead = append(ahead, t)
		}
	}
	if len(ahead) < 8 {
		return front
	}
	return max(front, slices.Min(ahead))
}
