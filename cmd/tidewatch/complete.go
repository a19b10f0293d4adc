package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/sources/generate"
)

// completionPatience is how long a shell may wait for what a server knows.
const completionPatience = time.Second

// completer lists what an argument or flag can be; each entry may have a description behind a tab.
type completer func(c *cobra.Command, args []string) []string

// completions tells for commands and flags what they can be. Commands are named by their path.
func (a *app) completions() (args map[string]completer, flags map[string]completer) {
	scenarios, _ := generate.Names()
	list := func(all ...string) completer {
		return func(*cobra.Command, []string) []string { return all }
	}
	args = map[string]completer{
		"query": a.completeOutputs, "alert show": a.completeAlerts, "alert ack": a.completeAlerts, "completion": list(shells()...),
		"token rm": a.completeTokens,
	}
	flags = map[string]completer{
		"output": list(outputForms...), "pipeline": a.completePipelines, "name": a.completeRules,
		"severity": list(textsOf(alerts.Severities())...), "alert ls/state": list(textsOf(alerts.States())...),
		"dlq ls/state": list(deadStates()...), "tab": list(tabNames()...), "demo": list(demos...),
		"scenario": list(scenarios...), "role": list("worker", "api"), "token add/role": list(textsOf(serve.Roles())...), "by": a.completeGroups, "where": a.completeConditions, "column": a.completeColumns,
		"replay/to": list("console", "config"),
	}
	return args, flags
}

func textsOf[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}

// complete gives the whole tree below root its completions. Flags that name files keep those of the shell.
func (a *app) complete(root *cobra.Command) {
	args, flags := a.completions()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), root.Name()+" ")
		if f, ok := args[path]; ok {
			c.ValidArgsFunction = f.function(cobra.ShellCompDirectiveNoFileComp)
		}
		for key, f := range flags {
			of, name, specific := strings.Cut(key, "/")
			if !specific {
				name = key
			}
			if specific && of != path || !specific && flags[path+"/"+name] != nil || c.LocalFlags().Lookup(name) == nil || c.InheritedFlags().Lookup(name) != nil {
				continue
			}
			directive := cobra.ShellCompDirectiveNoFileComp
			if path == "replay" && name == "pipeline" {
				directive = cobra.ShellCompDirectiveDefault // a file, too
			}
			_ = c.RegisterFlagCompletionFunc(name, f.function(directive)) // it fails for flags that have one already
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
}

func (f completer) function(d cobra.ShellCompDirective) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		done := "" // of a list with commas
		if i := strings.LastIndexByte(typed, ','); i >= 0 {
			done = typed[:i+1]
		}
		var out []cobra.Completion
		for _, s := range f(c, args) {
			if strings.HasPrefix(done+s, typed) {
				out = append(out, done+s)
			}
		}
		slices.Sort(out)
		return slices.Compact(out), d
	}
}

// descriptions are those of the configured pipelines, none if they have mistakes.
func (a *app) descriptions() []*pipelines.Description {
	specs, c, err := a.specs(nil)
	if err != nil {
		return nil
	}
	all, err := describe(specs, c, nil)
	if err != nil {
		return nil
	}
	return all
}

func (a *app) completePipelines(*cobra.Command, []string) (all []string) {
	for _, d := range a.descriptions() {
		all = append(all, d.Name+"\t"+d.About)
	}
	return all
}

func (a *app) completeRules(*cobra.Command, []string) (all []string) {
	for _, d := range a.descriptions() {
		for _, r := range d.Rules {
			all = append(all, r.Name+"\t"+r.Severity+" of "+d.Name)
		}
	}
	return all
}

// completeOutputs are what query can be asked for: outputs and metrics.
func (a *app) completeOutputs(_ *cobra.Command, args []string) (all []string) {
	if len(args) > 0 {
		return nil
	}
	for _, d := range a.descriptions() {
		for _, r := range d.Rollups {
			all = append(all, d.Name+"/"+r.Output+"\t"+d.About)
		}
		for _, name := range d.Demands["name"] {
			if len(d.Rollups) > 0 {
				all = append(all, name+"\t"+d.About)
			}
		}
	}
	return all
}

// rollups are those of the output that query names.
func (a *app) rollups(args []string) (all []pipelines.Rollup) {
	if len(args) == 0 {
		return nil
	}
	for _, d := range a.descriptions() {
		for _, r := range d.Rollups {
			if args[0] == d.Name || args[0] == d.Name+"/"+r.Output || slices.Contains(d.Demands["name"], args[0]) {
				all = append(all, r)
			}
		}
	}
	return all
}

func (a *app) completeGroups(c *cobra.Command, args []string) (all []string) {
	if c.Name() != "query" {
		return nil // a person
	}
	for _, r := range a.rollups(args) {
		all = append(all, r.Groups...)
	}
	return all
}

func (a *app) completeConditions(_ *cobra.Command, args []string) (all []string) {
	for _, r := range a.rollups(args) {
		for _, g := range r.Groups {
			all = append(all, g+"=")
		}
	}
	return all
}

func (a *app) completeColumns(_ *cobra.Command, args []string) (all []string) {
	for _, r := range a.rollups(args) {
		for _, c := range r.Columns {
			all = append(all, c.Name+"\t"+c.Function+"("+c.Of+")")
		}
	}
	return all
}

// completeAlerts are the ids of active alerts, if a server tells them in time.
func (a *app) completeAlerts(c *cobra.Command, args []string) (all []string) {
	if len(args) > 0 {
		return nil
	}
	api, err := a.dialConfigured()
	if err != nil {
		return nil
	}
	defer api.stop()
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	var page alerts.Page
	if err := api.get(ctx, "/metrics/alerts/active", url.Values{"limit": {"50"}}, &page); err != nil {
		return nil
	}
	for i := range page.Items {
		x := &page.Items[i]
		all = append(all, fmt.Sprintf("%s\t%s %s %s", x.ID, x.Severity, x.Name, x.Summary))
	}
	return all
}

// completeTokens are those of the file.
func (a *app) completeTokens(c *cobra.Command, args []string) (all []string) {
	if len(args) > 0 {
		return nil
	}
	file, _ := c.Flags().GetString("file")
	tokens, _ := a.tokens(file)
	for _, t := range tokens {
		all = append(all, t.Name+"\t"+strings.Join(textsOf(t.Roles), ", "))
	}
	return all
}

// shells are those that completion writes scripts for.
func shells() []string { return []string{"bash", "fish", "zsh"} }

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|fish|zsh", Short: "Write a completion script for a shell", Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: shells(),
		Long: "Writes a script that lets the shell complete commands, flags, and names of pipelines, outputs, metrics, rules and alerts.\n" +
			"Names of pipelines come from the configuration, alerts from the server.",
		Example: "  source <(tidewatch completion bash)\n" +
			"  tidewatch completion bash > /etc/bash_completion.d/tidewatch\n" +
			"  tidewatch completion zsh > \"${fpath[1]}/_tidewatch\"\n" +
			"  tidewatch completion fish > ~/.config/fish/completions/tidewatch.fish",
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(a.out, true)
			case "fish":
				return c.Root().GenFishCompletion(a.out, true)
			}
			return c.Root().GenZshCompletion(a.out)
		},
	}
}
