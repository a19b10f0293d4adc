package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// RecordPage is a part of the rejected records, those with the newest letters first.
type RecordPage struct {
	Records []*DeadRecord // Raw has the beginning only, see Size
	Cursor  string        // where the next page begins; "" if there is nothing before this one
	Scanned int           // letters and notes that were looked at
	OnTopic int64         // offsets that the topic holds
}

// Backwards chooses rejected records.
type Backwards struct {
	Cursor string                 // of the page before; "" is the end of the topic
	Limit  int                    // records that pass
	Budget int                    // letters that are looked at
	Passes func(*DeadRecord) bool // nil takes all
}

const (
	// blockLetters is how many letters of a partition are read at once.
	blockLetters = 500
	// siblingLetters is how far behind the end of a page is looked at least for other letters about its records: pipelines that
	// read a topic reject a record at about the same time.
	siblingLetters = 200
	// beginningBytes is what a page keeps of a value.
	beginningBytes = 1024
)

// DeadRecordsBefore reads rejected records from the newest letter on. A record is on one page only, however many letters are
// about it: the first of them that lets it pass decides. Its letters that lie further behind are not on the page, see
// FindDeadRecord. A cursor that is none of ours is a Reject error; errors are Retry where the cluster is away.
func DeadRecordsBefore(ctx context.Context, c kafkaclient.Config, q Backwards) (RecordPage, error) {
	opts, err := c.Options(nil)
	if err != nil {
		return RecordPage{}, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return RecordPage{}, fmt.Errorf("read dead letters: %w", err)
	}
	defer client.Close()
	spans, err := letterSpans(ctx, client)
	if err != nil {
		return RecordPage{}, err
	}
	b := backwards{opts: opts, q: q, known: newGathering(), shown: map[*DeadRecord]bool{}}
	for _, s := range spans {
		b.page.OnTopic += s.end - s.start
	}
	if err := b.place(ctx, spans); err != nil {
		return RecordPage{}, err
	}
	return b.page, b.fill(ctx)
}

// backwards merges partitions from their ends.
type backwards struct {
	opts  []kgo.Opt
	q     Backwards
	tails []tail
	known *gathering
	shown map[*DeadRecord]bool // on this page, or on one before
	page  RecordPage
}

// tail is a partition that is read backwards.
type tail struct {
	span                  // end moves down with every letter that was looked at
	top     int64         // the end when the first page was read
	low     int64         // where the block in memory begins
	letters []*kgo.Record // the block, oldest first
}

// place applies the cursor. What lies behind it was looked at for the pages before: it tells which records were on them, and
// what was done about others. Letters that have come since the first page are on none.
func (b *backwards) place(ctx context.Context, spans []span) error {
	places, err := parseCursor(b.q.Cursor)
	if err != nil {
		return err
	}
	for _, s := range spans {
		t := tail{span: s, top: s.end}
		if at, ok := places[s.partition]; ok {
			t.end, t.top = max(s.start, min(s.end, at.end)), min(s.end, at.top)
		}
		t.low = t.end
		b.tails = append(b.tails, t)
		if t.end < s.end {
			if err := b.before(ctx, span{s.partition, t.end, s.end}, t.top); err != nil {
				return err
			}
		}
	}
	for _, d := range b.known.records {
		b.known.note(d)
		b.shown[d] = b.passes(d)
	}
	return nil
}

// before reads what the pages before have looked at.
func (b *backwards) before(ctx context.Context, s span, top int64) error {
	return readSpan(ctx, b.opts, s, func(r *kgo.Record) error {
		if r.Offset >= top && handlingOf(r) == nil {
			return nil
		}
		if d, _ := b.known.take(r); d != nil {
			d.Key, d.Raw = nil, nil
		}
		return nil
	})
}

func (b *backwards) passes(d *DeadRecord) bool { return b.q.Passes == nil || b.q.Passes(d) }

func (b *backwards) fill(ctx context.Context) error {
	for len(b.page.Records) < b.q.Limit {
		t, err := b.newest(ctx)
		if err != nil {
			return err
		}
		if t == nil {
			break
		}
		r := t.letters[len(t.letters)-1]
		t.letters, t.end = t.letters[:len(t.letters)-1], r.Offset
		d, _ := b.known.take(r)
		b.known.note(d)
		d.Key, d.Raw = nil, slices.Clone(r.Value[:min(len(r.Value), beginningBytes)]) // the rest of what was fetched can go
		if !b.shown[d] && b.passes(d) {
			b.shown[d] = true
			b.page.Records = append(b.page.Records, d)
		}
	}
	b.page.Cursor = b.cursor()
	return b.siblings(ctx)
}

// siblings looks behind the page for letters about its records.
func (b *backwards) siblings(ctx context.Context) error {
	of := map[recordID]bool{}
	for _, d := range b.page.Records {
		of[d.id()] = d.Offset >= 0
	}
	for i := range b.tails {
		t := &b.tails[i]
		if len(t.letters) < siblingLetters && t.low > t.start {
			if err := b.load(ctx, t); err != nil {
				return err
			}
		}
		for _, r := range slices.Backward(t.letters) {
			if d, _ := letter(r); of[d.id()] {
				b.known.take(r)
			}
		}
	}
	for _, d := range b.page.Records {
		b.known.note(d)
	}
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
		if len(t.letters) > 0 && (best == nil || t.letters[len(t.letters)-1].Timestamp.After(best.letters[len(best.letters)-1].Timestamp)) {
			best = t
		}
	}
	return best, nil
}

// load reads the block before the one in memory. The notes in it are about letters before them.
func (b *backwards) load(ctx context.Context, t *tail) error {
	block := span{t.partition, max(t.start, t.low-blockLetters), t.low}
	var letters []*kgo.Record
	err := readSpan(ctx, b.opts, block, func(r *kgo.Record) error {
		b.page.Scanned++
		if handlingOf(r) != nil {
			b.known.take(r)
		} else {
			letters = append(letters, r)
		}
		return nil
	})
	t.low, t.letters = block.start, append(letters, t.letters...)
	return err
}

// cursor says for each partition where the next page begins, and where the first one began.
func (b *backwards) cursor() string {
	var parts []string
	more := false
	for i := range b.tails {
		t := &b.tails[i]
		if len(t.letters) == 0 {
			t.end = t.low
		}
		more = more || t.end > t.start
		parts = append(parts, fmt.Sprintf("%d:%d:%d", t.partition, t.end, t.top))
	}
	if !more {
		return ""
	}
	return strings.Join(parts, ",")
}

// cursorPlace is what a cursor says of a partition.
type cursorPlace struct{ end, top int64 }

func parseCursor(text string) (map[int32]cursorPlace, error) {
	places := map[int32]cursorPlace{}
	if text == "" {
		return places, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		numbers := strings.Split(part, ":")
		if len(numbers) != 3 {
			return nil, wrongCursor(text)
		}
		partition, err := strconv.ParseInt(numbers[0], 10, 32)
		end, err2 := strconv.ParseInt(numbers[1], 10, 64)
		top, err3 := strconv.ParseInt(numbers[2], 10, 64)
		if errors.Join(err, err2, err3) != nil || partition < 0 || end < 0 || top < end {
			return nil, wrongCursor(text)
		}
		places[int32(partition)] = cursorPlace{end, top}
	}
	return places, nil
}

func wrongCursor(text string) error {
	return stream.Mark(stream.Reject, fmt.Errorf("read cursor: %q is none of ours: take next_cursor of the page before", text))
}
