package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// PlacedLetter is a dead letter and where it lies on DeadLetterTopic.
type PlacedLetter struct {
	DeadLetter
	AtPartition int32
	AtOffset    int64
}

// LetterPage is a part of the dead letters, newest first.
type LetterPage struct {
	Letters []PlacedLetter
	Cursor  string // where the next page begins; "" if there is nothing before this one
	Scanned int    // letters that were looked at
	OnTopic int64  // offsets that the topic holds
}

// Backwards chooses dead letters.
type Backwards struct {
	Cursor string                 // of the page before; "" is the end of the topic
	Limit  int                    // letters that pass
	Budget int                    // letters that are looked at
	Passes func(*DeadLetter) bool // nil takes all
}

// blockLetters is how many letters of a partition are read at once.
const blockLetters = 500

// LettersBefore reads dead letters from the newest on. Repeats within a page are dropped. A cursor that is none of ours is
// a Reject error; errors are Retry where the cluster is away.
func LettersBefore(ctx context.Context, c kafkaclient.Config, q Backwards) (LetterPage, error) {
	opts, err := c.Options(nil)
	if err != nil {
		return LetterPage{}, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return LetterPage{}, fmt.Errorf("read dead letters: %w", err)
	}
	defer client.Close()
	spans, err := letterSpans(ctx, client)
	if err != nil {
		return LetterPage{}, err
	}
	b := backwards{opts: opts, q: q}
	for _, s := range spans {
		b.page.OnTopic += s.end - s.start
	}
	if err := b.place(spans); err != nil {
		return LetterPage{}, err
	}
	return b.page, b.fill(ctx)
}

// backwards merges partitions from their ends.
type backwards struct {
	opts  []kgo.Opt
	q     Backwards
	tails []tail
	page  LetterPage
}

// tail is a partition that is read backwards.
type tail struct {
	span                   // end moves down with every letter that was looked at
	low     int64          // where the block in memory begins
	letters []PlacedLetter // the block, oldest first
}

// place applies the cursor.
func (b *backwards) place(spans []span) error {
	ends, err := parseCursor(b.q.Cursor)
	if err != nil {
		return err
	}
	for _, s := range spans {
		if end, ok := ends[s.partition]; ok {
			s.end = min(s.end, end)
		}
		b.tails = append(b.tails, tail{span: s, low: s.end})
	}
	return nil
}

func (b *backwards) fill(ctx context.Context) error {
	seen := map[letterID]bool{}
	for len(b.page.Letters) < b.q.Limit {
		t, err := b.newest(ctx)
		if err != nil {
			return err
		}
		if t == nil {
			break
		}
		l := t.letters[len(t.letters)-1]
		t.letters, t.end = t.letters[:len(t.letters)-1], l.AtOffset
		id := l.id()
		if (b.q.Passes == nil || b.q.Passes(&l.DeadLetter)) && (l.Offset < 0 || !seen[id]) {
			b.page.Letters = append(b.page.Letters, l)
		}
		seen[id] = true
	}
	b.page.Cursor = b.cursor()
	return nil
}

// newest is the partition whose last letter is the newest, nil if there is none or the budget is spent.
func (b *backwards) newest(ctx context.Context) (best *tail, err error) {
	for i := range b.tails {
		t := &b.tails[i]
		for len(t.letters) == 0 && t.low > t.start {
			if b.page.Scanned >= b.q.Budget {
				return nil, nil // this partition may hold a newer one than the others
			}
			if err := b.load(ctx, t); err != nil {
				return nil, err
			}
		}
		if len(t.letters) > 0 && (best == nil || t.letters[len(t.letters)-1].Written.After(best.letters[len(best.letters)-1].Written)) {
			best = t
		}
	}
	return best, nil
}

// load reads the block before the one that was used up.
func (b *backwards) load(ctx context.Context, t *tail) error {
	block := span{t.partition, max(t.start, t.low-blockLetters), t.low}
	t.low, t.end = block.start, block.end
	err := readSpan(ctx, b.opts, block, func(r *kgo.Record) error {
		b.page.Scanned++
		if !isNote(r) {
			t.letters = append(t.letters, PlacedLetter{letter(r), r.Partition, r.Offset})
		}
		return nil
	})
	if len(t.letters) == 0 {
		t.end = block.start
	}
	return err
}

func (b *backwards) cursor() string {
	var parts []string
	more := false
	for i := range b.tails {
		t := &b.tails[i]
		if len(t.letters) == 0 {
			t.end = t.low
		}
		more = more || t.end > t.start
		parts = append(parts, fmt.Sprintf("%d:%d", t.partition, t.end))
	}
	if !more {
		return ""
	}
	return strings.Join(parts, ",")
}

func parseCursor(text string) (map[int32]int64, error) {
	ends := map[int32]int64{}
	if text == "" {
		return ends, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		p, o, _ := strings.Cut(part, ":")
		partition, err := strconv.ParseInt(p, 10, 32)
		offset, err2 := strconv.ParseInt(o, 10, 64)
		if errors.Join(err, err2) != nil || partition < 0 || offset < 0 {
			return nil, stream.Mark(stream.Reject, fmt.Errorf("read cursor: %q is none of ours: take next_cursor of the page before", text))
		}
		ends[int32(partition)] = offset
	}
	return ends, nil
}
