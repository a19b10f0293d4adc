package main

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewatch/tidewatch/sinks/redis"
)

// TestPartsToRefill: those of the newest versions, all or of the pipelines that are named; nobody writes the others.
func TestPartsToRefill(t *testing.T) {
	old, cpu := "cpu@1/main/metrics.A/0 load", "cpu@2/main/metrics.A/0 load"
	past, logins := "cpu@2/main/metrics.A/0 load of cpu@1", "logins@7/main/security.B/3 rate"
	all := func() []redis.Noting {
		return ofNewest([]redis.Noting{{Part: old, Since: "x"}, {Part: cpu, Since: "x"}, {Part: past, Since: "x"}, {Part: logins}},
			[]redis.Output{{Pipeline: "cpu", Instance: "cpu@2"}, {Pipeline: "logins", Instance: "logins@7"}})
	}
	for _, tc := range []struct {
		pipelines []string
		want      []string
	}{
		{nil, []string{cpu, past, logins}},
		{[]string{"cpu"}, []string{cpu, past}},
		{[]string{"logins", "cpu"}, []string{cpu, past, logins}},
	} {
		parts, err := partsOf(all(), tc.pipelines)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range parts {
			got = append(got, p.Part)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%v: %s", tc.pipelines, diff)
		}
	}
	for _, pipelines := range [][]string{{"nobody"}, {"cpu", "nobody"}} {
		var c coded
		if _, err := partsOf(all(), pipelines); !errors.As(err, &c) || c.code != exitNotFound {
			t.Errorf("%v: %v", pipelines, err)
		}
	}
	if _, err := partsOf(nil, nil); err == nil {
		t.Error("an empty Redis has nothing to forget, and that is no success")
	}
}
