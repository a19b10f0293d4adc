package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// outputs are the forms of -o.
var outputForms = []string{"table", "json", "jsonl", "csv"}

// checkOutput refuses a form that does not exist.
func (a *app) checkOutput() error {
	if !slices.Contains(outputForms, a.output) {
		return fail(exitUsage, fmt.Errorf("-o %s: there are %s", a.output, strings.Join(outputForms, ", ")))
	}
	return nil
}

// listing is rows of named columns, printed in the form of -o. value is what json and jsonl show of a row.
type listing struct {
	columns []string
	rows    [][]string
	values  []any
}

func (l *listing) add(value any, cells ...string) {
	l.rows, l.values = append(l.rows, cells), append(l.values, value)
}

// print writes the listing to standard output.
func (a *app) print(l *listing) error {
	switch a.output {
	case "json":
		values := l.values
		if values == nil {
			values = []any{}
		}
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(values)
	case "jsonl":
		e := json.NewEncoder(a.out)
		for _, v := range l.values {
			if err := e.Encode(v); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		w := csv.NewWriter(a.out)
		if err := w.Write(l.columns); err != nil {
			return err
		}
		return w.WriteAll(l.rows)
	}
	return table(a.out, l)
}

func table(out io.Writer, l *listing) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(l.columns, "\t")))
	for _, r := range l.rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}
