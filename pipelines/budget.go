package pipelines

import (
	"fmt"
	"time"
)

// maxGroups bounds `max_groups`: numbers of groups have 32 bits, and tables are doubled.
const maxGroups = 100_000_000

// groupBudget estimates the memory of the groups of a task's windows: of the stage that reads the source, where max_groups
// holds. Every window may hold other groups.
type groupBudget struct {
	group   int64 // bytes of one group in one window
	windows int64 // that are held at once
}

func (l *layout) groupBudget(cellBytes int) groupBudget {
	w, t := l.steps[l.window].Window, l.time()
	// The window that is being filled, those that are not final yet, and those of events from ahead of the front.
	held := w.Size() + t.Lateness + t.OutOfOrder + t.MaxJump
	return groupBudget{
		group:   int64(cellOverhead + cellBytes + keyOverhead + textBytes*len(w.By)),
		windows: 1 + int64((held+w.Step()-1)/max(w.Step(), time.Nanosecond)),
	}
}

// bytes is what so many groups a window take. The other group is one more.
func (b groupBudget) bytes(groups int64) int64 { return b.windows * (groups + 1) * b.group }

// fits is the largest number of groups a window that takes no more.
func (b groupBudget) fits(bytes int64) int64 { return bytes/(b.windows*b.group) - 1 }

// budget checks `memory` of the window.
func (k *checker) budget(s *laidStep) {
	w := s.Window
	if !w.Memory.IsSet() {
		return
	}
	cell, err := k.c.cellBytes(s.in, k.l.windowConfig())
	if err != nil {
		return // the aggregates are wrong, which is reported
	}
	b := k.l.groupBudget(cell)
	fits := b.fits(w.Memory.Value)
	switch {
	case fits < 1:
		k.report(w.Memory.At, 1, "`memory` has no room for a single group: %d windows of a task are held at once, each takes %d B a group", b.windows, b.group)
	case !w.MaxGroups.IsSet():
		k.report(w.Memory.At, 1, "nothing bounds the groups of a window: add `max_groups`; %d fit into %s", fits, sizeText(w.Memory.Value))
	case b.bytes(w.MaxGroups.Value) > w.Memory.Value:
		k.report(w.MaxGroups.At, 1, "%d groups of %d B in %d windows take %s, `memory` is %s: %d groups fit", w.MaxGroups.Value, b.group, b.windows,
			sizeText(b.bytes(w.MaxGroups.Value)), sizeText(w.Memory.Value), fits)
	}
}

// budgetText describes the limit.
func (e *explainer) budgetText(b *builder) string {
	w := e.window()
	g := e.l.groupBudget(e.cellBytes(b))
	text := fmt.Sprintf("at most %d groups a window, the rest counted in one more: about %s a task", w.MaxGroups.Value, sizeText(g.bytes(w.MaxGroups.Value)))
	if w.Memory.IsSet() {
		text += " of " + sizeText(w.Memory.Value)
	}
	return text
}

func sizeText(bytes int64) string {
	switch {
	case bytes >= 1<<30 && bytes%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", bytes>>30)
	case bytes >= 10<<20 || bytes >= 1<<20 && bytes%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", (bytes+1<<20-1)>>20)
	}
	return fmt.Sprintf("%d KiB", (bytes+1<<10-1)>>10)
}
