package engine

import (
	"context"

	"github.com/tidewatch/tidewatch/stream"
)

// One record, tick or entry of progress may cross many points of the grid. Operators are told of them one after the other,
// so that what they decide, and in which order, follows from the log and not from how much of it was read at once.

// climb tells the operators of the progress since the one they know.
func (l *lane) climb(ctx context.Context, provisional bool) error {
	mark, record := l.marker.Marks()
	for l.mark != mark || l.record != record {
		m, r := l.marker.Turn(l.mark, l.record)
		if err := l.leg(ctx, m, r, provisional); err != nil {
			return err
		}
	}
	return nil
}

// leg tells of the points up to (mark, record), in ascending order: progress that is behind a point moves to it.
func (l *lane) leg(ctx context.Context, mark, record stream.Time, provisional bool) error {
	for due := l.chain.due(); due <= mark; due = l.chain.due() {
		point := stream.MaxTime
		if t := l.pointAfter(l.mark, due); t <= mark {
			point = t
		}
		if t := l.pointAfter(l.record, due); t <= record {
			point = min(point, t)
		}
		if point == stream.MaxTime {
			break
		}
		l.mark, l.record = max(l.mark, min(point, mark)), max(l.record, min(point, record))
		to := stream.Advance{Mark: l.mark, RecordMark: l.record, At: l.at, Provisional: provisional}
		if err := l.chain.advance(ctx, to); err != nil {
			return err
		}
	}
	passed := l.grids.Next(l.mark) <= mark || l.grids.Next(l.record) <= record || l.mark == stream.NoTime || l.record == stream.NoTime
	l.mark, l.record = mark, record
	if !passed {
		return nil
	}
	// Nothing is due at the points left out, but a window that opens later must know that they have passed.
	return l.chain.advance(ctx, stream.Advance{Mark: mark, RecordMark: record, At: l.at, Provisional: provisional})
}

// pointAfter is the first point of the grid after t that is not before due.
func (l *lane) pointAfter(t, due stream.Time) stream.Time {
	if due > t && due != stream.MaxTime {
		t = due - 1
	}
	return l.grids.Next(t)
}
