package expression

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/internal/golden"
	"github.com/tidewatch/tidewatch/stream"
)

func hostSchema() *stream.Schema {
	return &stream.Schema{Fields: []stream.Field{
		field("name", stream.String), field("host", stream.String), field("value", stream.Float), field("samples", stream.Int),
		field("mfa", stream.Bool), field("time", stream.Timestamp), field("attributes.region", stream.String),
	}}
}

// hostBatch has a full row, and one with nulls only.
func hostBatch() *stream.Batch {
	b := stream.NewBatch(hostSchema())
	b.Cols[0].AppendString("system.cpu.utilization")
	b.Cols[1].AppendString("web-7")
	b.Cols[2].AppendFloat(0.953)
	b.Cols[3].AppendInt(3)
	b.Cols[4].AppendBool(true)
	b.Cols[5].AppendInt(1795409200250000000)
	b.Cols[6].AppendString("eu-west-1")
	for i := range b.Cols {
		b.Cols[i].AppendNull()
	}
	b.SetLen(2)
	return b
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/values.txt", "testdata/mistakes.txt", "testdata/templates.txt"} {
		golden.Run(t, file, func(_ *testing.T, c golden.Case) string {
			switch c.Command {
			case "eval":
				return evalText(c.Input)
			case "names":
				names, err := Names(c.Input)
				return orMistake(c.Input, strings.Join(names, " "), err)
			case "render":
				return renderText(c.Input)
			}
			return "unknown command " + c.Command
		})
	}
}

func evalText(src string) string {
	b := hostBatch()
	p, err := Compile(src, b.Schema)
	if err != nil {
		return orMistake(src, "", err)
	}
	c := stream.NewBatch(&stream.Schema{Fields: []stream.Field{field("x", p.Kind())}}).Cols[0]
	p.Column(b, &c)
	if d := disagreement(src); d != "" {
		return d
	}
	way := strings.TrimPrefix(fmt.Sprintf("%T", p.root), "*expression.")
	return fmt.Sprintf("%s %v, for nulls %v (%s)", p.Kind(), c.Value(0), c.Value(1), way)
}

func renderText(text string) string {
	b := hostBatch()
	tpl, err := CompileTemplate(text, b.Schema)
	if err != nil {
		return orMistake(text, "", err)
	}
	return tpl.Render(b, 0) + "\n" + tpl.Render(b, 1)
}

// orMistake prints a mistake with a caret, as the validator of pipelines does.
func orMistake(src, text string, err error) string {
	if err == nil {
		return text
	}
	e := Mistake(err)
	if e == nil {
		return "no *Error: " + err.Error()
	}
	line := strings.Split(src, "\n")[e.Line-1]
	return line + "\n" + strings.Repeat(" ", e.Column-1) + "^ " + e.Error()
}

func TestMistakeFindsTheError(t *testing.T) {
	t.Parallel()
	_, err := Compile("valu > 1", hostSchema())
	e := Mistake(fmt.Errorf("check step: %w", err))
	if e == nil || e.Suggestion != "value" || e.Offset != 0 {
		t.Errorf("mistake %+v", e)
	}
	if Mistake(errors.New("other")) != nil {
		t.Error("another error is a mistake")
	}
}
