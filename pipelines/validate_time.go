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
	maxRemembered   = 366 * day
	maxOpenWindows  = 10_000 // of one group
	maxOverlap      = 60     // windows that hold one event
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
	length := w.length()
	if !length.IsSet() {
		return
	}
	k.within(length, "a window", minWindow, maxWindow)
	size, step := w.Size(), w.Step()
	t := k.s.Time
	span := t.AllowedLateness.or(DefaultAllowedLateness) + t.OutOfOrder.or(DefaultOutOfOrder)
	if size >= minWindow && span/size > maxOpenWindows {
		k.report(length.At, 1, "windows of %s stay open for %s, so each group holds %d of them: at most %d make sense",
			formatDuration(size), formatDuration(span), span/size, maxOpenWindows)
	}
	if !w.Every.IsSet() || step <= 0 {
		return
	}
	k.within(w.Every, "`every`", minWindow, size)
	switch {
	case step > size: // reported
	case size%step != 0:
		k.report(w.Every.At, 1, "windows of %s cannot begin every %s: the length must be a multiple of it", formatDuration(size), formatDuration(step))
	case size/step > maxOverlap:
		k.report(w.Every.At, 1, "windows of %s that begin every %s hold each event %d times: at most %d make sense; let them begin every %s",
			formatDuration(size), formatDuration(step), size/step, maxOverlap, formatDuration(size/maxOverlap))
	}
}

// good reports whether the times of the window can be those of one.
func (w *Window) good() bool {
	size, step := w.Size(), w.Step()
	return size > 0 && step > 0 && size%step == 0 && size/step <= maxOverlap
}

// groupTimes checks the horizons of what follows a window.
func (k *checker) groupTimes(s *Step, w *Window) {
	if f := s.First; f != nil {
		k.within(f.Within, "`within`", max(w.Step(), minWindow), maxRemembered)
		k.within(f.Learn, "`learn`", 0, maxRemembered)
	}
	if a := s.Absence; a != nil {
		k.within(a.Forget, "`forget`", max(w.Step(), minWindow), maxRemembered)
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
