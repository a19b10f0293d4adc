package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/pipelines"
)

// found is a pipeline and where it was found.
type found struct {
	spec  *pipelines.Spec
	where string
}

// findBefore finds what --diff compares with: the pipeline or file of --against, else what runs under the name of after.
func (a *app) findBefore(ctx context.Context, c *pipelines.Components, against string, after *pipelines.Spec) (found, error) {
	name := after.Name.Value
	switch {
	case isPath(against):
		specs, err := pipelines.Load(c, against)
		if err != nil {
			return found{}, fail(exitUsage, err)
		}
		if len(specs) == 1 {
			return found{specs[0], against}, nil
		}
		spec := specOf(specs, name)
		if spec == nil {
			return found{}, fail(exitUsage, fmt.Errorf("--against %s holds %d pipelines and none is called %s: name a file that holds one; it holds %s", against, len(specs), name, namesOf(specs)))
		}
		return found{spec, against}, nil
	case against != "":
		name = against
	}
	f, err := a.running(ctx, c, name)
	if f.spec != nil || err != nil {
		return f, err
	}
	if against == "" {
		return found{}, fail(exitNotFound, fmt.Errorf("no pipeline %s runs (%s): say what to compare with, --against FILE or --against NAME", name, f.where))
	}
	specs, err := pipelines.LoadLibrary(c)
	if err != nil {
		return found{}, err
	}
	if spec := specOf(specs, name); spec != nil {
		return found{spec, "shipped"}, nil
	}
	return found{}, fail(exitNotFound, fmt.Errorf("--against %s: no such pipeline runs (%s), and none is shipped; for a file say --against ./%s", name, f.where, name))
}

// isPath tells files from names of pipelines.
func isPath(text string) bool { return strings.ContainsAny(text, "./\\") }

func specOf(specs []*pipelines.Spec, name string) *pipelines.Spec {
	i := slices.IndexFunc(specs, func(s *pipelines.Spec) bool { return s.Name.Value == name })
	if i < 0 {
		return nil
	}
	return specs[i]
}

func namesOf(specs []*pipelines.Spec) string {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name.Value
	}
	return strings.Join(names, ", ")
}

// running is the pipeline as it runs: a server that runs tells what it was started with, which is not what the files say now
// if they were edited since. Without one it is what the files say. Where there is none of that name, where says who was asked.
func (a *app) running(ctx context.Context, c *pipelines.Components, name string) (found, error) {
	if a.server != "" || a.configName() != "" {
		f, err := a.runningAt(ctx, c, name)
		if err == nil || a.server != "" {
			return f, err
		}
		a.say("the configured pipelines are taken for what runs, since no server tells: " + err.Error())
	}
	specs, _, err := a.specs(nil)
	if err != nil {
		return found{}, err
	}
	spec := specOf(specs, name)
	if spec == nil {
		return found{where: "configured are " + namesOf(specs)}, nil
	}
	if cfg, _ := a.load(); len(cfg.Pipelines) == 0 {
		return found{spec, "shipped"}, nil
	}
	return found{spec, "configured, " + filepath.ToSlash(spec.File)}, nil
}

// runningAt asks the server of --server or of the configuration.
func (a *app) runningAt(ctx context.Context, c *pipelines.Components, name string) (found, error) {
	given := a.server
	api, err := a.dialConfigured()
	a.server = given
	if err != nil {
		return found{}, err
	}
	defer api.stop()
	if given == "" { // it need not run
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, completionPatience)
		defer cancel()
	}
	var d struct{ File, Source string }
	err = api.get(ctx, "/pipelines/"+url.PathEscape(name), nil, &d)
	if code := (coded{}); errors.As(err, &code) && code.code == exitNotFound {
		return found{where: err.Error()}, nil
	}
	if err != nil {
		return found{}, err
	}
	if d.Source == "" {
		return found{}, fail(exitUsage, fmt.Errorf("pipeline %s of %s comes from no file: say what to compare with, --against FILE or --against NAME", name, api.base))
	}
	specs, problems := pipelines.Parse(d.File, []byte(d.Source))
	if problems = append(problems, pipelines.Validate(specs, c)...); len(problems) > 0 {
		return found{}, fail(exitUsage, fmt.Errorf("this program does not understand pipeline %s of %s, is it another version?\n\n%w", name, api.base, problems))
	}
	return found{specOf(specs, name), "running at " + api.base}, nil
}
