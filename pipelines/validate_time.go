package pipelines

import (
	"time"
)

// Bounds of what makes sense. They are far from what is usual: beyond them, a unit was mistaken.
const (
	minWindow       = 100 * time.Millisecond
	maxWindow       = 7 * day
	maxOutOfOrder   = day
	maxLateness     = 7 * day
	maxDedupe       = 7 * day
	maxOpenWindows  = 10_000 // of one group
	minEpoch        = 10 * time.Millisecond
	maxEpoch        = 10 * time.Minute
	maxSnapshot     = time.Hour
	minPublish      = 50 * time.Millisecond
	maxCaseDuration = 366 * day
)

// within reports a duration outside its bounds.
func (k *checker) within(d Duration, what string, low, high time.Duration) {
	switch {
	case !d.IsSet():
	case d.Duration < low:
		k.report(d.At, 1, "%s is at least %s, not %s", what, formatDuration(low), formatDuration(d.Duration))
	case d.Duration > high:
		k.report(d.At, 1, "%s is at most %s, not %s", what, formatDuration(high), formatDuration(d.Duration))
	}
}

func (k *checker) times() {
	t, i := k.s.Time, k.s.Interval
	k.within(t.OutOfOrder, "`out_of_order`", 0, maxOutOfOrder)
	k.within(t.AllowedLateness, "`allowed_lateness`", 0, maxLateness)
	k.within(t.MaxJump, "`max_jump`", time.Second, 365*day)
	if t.IdleAfter.Duration != 0 {
		k.within(t.IdleAfter, "`idle_after`", time.Second, 365*day)
	}
	if jump := t.MaxJump.or(DefaultMaxJump); t.OutOfOrder.IsSet() && jump < t.OutOfOrder.Duration {
		k.report(t.OutOfOrder.At, 1, "`out_of_order` is longer than `max_jump` (%s): every other event would look like a jump", formatDuration(jump))
	}
	k.within(i.Epoch, "`epoch`", minEpoch, maxEpoch)
	k.within(i.Publish, "`publish`", minPublish, maxEpoch)
	k.within(i.Snapshot, "`snapshot`", i.Epoch.or(DefaultShortEpoch), maxSnapshot)
}

// windowTimes checks the length of the window against the lateness.
func (k *checker) windowTimes(w *Window) {
	if !w.Tumbling.IsSet() {
		return
	}
	k.within(w.Tumbling, "a window", minWindow, maxWindow)
	size := w.Tumbling.Duration
	t := k.s.Time
	span := t.AllowedLateness.or(DefaultAllowedLateness) + t.OutOfOrder.or(DefaultOutOfOrder)
	if size >= minWindow && span/size > maxOpenWindows {
		k.report(w.Tumbling.At, 1, "windows of %s stay open for %s, so each group holds %d of them: at most %d make sense",
			formatDuration(size), formatDuration(span), span/size, maxOpenWindows)
	}
}

// ruleTimes: a rule is judged at the ends of windows and nowhere else.
func (k *checker) ruleTimes(d Duration, what string, size time.Duration) {
	if !d.IsSet() || size <= 0 || d.Duration%size == 0 {
		return
	}
	low := d.Truncate(size)
	hint := formatDuration(low + size)
	if low > 0 {
		hint = formatDuration(low) + " or " + hint
	}
	k.report(d.At, 1, "%s is judged at the end of each window, every %s, so %s makes no difference: write %s",
		what, formatDuration(size), formatDuration(d.Duration), hint)
}
