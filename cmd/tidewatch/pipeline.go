package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/pipelines"
)

func (a *app) pipelineCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "pipeline", Short: "Check, explain, test, list and apply pipelines",
		Long: "Works on pipeline files without a server: those of the arguments, else those of the configuration, else the shipped ones.\n" +
			"Only `apply` talks to a running one.",
		Example: "  tidewatch pipeline validate my-pipelines\n  tidewatch pipeline test my-pipelines/host-cpu.yaml",
	}
	c.AddCommand(a.pipelineValidate(), a.pipelineExplain(), a.pipelineTest(), a.pipelineList(), a.pipelineApply())
	return c
}

// specs loads what the arguments name, or else what the configuration does, or else the shipped library.
func (a *app) specs(args []string) (specs []*pipelines.Spec, c *pipelines.Components, err error) {
	c = components(stores{})
	if len(args) == 0 {
		if cfg, err := a.load(); err == nil {
			args = cfg.Pipelines
		}
	}
	if len(args) == 0 {
		specs, err = pipelines.LoadLibrary(c)
	} else {
		specs, err = pipelines.Load(c, args...)
	}
	if mistakes, ok := errors.AsType[pipelines.Problems](err); ok {
		return nil, nil, fail(exitUsage, fmt.Errorf("%d mistakes\n\n%w", len(mistakes), err))
	}
	return specs, c, fail(exitUsage, err)
}

func (a *app) pipelineValidate() *cobra.Command {
	return &cobra.Command{
		Use: "validate [FILE|DIR …]", Short: "Report all mistakes in pipeline files",
		Long:    "Reports all mistakes in pipeline files at once, each with its line and what was probably meant. The exit status is 2.",
		Example: "  tidewatch pipeline validate my-pipelines/host-cpu.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			specs, _, err := a.specs(args)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%d pipelines are valid\n", len(specs))
			return err
		},
	}
}

func (a *app) pipelineExplain() *cobra.Command {
	var dot bool
	c := &cobra.Command{
		Use: "explain [FILE|DIR …]", Short: "Print how pipelines run: stages, topics, keys, state, outputs",
		Long:    "Prints the plan of each pipeline: its stages, the topics between them, keys, state, outputs and rules.",
		Example: "  tidewatch pipeline explain my-pipelines/host-cpu.yaml\n  tidewatch pipeline explain --dot host-cpu.yaml | dot -Tsvg > plan.svg",
		RunE: func(_ *cobra.Command, args []string) error {
			specs, c, err := a.specs(args)
			if err != nil {
				return err
			}
			draw := pipelines.Explain
			if dot {
				draw = pipelines.Dot
			}
			for i, s := range specs {
				text, err := draw(s, c)
				if err != nil {
					return fail(exitUsage, err)
				}
				if i > 0 {
					fmt.Fprintln(a.out)
				}
				fmt.Fprint(a.out, text)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&dot, "dot", false, "print a graph in the DOT language")
	return c
}

func (a *app) pipelineTest() *cobra.Command {
	return &cobra.Command{
		Use: "test [FILE|DIR …]", Short: "Run the cases of pipelines in virtual time, without a server",
		Long: "Runs the cases beside pipelines in virtual time. What differs from the expectation is shown; the exit status is 8 if a\n" +
			"case fails.",
		Example: "  tidewatch pipeline test my-pipelines",
		RunE:    func(c *cobra.Command, args []string) error { return a.testPipelines(c.Context(), args) },
	}
}

func (a *app) testPipelines(ctx context.Context, args []string) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	specs, c, err := a.specs(args)
	if err != nil {
		return err
	}
	l := &listing{columns: []string{"pipeline", "case", "ok"}}
	cases, failed := 0, 0
	for _, s := range specs {
		results, err := pipelines.RunCases(ctx, s, c)
		if err != nil {
			return err
		}
		for _, r := range results {
			cases++
			if !r.OK {
				failed++
			}
			l.add(r, r.Pipeline, r.About, strconv.FormatBool(r.OK))
			if a.output == "table" {
				fmt.Fprintln(a.out, r)
			}
		}
	}
	if a.output != "table" {
		if err := a.print(l); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fail(exitCheck, fmt.Errorf("%d of %d cases failed", failed, cases))
	}
	if !a.quiet {
		fmt.Fprintf(a.errs, "%d cases passed\n", cases)
	}
	return nil
}

func (a *app) pipelineList() *cobra.Command {
	return &cobra.Command{
		Use: "ls [FILE|DIR …]", Short: "List pipelines",
		Long:    "Lists pipelines with their number of cases: those of the arguments, else of the configuration, else the shipped ones.",
		Example: "  tidewatch pipeline ls",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.checkOutput(); err != nil {
				return err
			}
			specs, _, err := a.specs(args)
			if err != nil {
				return err
			}
			l := &listing{columns: []string{"name", "cases", "file", "about"}}
			for _, s := range specs {
				row := map[string]any{"name": s.Name.Value, "cases": len(s.Cases), "file": s.File, "about": s.About.Value}
				l.add(row, s.Name.Value, strconv.Itoa(len(s.Cases)), filepath.ToSlash(s.File), s.About.Value)
			}
			return a.print(l)
		},
	}
}
