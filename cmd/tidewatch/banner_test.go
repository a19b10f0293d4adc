package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/engine"
)

// TestWhatTheBannerProposesHasSomethingToShow: no question about what no demo sends or no pipeline computes.
func TestWhatTheBannerProposesHasSomethingToShow(t *testing.T) {
	const hosts, calls, send, archive = "query host-cpu", "query api-activity", "gen --scenario", "duckdb"
	for _, c := range []struct {
		demo, plans string
		want        []string
	}{
		{"self", "host-cpu api-activity archive.metrics archive.security", nil},
		{"none", "host-cpu archive.metrics", []string{send}},
		{"host,sim", "host-cpu api-activity", []string{hosts}},
		{"sim", "mine", nil},
		{"cloudtrail", "host-cpu api-activity archive.metrics", []string{calls}},
	} {
		s := &started{upFlags: &upFlags{dir: usualFolder, demo: strings.Split(c.demo, ",")}, worker: &worker{}}
		for name := range strings.FieldsSeq(c.plans) {
			s.plans = append(s.plans, &engine.Plan{Pipeline: name})
		}
		all := strings.Join(s.next(), "\n")
		for _, part := range []string{hosts, calls, send, archive} {
			wanted := slices.Contains(c.want, part)
			if strings.Contains(all, part) != wanted {
				t.Errorf("--demo %s with %s proposes:\n%s\nwant of %q: %v", c.demo, c.plans, all, part, wanted)
			}
		}
	}
}

func TestHasArchive(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "topic=metrics", "hour=10")
	if hasArchive(filepath.Join(dir, "none")) || hasArchive(dir) {
		t.Error("there is no file")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "part.tmp"), nil, 0o600); err != nil || hasArchive(dir) {
		t.Errorf("an unfinished file is none of the archive: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "0-1.parquet"), nil, 0o600); err != nil || !hasArchive(dir) {
		t.Errorf("the file is not found: %v", err)
	}
}
