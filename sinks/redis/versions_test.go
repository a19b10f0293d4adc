package redis

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewatch/tidewatch/stream"
)

// TestVersionsMeetAtTheCut: a query reads each window from the version of the pipeline that has it, whatever else either
// of them has written.
func TestVersionsMeetAtTheCut(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			alone := func(c *SinkConfig) { c.Partitions = 1 }
			old := sink(t, c, 0, alone)
			write(t, old, rowsOf(1, 10, map[string]int64{"host-1": 1, "host-2": 2}))
			flush(t, old, 10, at(2))
			settled(t, c, at(2))
			next := func(c *SinkConfig) {
				before := c.Output
				c.Output.Instance, c.Output.Since, c.Output.Before = "host-cpu@2", at(5), &before
				c.Task.Instance, c.Partitions = "host-cpu@2", 1
			}
			fresh := sink(t, c, 0, next)
			write(t, old, rowsOf(4, 20, map[string]int64{"host-1": 3}))
			write(t, old, rowsOf(5, 20, map[string]int64{"host-1": 99})) // it did not know of the cut yet
			write(t, fresh, rowsOf(4, 5, map[string]int64{"host-1": 98}))
			write(t, fresh, rowsOf(5, 5, map[string]int64{"host-1": 4, "host-3": 5}))
			flush(t, fresh, 5, at(3))
			flush(t, old, 20, at(4))
			var o Output
			for o.Instance != "host-cpu@2" {
				var err error
				if o, err = c.Output(context.Background(), "host-cpu", hosts("").Name); err != nil {
					t.Fatal(err)
				}
			}
			for _, tc := range []struct {
				from, to int
				where    map[string]string
				columns  []string
				want     map[string]int64
			}{
				{0, 100, nil, nil, map[string]int64{"1 host-1": 1, "1 host-2": 2, "4 host-1": 3, "5 host-1": 4, "5 host-3": 5}},
				{0, 100, map[string]string{"host": "host-1"}, nil, map[string]int64{"1 host-1": 1, "4 host-1": 3, "5 host-1": 4}},
				{5, 100, nil, nil, map[string]int64{"5 host-1": 4, "5 host-3": 5}},
				{0, 5, nil, []string{"samples"}, map[string]int64{"1 host-1": 1, "1 host-2": 2, "4 host-1": 3}},
			} {
				r, err := c.Read(context.Background(), Query{Output: o, From: at(tc.from), To: at(tc.to), Where: tc.where, Columns: tc.columns})
				if err != nil {
					t.Fatal(err)
				}
				got, last := map[string]int64{}, stream.NoTime
				for _, s := range r.Series {
					for i, start := range s.Start {
						if i > 0 && start <= last {
							t.Errorf("%v comes behind %v", start, last)
						}
						last = start
						got[fmt.Sprint(number(start), " ", s.Labels[0])] = s.Columns[len(s.Columns)-1].Ints[i]
					}
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("windows %d to %d of %v: %s", tc.from, tc.to, tc.where, diff)
				}
			}
		})
	}
}

// TestCompleteAcrossVersions: until the next version has reached the cut, the version before says what is complete.
func TestCompleteAcrossVersions(t *testing.T) {
	c := everywhere(t)["embedded"]
	old := sink(t, c, 0, func(c *SinkConfig) { c.Partitions = 1 })
	flush(t, old, 10, at(4))
	settled(t, c, at(4))
	o := hosts("host-cpu@1")
	before := o
	o.Instance, o.Since, o.Before = "host-cpu@2", at(5), &before
	through := func(want int) {
		t.Helper()
		var last stream.Time
		for range 100_000 {
			r, err := c.Read(context.Background(), Query{Output: o, From: at(0), To: at(9)})
			if err != nil {
				t.Fatal(err)
			}
			if last = r.CompleteThrough; last == at(want) {
				return
			}
		}
		t.Fatalf("complete through %v, want %v", last, at(want))
	}
	through(4)
	flush(t, old, 10, at(8))
	through(5) // the rest is the next version's
	fresh := sink(t, c, 0, func(c *SinkConfig) { c.Output, c.Task.Instance, c.Partitions = o, o.Instance, 1 })
	flush(t, fresh, 10, at(7))
	through(7)
}

// TestVersionBeforeDoesNotDescribe: a worker that has not heard of the next version must not hide it.
func TestVersionBeforeDoesNotDescribe(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			first := hosts("host-cpu@1")
			second := first
			second.Instance, second.Since, second.Before = "host-cpu@2", at(5), &first
			third := second
			third.Instance, third.Since, third.Before = "host-cpu@3", at(7), &second
			for _, step := range []struct {
				o    Output
				want string
			}{{first, "host-cpu@1"}, {third, "host-cpu@3"}, {first, "host-cpu@3"}, {second, "host-cpu@3"}, {third, "host-cpu@3"}} {
				s := sink(t, c, 0, func(c *SinkConfig) { c.Output = step.o })
				if err := s.sender.report(context.Background(), at(1), true); err != nil {
					t.Fatal(err)
				}
				o, err := c.Output(context.Background(), "host-cpu", first.Name)
				if err != nil || o.Instance != step.want {
					t.Errorf("after %s it is %s (%v), want %s", step.o.Instance, o.Instance, err, step.want)
				}
			}
		})
	}
}
