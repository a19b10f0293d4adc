package expression_test

import (
	"fmt"

	"github.com/tidewatch/tidewatch/internal/expression"
	"github.com/tidewatch/tidewatch/stream"
)

func schema() *stream.Schema {
	return &stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}, {Name: "avg", Kind: stream.Float}}}
}

func twoRows() *stream.Batch {
	b := stream.NewBatch(schema())
	b.Cols[0].AppendString("web-7")
	b.Cols[1].AppendFloat(0.953)
	b.Cols[0].AppendString("db-1")
	b.Cols[1].AppendNull()
	b.SetLen(2)
	return b
}

func ExampleCompile() {
	p, err := expression.Compile(`avg > 0.9 and host startsWith "web"`, schema())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Kind(), p.Columns(), p.Bool(twoRows(), nil))
	// Output: bool [avg host] [true false]
}

func ExampleCompile_mistake() {
	_, err := expression.Compile(`avgg > 0.9`, schema())
	fmt.Println(err)
	// Output: unknown name "avgg", did you mean "avg"? (line 1, column 1)
}

func ExampleNames() {
	names, _ := expression.Names(`name == "cpu" and attributes.region == "eu"`)
	fmt.Println(names)
	// Output: [name attributes.region]
}

func ExampleTemplate() {
	t, err := expression.CompileTemplate("{{ host }} at {{ percent(avg) }} for a minute", schema())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(t.Render(twoRows(), 0))
	// Output: web-7 at 95.3% for a minute
}
