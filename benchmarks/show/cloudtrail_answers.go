package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tidewatch/tidewatch/benchmarks/oracle"
)

// answers is what one way gives.
type answers struct {
	rollups     []byte
	transitions []byte // one line each
	finals      []byte // rows of the Parquet files, one line each
	ledger      map[string]int64
}

func hash(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// trailOrder compares the two runs of a way; hashes and numbers are those of the live one.
type trailOrder struct {
	Rollups          string `json:"rollups_sha256"`
	Rows             int    `json:"rows"`
	Equal            bool   `json:"equal"`
	TransitionsHash  string `json:"transitions_sha256"`
	Transitions      int    `json:"transitions"`
	TransitionsEqual bool   `json:"transitions_equal"`
	Finals           int    `json:"final_rows"`
	FinalsEqual      bool   `json:"final_rows_equal"`
	Ledger           int64  `json:"ledger"`
	Late             int64  `json:"late"`
	Revised          int64  `json:"revised"`
	LedgerEqual      bool   `json:"ledger_equal"`
}

func (o *trailOrder) good(records int) bool {
	return o.Rows > 0 && o.Equal && o.Transitions > 0 && o.TransitionsEqual && o.Finals > 0 && o.FinalsEqual &&
		o.Ledger == int64(records) && o.LedgerEqual
}

func (a *answers) equal(b *answers) bool {
	return bytes.Equal(a.rollups, b.rollups) && bytes.Equal(a.transitions, b.transitions) && bytes.Equal(a.finals, b.finals) && maps.Equal(a.ledger, b.ledger)
}

func (r *trailRun) compared(w *trailWay, got, want *answers) (*trailOrder, error) {
	rows, err := csv.NewReader(bytes.NewReader(got.rollups)).ReadAll()
	if err != nil {
		return nil, err
	}
	o := &trailOrder{
		Rollups: hash(got.rollups), Rows: len(rows) - 1, Equal: bytes.Equal(got.rollups, want.rollups),
		TransitionsHash: hash(got.transitions), Transitions: bytes.Count(got.transitions, []byte("\n")),
		TransitionsEqual: bytes.Equal(got.transitions, want.transitions),
		Finals:           bytes.Count(got.finals, []byte("\n")), FinalsEqual: bytes.Equal(got.finals, want.finals),
		Late: got.ledger["late"], Revised: got.ledger["revised"], LedgerEqual: maps.Equal(got.ledger, want.ledger),
	}
	for _, n := range got.ledger {
		o.Ledger += n
	}
	if !o.LedgerEqual {
		progress("%s: the ledgers differ: live %v, replayed %v", w.name, got.ledger, want.ledger)
	}
	return o, errors.Join(
		r.keepAnswers(w, "rollups", got.rollups, want.rollups), r.keepAnswers(w, "transitions", got.transitions, want.transitions),
		r.keepAnswers(w, "finals", got.finals, want.finals), counted(rows, got.ledger))
}

// keepAnswers writes both answers into the folder of the run, and tells where they differ.
func (r *trailRun) keepAnswers(w *trailWay, what string, live, replayed []byte) error {
	if line, a, b := firstDifference(live, replayed); line > 0 {
		progress("%s: %s differ from line %d on: live %q, replayed %q", w.name, what, line, a, b)
	}
	file := filepath.Join(r.live.Dir, w.name+"."+what)
	return errors.Join(os.WriteFile(file+".live", live, 0o600), os.WriteFile(file+".replayed", replayed, 0o600))
}

// firstDifference is the first line that differs, counted from 1; 0 if none does.
func firstDifference(a, b []byte) (line int, left, right string) {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range max(len(x), len(y)) {
		if i < len(x) {
			left = x[i]
		}
		if i < len(y) {
			right = y[i]
		}
		if i >= len(x) || i >= len(y) || left != right {
			return i + 1, left, right
		}
	}
	return 0, "", ""
}

// counted checks the rollups against the ledger: two equal answers may still be too small.
func counted(rows [][]string, ledger map[string]int64) error {
	column, sum := slices.Index(rows[0], "calls"), int64(0)
	if column < 0 {
		return fmt.Errorf("the rollups have no column calls, but %v", rows[0])
	}
	for _, row := range rows[1:] {
		n, err := strconv.ParseInt(row[column], 10, 64)
		if err != nil {
			return err
		}
		sum += n
	}
	if want := ledger["counted"] + ledger["revised"]; sum != want {
		return fmt.Errorf("the rollups hold %d calls, the ledger counts %d", sum, want)
	}
	return nil
}

// ask reads the rollups by the command line, the transitions from the table, and the final rows from the files.
func (s *side) ask(ctx context.Context, w *trailWay) (*answers, error) {
	var rollups []byte
	for _, span := range trailSpans() {
		text, err := s.Run(ctx, "query", w.name, "--from", span[0], "--to", span[1], "-o", "csv", "-q")
		if err != nil {
			return nil, err
		}
		if _, rest, _ := bytes.Cut(text, []byte("\n")); len(rollups) > 0 {
			text = rest // one header is enough
		}
		rollups = append(rollups, text...)
	}
	bodies, err := transitions(ctx, s.Postgres.DSN(s.database), "body->'alert'->>'pipeline' = $1", w.name)
	if err != nil {
		return nil, err
	}
	var lines bytes.Buffer
	for _, b := range bodies {
		lines.WriteString(b + "\n")
	}
	finals, err := s.finals(ctx, w)
	return &answers{rollups: rollups, transitions: lines.Bytes(), finals: finals}, err
}

// finals reads the Parquet files of the final rollups, in an order of its own.
func (s *side) finals(ctx context.Context, w *trailWay) ([]byte, error) {
	folder := filepath.Join(s.S3.Folder(), "objects", s.Bucket.Bucket, s.prefix, "rollups", "pipeline="+w.name)
	files, err := filepath.Glob(filepath.Join(folder, "*", "*", "*", "*.parquet")) // output, date, hour
	if err != nil || len(files) == 0 {
		return nil, err // nothing is final yet
	}
	o, err := oracle.New(ctx, s.Dir, map[string]any{"folder": folder})
	if err != nil {
		return nil, err
	}
	var rows []json.RawMessage
	if err := o.Query(ctx, "SELECT * FROM read_parquet('{folder}/**/*.parquet') ORDER BY ALL", &rows); err != nil {
		return nil, err
	}
	var lines bytes.Buffer
	for _, row := range rows {
		lines.Write(append(row, '\n'))
	}
	return lines.Bytes(), nil
}

// transitions reads the bodies of the transitions that a condition takes, ordered by (at, id).
func transitions(ctx context.Context, dsn, where string, args ...any) ([]string, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT body::text FROM tidewatch.tidewatch_transitions WHERE "+where+" ORDER BY at, id", args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
