package main

import (
	"testing"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
)

// TestWhatAVersionHasClaimed: one that has files which nobody has revealed has not ended, however far its records are.
func TestWhatAVersionHasClaimed(t *testing.T) {
	plan := &engine.Plan{Instance: "p@1", Stages: []*engine.Stage{{Name: "fold"}, {Name: "merge"}}}
	fold := `{"at":{"offset":9},"first":0,"mark":70,"record_mark":60}`
	for _, c := range []struct {
		name   string
		stages []string
		bodies []string
		want   claimed
	}{
		{"nothing is there", nil, nil, claimed{mark: stream.NoTime, records: stream.NoTime}},
		{"a task that has read nothing", []string{"fold", "merge"}, []string{fold, `{"at":{"offset":0},"first":0,"mark":-5,"record_mark":-5}`}, claimed{mark: -5, records: 60}},
		{"the lowest", []string{"fold", "merge"}, []string{fold, `{"at":{"offset":3},"first":0,"mark":65,"record_mark":50}`}, claimed{mark: 65, records: 50}},
		{
			"a file",
			[]string{"fold", "merge"},
			[]string{fold, `{"at":{"offset":3},"first":0,"mark":65,"record_mark":50,"staged":[{"sink":"redis.w","receipt":{}},{"sink":"parquet.w","receipt":{}}]}`},
			claimed{mark: 65, records: 50, staged: true},
		},
		{
			"what another receipt follows",
			[]string{"merge"},
			[]string{`{"at":{"offset":3},"first":0,"mark":65,"record_mark":50,"staged":[{"sink":"redis.w","receipt":{}},{"sink":"rekey","receipt":{}}]}`},
			claimed{mark: 65, records: 50},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var bodies [][]byte
			for _, b := range c.bodies {
				bodies = append(bodies, []byte(b))
			}
			if got, err := claimedBy(plan, c.stages, bodies); err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	if _, err := claimedBy(plan, []string{"fold"}, [][]byte{[]byte("{")}); err == nil {
		t.Error("a damaged record says something")
	}
}
