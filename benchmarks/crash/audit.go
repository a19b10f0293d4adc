package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The outputs of a task follow from the log, so a breach of the protocol may leave them right by luck. The audit looks at the
// protocol itself: PostgreSQL keeps every state of every row, and nothing may be seen that no row had named before.

// auditSQL has the server keep every version of the rows. It fails while the table is not there yet.
const auditSQL = `
CREATE TABLE tidewatch.crash_audit (seq bigint GENERATED ALWAYS AS IDENTITY, task text, epoch bigint, owner text, record bytea, at timestamptz);
CREATE FUNCTION tidewatch.crash_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO tidewatch.crash_audit (task, epoch, owner, record, at) VALUES (NEW.task, NEW.epoch, NEW.owner, NEW.record, clock_timestamp());
	RETURN NULL;
END $$;
CREATE TRIGGER crash_note AFTER INSERT OR UPDATE ON tidewatch.tidewatch_tasks FOR EACH ROW EXECUTE FUNCTION tidewatch.crash_note();`

// watch begins the audit as soon as the first worker has made the tables.
func (r *run) watch(ctx context.Context) error {
	deadline := time.Now().Add(patience)
	for {
		err := r.tryWatch(ctx)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		sleepUntil(ctx, time.Now().Add(20*time.Millisecond))
	}
}

func (r *run) tryWatch(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, r.lab.Postgres.DSN(r.name))
	if err != nil {
		return fmt.Errorf("begin the audit: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, auditSQL); err != nil {
		return fmt.Errorf("begin the audit: %w", err)
	}
	return nil
}

// version is one state of a row.
type version struct {
	task   string
	epoch  int64
	owner  string
	record []byte
	at     time.Time
	said   claimed
}

// claimed is what the audit reads of a record.
type claimed struct {
	At struct {
		Offset int64  `json:"offset"`
		Step   uint64 `json:"step"`
	} `json:"at"`
	Control *struct {
		Kind string `json:"kind"`
		At   struct {
			Offset int64  `json:"offset"`
			Step   uint32 `json:"step"`
		} `json:"at"`
		Mark int64 `json:"mark"` // nanoseconds, like Cut
		Cut  int64 `json:"cut"`
	} `json:"control"`
	Staged []struct {
		Receipt struct {
			Files []struct {
				Key string `json:"key"`
			} `json:"files"`
		} `json:"receipt"`
	} `json:"staged"`
}

// place says which task the row is of.
func (h *version) place() (pipeline, stage, partition string) {
	part := strings.Split(h.task, "/")
	pipeline, _, _ = strings.Cut(part[0], "@")
	return pipeline, part[1], part[len(part)-1]
}

// audit judges the protocol.
func (r *run) audit(ctx context.Context, v *verdict, history []*version) error {
	last := map[string]*version{}
	for _, h := range history {
		if before := last[h.task]; before != nil {
			judgeStep(v, before, h)
		}
		last[h.task] = h
	}
	if err := r.copies(v, history); err != nil || r.lossy {
		return err
	}
	return errors.Join(r.seen(v, history), r.marks(ctx, v, history))
}

func (r *run) history(ctx context.Context) (all []*version, err error) {
	conn, err := pgx.Connect(ctx, r.lab.Postgres.DSN(r.name))
	if err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT task, epoch, owner, record, at FROM tidewatch.crash_audit ORDER BY seq")
	if err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*version, error) {
		h := &version{}
		if err := row.Scan(&h.task, &h.epoch, &h.owner, &h.record, &h.at); err != nil || len(h.record) == 0 {
			return h, err
		}
		if err := json.Unmarshal(h.record, &h.said); err != nil {
			return nil, fmt.Errorf("decode a row of %s: %w", h.task, err)
		}
		return h, nil
	})
}

// judgeStep says what one version of a row may become: the same under another owner, or the next epoch of the same one.
func judgeStep(v *verdict, before, h *version) {
	switch {
	case h.epoch == before.epoch && string(h.record) != string(before.record):
		v.say(&v.Wrong, "audit: epoch %d of %s has two contents", h.epoch, h.task)
	case h.epoch == before.epoch:
	case h.epoch != before.epoch+1:
		v.say(&v.Wrong, "audit: epoch %d of %s follows epoch %d", h.epoch, h.task, before.epoch)
	case h.owner != before.owner && (h.said.Control == nil || h.said.Control.Kind == "tick"):
		v.say(&v.Wrong, "audit: epoch %d of %s is claimed by %s, but %s has taken it over", h.epoch, h.task, h.owner, before.owner)
	case h.said.At.Offset < before.said.At.Offset:
		v.say(&v.Wrong, "audit: epoch %d of %s goes back from offset %d to %d", h.epoch, h.task, before.said.At.Offset, h.said.At.Offset)
	}
}

// copies asks of every copy of a control record that the rows know it: it may have taken effect before a fail-over has lost its
// claim.
func (r *run) copies(v *verdict, history []*version) error {
	claimed := map[string]int64{} // marks
	for _, h := range history {
		if k := h.said.Control; k != nil {
			claimed[fmt.Sprintf("%s/controls/%016x%08x", h.task, k.At.Offset, k.At.Step)] = k.Mark
		}
	}
	state := filepath.Join(r.objects(), "state")
	var failed error
	err := visible(state, func(path string, _ time.Time) {
		name := strings.TrimPrefix(path, state+"/")
		if filepath.Base(filepath.Dir(name)) != "controls" {
			return
		}
		var k struct {
			Mark int64 `json:"mark"`
		}
		text, err := os.ReadFile(path)
		if err := errors.Join(err, json.Unmarshal(text, &k)); err != nil {
			failed = errors.Join(failed, fmt.Errorf("read a copy of a control record: %w", err))
		}
		if mark, ok := claimed[name]; !ok || mark != k.Mark {
			v.say(&v.Wrong, "audit: the rows say nothing of the control record %s, which has taken effect", name)
		}
	})
	return errors.Join(err, failed)
}

// coarse is how far a file's time may lie behind the clock: the kernel takes that of its last tick.
const coarse = 10 * time.Millisecond

// seen asks of every visible file that a claim had named it before it appeared.
func (r *run) seen(v *verdict, history []*version) error {
	named := map[string]time.Time{}
	for _, h := range history {
		for _, s := range h.said.Staged {
			for _, f := range s.Receipt.Files {
				if _, ok := named[f.Key]; !ok {
					named[f.Key] = h.at
				}
			}
		}
	}
	for _, tree := range []string{"raw", "rollups", "provisional"} {
		err := visible(filepath.Join(r.objects(), tree), func(path string, since time.Time) {
			key := strings.TrimPrefix(path, r.objects()+"/")
			if at, ok := named[key]; !ok || since.Add(coarse).Before(at) {
				v.say(&v.Wrong, "audit: %s is visible since %s, its claim is of %s", key, since, at)
			}
		})
		if err != nil {
			return fmt.Errorf("list visible files: %w", err)
		}
	}
	return nil
}

// visible calls visit with every file of a tree, which need not be there.
func visible(tree string, visit func(path string, since time.Time)) error {
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || d.IsDir():
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		visit(path, info.ModTime())
		return nil
	})
}

// progressed is a mark step: version of the pipeline, source partition, offset and step.
type progressed struct {
	version   string
	partition string
	offset    uint64
	step      uint64
}

// marks asks of every mark in an internal topic that a claim stood at it before it was written.
func (r *run) marks(ctx context.Context, v *verdict, history []*version) error {
	reached, ours := map[progressed]time.Time{}, map[string]bool{}
	for _, h := range history {
		part := strings.Split(h.task, "/")
		_, version, _ := strings.Cut(part[0], "@")
		ours[version] = true
		p := progressed{version, part[len(part)-1], uint64(h.said.At.Offset), h.said.At.Step}
		if _, ok := reached[p]; !ok && part[1] == "fold" {
			reached[p] = h.at
		}
	}
	topics, err := kadm.NewClient(r.bed.Client).ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	for _, topic := range topics.Names() {
		version, internal := strings.CutPrefix(topic, "tidewatch.plain.fold.")
		if !internal || !ours[version] {
			continue
		}
		records, err := readTopic(ctx, r.lab.Kafka.Brokers(), topic)
		if err != nil {
			return err
		}
		for _, rec := range records {
			judgeMark(v, version, rec, reached)
		}
	}
	return nil
}

func judgeMark(v *verdict, version string, rec *kgo.Record, reached map[progressed]time.Time) {
	p, ok := markOf(rec.Value)
	if p.version = version; !ok || p.offset == 0 {
		return
	}
	if at, ok := reached[p]; !ok || rec.Timestamp.Add(time.Millisecond).Before(at) {
		v.say(&v.Wrong, "audit: the mark of partition %s at offset %d, step %d left at %s, its claim is of %s", p.partition, p.offset, p.step, rec.Timestamp, at)
	}
}

// markOf reads a record of progress: 'M', a format, and numbers (engine/rekey).
func markOf(value []byte) (p progressed, ok bool) {
	if len(value) < 2 || value[0] != 'M' {
		return p, false
	}
	value = value[2:]
	var numbers [3]uint64
	for i := range numbers {
		n, size := binary.Uvarint(value)
		if size <= 0 {
			return p, false
		}
		numbers[i], value = n, value[size:]
	}
	return progressed{partition: strconv.FormatUint(numbers[0], 10), offset: numbers[1], step: numbers[2]}, true
}
