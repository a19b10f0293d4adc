package shape_test

import (
	"fmt"

	"github.com/tidewatch/tidewatch/operators/shape"
	"github.com/tidewatch/tidewatch/stream"
)

// printer is an emitter that prints.
type printer struct{}

func (printer) Emit(b *stream.Batch) error {
	for i := range b.Len() {
		fmt.Printf("%s=%v %s=%v\n", b.Schema.Fields[0].Name, b.Cols[0].Value(i), b.Schema.Fields[1].Name, b.Cols[1].Value(i))
	}
	return nil
}

func (printer) Decide(stream.Decision) error { return nil }

func (printer) Wants(stream.Phase) bool { return true }

func (printer) Count(bucket stream.Bucket, n int64) { fmt.Println(n, bucket) }

func events() *stream.Batch {
	b := stream.NewBatch(&stream.Schema{Fields: []stream.Field{{Name: "name", Kind: stream.String}, {Name: "value", Kind: stream.Float}}})
	b.Cols[0].AppendString("cpu")
	b.Cols[1].AppendFloat(0.95)
	b.Cols[0].AppendString("memory")
	b.Cols[1].AppendFloat(0.5)
	b.SetLen(2)
	return b
}

func ExampleFilter() {
	b := events()
	f, err := shape.NewFilter(`name == "cpu" and value > 0.9`, b.Schema)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.Process(b, printer{}))
	// Output:
	// 1 filtered
	// name=cpu value=0.95
	// <nil>
}

func ExampleProject() {
	b := events()
	p, err := shape.NewProject([]shape.Column{{Name: "metric", Expr: "name"}, {Name: "percent", Expr: "value * 100"}}, b.Schema)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Process(b, printer{}))
	// Output:
	// metric=cpu percent=95
	// metric=memory percent=50
	// <nil>
}
