package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/internal/config"
	"github.com/tidewatch/tidewatch/pipelines"
)

// Outcomes of a check.
const (
	checkOK   = "ok"
	checkWarn = "warn"
	checkFail = "fail"
)

// finding is the outcome of one check, and what to do about it.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warn or fail
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// examination is what doctor knows so far.
type examination struct {
	app      *app
	config   config.Config
	findings []finding

	described []*pipelines.Description
	ends      logEnds // of the topics; nil if Kafka is away
}

// checkPatience is how long a server may take to answer.
const checkPatience = 5 * time.Second

func (e *examination) ok(check, format string, args ...any) {
	e.findings = append(e.findings, finding{check, checkOK, fmt.Sprintf(format, args...), ""})
}

func (e *examination) warn(check, fix, format string, args ...any) {
	e.findings = append(e.findings, finding{check, checkWarn, fmt.Sprintf(format, args...), fix})
}

func (e *examination) fail(check, fix, format string, args ...any) {
	e.findings = append(e.findings, finding{check, checkFail, fmt.Sprintf(format, args...), fix})
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Find out what is wrong with a set-up, and how to put it right", Args: cobra.NoArgs,
		Long: "Checks the configuration, the limits of this process, the pipelines, whether Kafka, Redis, PostgreSQL and the object\n" +
			"store can be reached and used, the topics and what they still hold, the clocks, and whether workers work. It changes\n" +
			"nothing but one object, which it removes. The exit status is 8 if a check failed; warnings do not count.",
		Example: "  tidewatch doctor\n  tidewatch doctor -c tidewatch.yaml -o json",
		RunE:    func(c *cobra.Command, _ []string) error { return a.doctor(c.Context()) },
	}
}

func (a *app) doctor(ctx context.Context) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	e := &examination{app: a}
	if e.examineConfig() {
		for _, check := range []func(context.Context){
			e.examineLimits, e.examinePipelines, e.examineKafka, e.examineRedis, e.examinePostgres, e.examineObjects, e.examineServer,
		} {
			limited, cancel := context.WithTimeout(ctx, 3*checkPatience)
			check(limited)
			cancel()
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return a.tellFindings(e.findings)
}

func (a *app) tellFindings(all []finding) error {
	l := &listing{columns: []string{"status", "check", "detail", "fix"}}
	failed, warned := 0, 0
	for _, f := range all {
		switch f.Status {
		case checkFail:
			failed++
		case checkWarn:
			warned++
		}
		l.add(f, f.Status, f.Check, f.Detail, f.Fix)
	}
	if a.output == "table" {
		a.writeFindings(all)
	} else if err := a.print(l); err != nil {
		return err
	}
	switch {
	case failed > 0:
		return fail(exitCheck, fmt.Errorf("%d checks failed, %d warnings", failed, warned))
	case !a.quiet:
		fmt.Fprintf(a.errs, "%d checks, %d warnings\n", len(all), warned)
	}
	return nil
}

func (a *app) writeFindings(all []finding) {
	colour := map[string]string{checkOK: "32", checkWarn: "33", checkFail: "31"}
	for _, f := range all {
		status := fmt.Sprintf("%-4s", f.Status)
		if a.colours() {
			status = "\x1b[" + colour[f.Status] + "m" + status + "\x1b[0m"
		}
		fmt.Fprintf(a.out, "%s  %-14s %s\n", status, f.Check, f.Detail)
		if f.Fix != "" {
			fmt.Fprintf(a.out, "      %-14s → %s\n", "", f.Fix)
		}
	}
}

// examineConfig is false if nothing else can be asked.
func (e *examination) examineConfig() bool {
	name := e.app.configName()
	ps, err := config.Check(name, os.Environ(), e.app.settings...)
	if err != nil {
		e.fail("configuration", "tidewatch config init writes a configuration", "%v", err)
		return false
	}
	for _, p := range ps {
		e.fail("configuration", "tidewatch config check shows the place", "%s", config.Problem{File: p.File, Line: p.Line, Column: p.Column, Message: p.Message})
	}
	e.config, err = config.Load(name, os.Environ(), e.app.settings...)
	_, onlyValues := errors.AsType[config.Mistake](err)
	switch {
	case err != nil && !onlyValues:
		return false
	case len(ps) == 0 && name == "":
		e.ok("configuration", "defaults and environment; there is no file")
	case len(ps) == 0:
		e.ok("configuration", "%s", name)
	}
	return true
}

func (e *examination) examinePipelines(context.Context) {
	specs, c, err := e.app.specs(nil)
	if err == nil {
		e.described, err = describe(specs, c, nil)
	}
	if err != nil {
		e.fail("pipelines", "tidewatch pipeline validate shows the places", "%v", firstLine(err))
		return
	}
	cases := 0
	for _, s := range specs {
		cases += len(s.Cases)
	}
	from := "of the configuration"
	if len(e.config.Pipelines) == 0 {
		from = "shipped with tidewatch; the configuration names none"
	}
	e.ok("pipelines", "%d valid, %s", len(specs), from)
	if cases == 0 {
		e.warn("pipelines", "add cases, and run tidewatch pipeline test", "no pipeline has cases")
	}
}
