package window

// portion is how many rows go through the passes at once: enough that the cache misses of one pass overlap, few enough
// that the scratch memory stays in the nearest cache.
const portion = 256

// admitted are the rows of a portion that some pane accepts, in their order.
type admitted struct {
	rows   []int32
	owners []*pane
	ids    []uint32 // groups, once they are resolved

	// Of one pane, when the portion has rows of several.
	runRows []int32
	runIDs  []uint32
}

func newAdmitted() admitted {
	return admitted{
		rows: make([]int32, 0, portion), owners: make([]*pane, 0, portion), ids: make([]uint32, portion),
		runRows: make([]int32, 0, portion), runIDs: make([]uint32, 0, portion),
	}
}

func (a *admitted) reset() { a.rows, a.owners = a.rows[:0], a.owners[:0] }

func (a *admitted) add(row int, p *pane) {
	a.rows, a.owners = append(a.rows, int32(row)), append(a.owners, p)
}

// byPane calls visit once for each pane with its rows and their groups. The order within a pane is kept.
func (a *admitted) byPane(visit func(p *pane, rows []int32, ids []uint32)) {
	ids := a.ids[:len(a.rows)]
	if len(a.rows) > 0 && allOf(a.owners, a.owners[0]) {
		visit(a.owners[0], a.rows, ids)
		return
	}
	for first, p := range a.owners {
		if p == nil {
			continue
		}
		a.runRows, a.runIDs = a.runRows[:0], a.runIDs[:0]
		for i := first; i < len(ids); i++ {
			if a.owners[i] == p {
				a.owners[i] = nil
				a.runRows, a.runIDs = append(a.runRows, a.rows[i]), append(a.runIDs, ids[i])
			}
		}
		visit(p, a.runRows, a.runIDs)
	}
}

func allOf(owners []*pane, p *pane) bool {
	for _, o := range owners {
		if o != p {
			return false
		}
	}
	return true
}
