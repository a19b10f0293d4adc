package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/oracle"
)

const deadLetters = "tidewatch.dead-letters"

// verdict is what a run has shown. What is lost or doubled has an example each.
type verdict struct {
	Records  int
	Lost     int
	Doubled  int
	Wrong    int // there, with another content
	Examples []string
}

func (v *verdict) good() bool { return v.Records > 0 && v.Lost+v.Doubled+v.Wrong == 0 }

func (v *verdict) say(count *int, format string, args ...any) {
	if *count++; len(v.Examples) < 12 {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// equal compares what came out, by its names, with what must.
func equal[K comparable, V comparable](v *verdict, what string, want, got map[K]V) {
	for k, w := range want {
		g, ok := got[k]
		switch {
		case !ok:
			v.say(&v.Lost, "%s: %v is missing: %v", what, k, w)
		case g != w:
			v.say(&v.Wrong, "%s: %v is %v, must be %v", what, k, g, w)
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			v.say(&v.Doubled, "%s: %v = %v is too much", what, k, g)
		}
	}
}

// compare reads every output, of workers that have ended.
func (r *run) compare(ctx context.Context) (*verdict, error) {
	v := &verdict{Records: len(r.log.plain) + len(r.log.keyed)}
	history, err := r.history(ctx)
	if err != nil {
		return nil, err
	}
	truths := r.truths(history)
	for name, t := range truths {
		if err := t.telling(); err != nil {
			return nil, fmt.Errorf("the load of %s shows nothing: %w", name, err)
		}
	}
	for _, name := range []string{"plain", "keyed"} {
		got, err := r.rollups(ctx, name)
		if err != nil {
			return nil, err
		}
		equal(v, "Redis "+name, truths[name].whole(truths[name].rollups), truths[name].whole(got))
		if err := r.files(ctx, v, name, truths[name]); err != nil {
			return nil, err
		}
	}
	return v, errors.Join(r.archive(ctx, v, truths["plain"]), r.decisions(ctx, v, truths, history),
		r.topics(ctx, v, truths), r.ledger(ctx, v, truths), r.audit(ctx, v, history))
}

// rollups asks the command line for what Redis holds.
func (r *run) rollups(ctx context.Context, pipeline string) (map[cell]row, error) {
	text, err := r.bed.Run(ctx, "query", pipeline, "--last", "7d", "-o", "csv", "-q")
	if err != nil {
		return nil, err
	}
	cr := csv.NewReader(strings.NewReader(string(text)))
	head, err := cr.Read()
	if err != nil {
		return nil, fmt.Errorf("read rollups of %s: %w", pipeline, err)
	}
	rows := map[cell]row{}
	for {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read rollups of %s: %w", pipeline, err)
		}
		at := func(name string) string { return rec[slices.Index(head, name)] }
		number := func(name string) int64 {
			f, _ := strconv.ParseFloat(at(name), 64) // what is no number is not equal either
			return int64(f)
		}
		t, err := time.Parse(time.RFC3339Nano, at("time"))
		if err != nil {
			return nil, fmt.Errorf("read rollups of %s: %w", pipeline, err)
		}
		rows[cell{t.UnixMilli(), at("host")}] = row{number("samples"), number("total"), number("least"), number("most")}
	}
}

// query runs SQL in DuckDB over files, none if there are none.
func (r *run) query(ctx context.Context, tree, sql string, rows any) error {
	found, err := filepath.Glob(filepath.Join(r.objects(), tree, "*", "*", "*.parquet"))
	if err != nil || len(found) == 0 {
		return err
	}
	o, err := oracle.New(ctx, r.dir, map[string]any{"files": filepath.Join(r.objects(), tree, "*", "*", "*.parquet")})
	if err != nil {
		return err
	}
	return o.Query(ctx, sql, rows)
}

// files compares the files of rollups. A row that is there twice is doubled.
func (r *run) files(ctx context.Context, v *verdict, name string, t *truth) error {
	var got []struct {
		T, S, A, L, M int64
		H             string
	}
	err := r.query(ctx, "rollups/pipeline="+name+"/output=rollup", "SELECT epoch_ns(window_start) // 1000000 AS t, host AS h, samples AS s, total::BIGINT AS a, "+
		"least::BIGINT AS l, most::BIGINT AS m FROM read_parquet('{files}')", &got)
	if err != nil {
		return err
	}
	rows := map[cell]row{}
	for _, g := range got {
		c := cell{g.T, g.H}
		if _, twice := rows[c]; twice && !t.split[c] {
			v.say(&v.Doubled, "files of %s: %v is there twice", name, c)
		}
		rows[c] = row{g.S, g.A, g.L, g.M}
	}
	equal(v, "files of "+name, t.whole(t.files), t.whole(rows))
	return nil
}

// whole leaves out what is split.
func (t *truth) whole(rows map[cell]row) map[cell]row {
	maps.DeleteFunc(rows, func(c cell, _ row) bool { return t.split[c] })
	return rows
}

// archived is a row of the raw archive.
type archived struct {
	time  int64
	host  string
	value int64
}

func (r *run) archive(ctx context.Context, v *verdict, t *truth) error {
	var got []struct {
		P, O, T, V int64
		H          string
	}
	err := r.query(ctx, "raw/topic="+r.plain, "SELECT _partition AS p, _offset AS o, epoch_ns(time) // 1000000 AS t, host AS h, value::BIGINT AS v FROM read_parquet('{files}')", &got)
	if err != nil {
		return err
	}
	rows, want := map[string]archived{}, map[string]archived{}
	for _, g := range got {
		place := fmt.Sprintf("%d/%d", g.P, g.O)
		if _, twice := rows[place]; twice {
			v.say(&v.Doubled, "archive: %s is there twice", place)
		}
		rows[place] = archived{g.T, g.H, g.V}
	}
	for place, l := range t.raw {
		want[place] = archived{l.time, l.host, l.number}
	}
	equal(v, "archive", want, rows)
	return nil
}

// topics compares dead letters and late events: at least once each, repeats dropped by their headers.
func (r *run) topics(ctx context.Context, v *verdict, truths map[string]*truth) error {
	letters, err := readTopic(ctx, r.lab.Kafka.Brokers(), deadLetters)
	if err != nil {
		return err
	}
	got, want := map[string]bool{}, map[string]bool{}
	for _, rec := range letters {
		h := headersOf(rec)
		if topic := h["tidewatch.topic"]; (topic == r.plain || topic == r.keyed) && h["tidewatch.kind"] != "" { // else it says that a letter was handled
			got[h["tidewatch.kind"]+" "+h["tidewatch.pipeline"]+" "+h["tidewatch.partition"]+"/"+h["tidewatch.offset"]] = true
		}
	}
	for name, t := range truths {
		for place, kind := range t.letters {
			want[kind+" "+name+" "+place] = true
			if name == "plain" && kind == "rejected" { // the archive has no window to fall over anything
				want[kind+" archive."+r.plain+" "+place] = true
			}
		}
	}
	for _, l := range r.log.keyed {
		if l.late && l.fat && r.narrow {
			want["parked keyed "+l.place()] = true
		}
	}
	equal(v, "dead letters", want, got)
	return r.lates(ctx, v)
}

func (r *run) lates(ctx context.Context, v *verdict) error {
	records, err := readTopic(ctx, r.lab.Kafka.Brokers(), r.late)
	if err != nil {
		return err
	}
	got, want := map[string]int64{}, map[string]int64{}
	for _, rec := range records {
		h := headersOf(rec)
		var e struct {
			Value float64 `json:"value"`
		}
		if err := json.Unmarshal(rec.Value, &e); err != nil {
			v.say(&v.Wrong, "late events: %s: %v", rec.Value, err)
		}
		task := h["tidewatch.task"]
		got[task[strings.LastIndex(task, "/")+1:]+"/"+h["tidewatch.offset"]] = int64(e.Value)
	}
	for _, l := range r.log.keyed {
		if l.late {
			want[l.place()] = l.number
		}
	}
	equal(v, "late events", want, got)
	return nil
}

func headersOf(rec *kgo.Record) map[string]string {
	h := map[string]string{}
	for _, x := range rec.Headers {
		h[x.Key] = string(x.Value)
	}
	return h
}

// ledger compares the buckets that the rows hold, and that they add up to the offsets passed.
func (r *run) ledger(ctx context.Context, v *verdict, truths map[string]*truth) error {
	conn, err := pgx.Connect(ctx, r.lab.Postgres.DSN(r.name))
	if err != nil {
		return fmt.Errorf("read rows of tasks: %w", err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT task, record FROM tidewatch.tidewatch_tasks WHERE stage IN ('fold', 'main')")
	if err != nil {
		return fmt.Errorf("read rows of tasks: %w", err)
	}
	got := map[string]map[string]int64{"plain": {}, "keyed": {}}
	var task string
	var record []byte
	_, err = pgx.ForEachRow(rows, []any{&task, &record}, func() error {
		return r.ledgerRow(v, task, record, got)
	})
	if err != nil {
		return fmt.Errorf("read rows of tasks: %w", err)
	}
	for name, t := range truths {
		want := t.ledger
		if r.versions && name == "plain" {
			continue
		}
		if r.loose { // whether an event revised depends on when its window was closed
			want = accepted(want)
			got[name] = accepted(got[name])
		}
		equal(v, "ledger of "+name, want, got[name])
	}
	return nil
}

// ledgerRow adds the buckets of one task.
func (r *run) ledgerRow(v *verdict, task string, record []byte, into map[string]map[string]int64) error {
	var rec struct {
		At struct {
			Offset int64 `json:"offset"`
		} `json:"at"`
		First  int64             `json:"first"`
		Ledger []int64           `json:"ledger"`
		Staged []json.RawMessage `json:"staged"`
	}
	if len(record) == 0 { // nothing is claimed yet
		return nil
	}
	if err := json.Unmarshal(record, &rec); err != nil {
		return fmt.Errorf("decode the row of %s: %w", task, err)
	}
	pipeline, _, _ := strings.Cut(task, "@")
	if into[pipeline] == nil {
		return nil
	}
	var sum int64
	for i, n := range rec.Ledger {
		if sum += n; n != 0 {
			into[pipeline][[]string{"rejected", "quarantined", "filtered", "duplicate", "late", "revised", "counted", "gap"}[i]] += n
		}
	}
	if sum != rec.At.Offset-rec.First {
		v.say(&v.Wrong, "ledger of %s: %d for %d offsets", task, sum, rec.At.Offset-rec.First)
	}
	return nil
}

// accepted adds up what was counted, in time or as a revision.
func accepted(ledger map[string]int64) map[string]int64 {
	sum := maps.Clone(ledger)
	sum["counted"] += sum["revised"]
	delete(sum, "revised")
	return sum
}
