package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// outcome is a run as it stands in the log.
type outcome struct {
	Scenario string         `json:"scenario"`
	Seed     uint64         `json:"seed"`
	Commit   string         `json:"commit"`
	At       time.Time      `json:"at"`
	Kills    int            `json:"kills"`
	Records  int            `json:"records"`
	Lost     int            `json:"lost"`
	Doubled  int            `json:"doubled"`
	Wrong    int            `json:"wrong"`
	CatchUp  float64        `json:"catch_up_s"`
	Seconds  float64        `json:"seconds"`
	Points   map[string]int `json:"points,omitempty"` // at which something happened, and how often
	Failed   string         `json:"failed,omitempty"` // why; "" if all was equal
}

// history is the lines of a log, each of them JSON: what this command and those before it have seen.
type history[T any] struct {
	file string // "": nothing is kept
	all  []T
}

// openHistory reads the log, which need not be there yet.
func openHistory[T any](file string) (*history[T], error) {
	h := &history[T]{file: file}
	if file == "" {
		return h, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var one T
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, fmt.Errorf("%s:%d: %w; remove the line", file, n, err)
		}
		h.all = append(h.all, one)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return h, nil
}

// add appends a line at once: what is known then outlives a command that is aborted.
func (h *history[T]) add(one T) error {
	h.all = append(h.all, one)
	if h.file == "" {
		return nil
	}
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(h.file), 0o755); err != nil { //nolint:gosec // results are for everybody
		return err
	}
	f, err := os.OpenFile(h.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // results are for everybody
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
