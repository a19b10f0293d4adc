package window

// Refresh implements stream.Refresher.
func (t *Tumbling) Refresh() { t.refresh() }

// Refresh implements stream.Refresher.
func (m *Merge) Refresh() { m.refresh() }

// Refresh implements stream.Refresher: the next stage has dropped partials, and gets all that is held.
func (f *Fold) Refresh() {
	for _, p := range f.list {
		p.again = true
	}
}

// refresh makes every slot of every window dirty, closed ones included. Slots without rows emit nothing.
func (ps *panes) refresh() {
	for _, p := range ps.list {
		p.dirty = *allSlots()
	}
}
