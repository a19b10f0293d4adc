package aggregate_test

import (
	"fmt"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/stream"
)

// Two partitions each fold their events into a cell; the cells merge into the result of both.
func Example() {
	schema := &stream.Schema{Fields: []stream.Field{{Name: "value", Kind: stream.Float}}}
	mean, _ := aggregate.Parse("avg(value)")
	mean.Name = "mean"
	set, err := aggregate.Compile([]aggregate.Spec{mean, {Name: "n", Function: "count"}}, schema)
	if err != nil {
		fmt.Println(err)
		return
	}
	cells := set.AppendEmpty(set.AppendEmpty(nil))
	second := uint32(set.Words())
	b := stream.NewBatch(schema)
	for _, v := range []float64{1, 2, 9} {
		b.Cols[0].AppendFloat(v)
	}
	b.SetLen(3)
	set.Add(cells, []uint32{0, 0, second}, b, []int32{0, 1, 2})
	set.Merge(cells[:second], cells[second:])

	out := stream.NewBatch(&stream.Schema{Fields: set.Results()})
	set.AppendResults(cells, []uint32{0}, out.Cols)
	fmt.Println(out.Col("mean").Value(0), out.Col("n").Value(0))
	// Output: 4 3
}

func ExampleParse() {
	_, err := aggregate.Parse("averge(value)")
	fmt.Println(err)
	// Output: parse aggregate "averge(value)": unknown function "averge"; known are avg, count, count_distinct, count_if, first, last, max, min, slope, sum
}
