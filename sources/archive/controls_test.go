package archive_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/sinks/parquet"
	"github.com/tidewatch/tidewatch/stream"
)

// claim archives a control record every half minute from a time on, as the task would that claims them.
func claim(t *testing.T, store stream.Objects, task stream.TaskID, n int) (all []stream.Control) {
	t.Helper()
	for i := range n {
		at := stream.Version{Offset: int64(i / 4), Step: uint32(i + 1)}
		all = append(all, stream.Control{Kind: "tick", At: at, Mark: start.Add(time.Duration(i) * 30 * time.Second)})
	}
	claimed(t, store, task, all)
	return all
}

func claimed(t *testing.T, store stream.Objects, task stream.TaskID, all []stream.Control) {
	t.Helper()
	c := parquet.DefaultControls()
	c.Objects, c.Task = store, task
	sink, err := parquet.NewControls(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		sink.Control(&all[i])
	}
	receipt, err := sink.Stage(stream.Epoch{Mark: start.Add(1000 * time.Hour), Prefix: fmt.Sprintf("state/%v/", task)})(t.Context())
	if err == nil {
		err = sink.Reveal(t.Context(), receipt)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func taskOf(instance, stage string, number int32, incarnation string) stream.TaskID {
	return stream.TaskID{Instance: instance, Stage: stage, Partition: stream.Partition{Topic: partition.Topic, Number: number, Incarnation: incarnation}}
}

// TestControls: each instance has its own, partitions without events too; what belongs to a deleted topic is left.
func TestControls(t *testing.T) {
	store := newMemory()
	write(t, store, simpleLog(0, 5, start), nil)
	want := map[int32][]stream.Control{
		2: claim(t, store, taskOf("a@1", "main", 2, partition.Incarnation), 300),
		5: claim(t, store, taskOf("a@1", "main", 5, partition.Incarnation), 3),
	}
	claim(t, store, taskOf("a@1", "main", 1, "another"), 10)
	claim(t, store, taskOf("a@2", "fold", 2, partition.Incarnation), 20)
	claim(t, store, taskOf("b@7", "main", 2, partition.Incarnation), 30)
	got, err := open(t, config(store)).Controls(t.Context(), partition.Topic, "a@1")
	if err != nil || len(got) != 2 || !slices.Equal(got[2], want[2]) || !slices.Equal(got[5], want[5]) {
		t.Fatalf("%v, %v", got, err)
	}
	instances, err := open(t, config(store)).Instances(t.Context(), partition.Topic)
	if err != nil || !slices.Equal(instances, []string{"a@1", "a@2", "b@7"}) {
		t.Fatalf("instances %q, %v", instances, err)
	}
}

// TestControlsOfATimeRange: those from a day before are there, and the rest is not fetched.
func TestControlsOfATimeRange(t *testing.T) {
	store := newMemory()
	write(t, store, simpleLog(0, 5, start.Add(48*time.Hour)), nil)
	all := claim(t, store, taskOf("a@1", "main", 2, partition.Incarnation), 4*24*120)
	c := config(store)
	c.Since, c.Until = start.Add(48*time.Hour), start.Add(49*time.Hour)
	got, err := open(t, c).Controls(t.Context(), partition.Topic, "a@1")
	list := got[2]
	if err != nil || len(list) == 0 || len(list) == len(all) {
		t.Fatalf("%d of %d control records, %v", len(list), len(all), err)
	}
	first := int(list[0].At.Step) - 1
	if !slices.Equal(list, all[first:first+len(list)]) || list[0].Mark > c.Since.Add(-23*time.Hour) || list[len(list)-1].Mark < c.Until.Add(23*time.Hour) {
		t.Fatalf("control records from %v to %v", list[0], list[len(list)-1])
	}
}

// TestControlsDamage: what is missing, renamed or rubbish is told apart.
func TestControlsDamage(t *testing.T) {
	name := columnfile.ControlName{
		Topic: partition.Topic, Instance: "a@1", Stage: "main", Partition: 2, Hour: start.Add(time.Hour).Floor(time.Hour), First: 12, Last: 21,
	}
	for what, c := range map[string]struct {
		damage func(s *memory)
		says   string
	}{
		"missing": {func(s *memory) { delete(s.objects, name.Key()) }, "follow from step 11 to step 22"},
		"renamed": {func(s *memory) {
			to := name
			to.Last++
			s.objects[to.Key()] = s.objects[name.Key()]
			delete(s.objects, name.Key())
		}, "the file was renamed"},
		"rubbish": {func(s *memory) { s.objects[name.Key()] = []byte("rubbish") }, "the file is damaged"},
	} {
		t.Run(what, func(t *testing.T) {
			store := newMemory()
			write(t, store, simpleLog(0, 5, start), nil)
			claim(t, store, taskOf("a@1", "main", 2, partition.Incarnation), 60)
			if _, ok := store.objects[name.Key()]; !ok {
				t.Fatalf("there is no %s", name.Key())
			}
			c.damage(store)
			_, err := open(t, config(store)).Controls(t.Context(), partition.Topic, "a@1")
			if stream.KindOfError(err) != stream.Fatal || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v; want %q", err, c.says)
			}
		})
	}
}
