package serve

import (
	"context"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/pipelines"
)

// Families of outputs: which question about metrics they answer.
const (
	systemFamily      = "system"
	securityFamily    = "security"
	performanceFamily = "performance"
	customFamily      = "custom"
)

// Words of event types and of their fields that give an output its family.
const (
	metricEvent    = "metric"
	securityEvent  = "security"
	nameField      = "name"
	classField     = "class"
	hostColumn     = "host"
	serviceColumn  = "service"
	filesystemWord = "filesystem"
	diskType       = "disk"
)

// target is an output: how the store knows it, and what its pipeline says about it.
type target struct {
	store RollupOutput
	info  OutputInfo
	// exact tells for each value column whether what it is computed of is never null, so that count() counts it.
	exact []bool
}

// targets lists all outputs that are stored.
func (s *Server) targets(ctx context.Context) ([]target, error) {
	stored, err := s.c.Rollups.Outputs(ctx)
	if err != nil {
		return nil, err
	}
	described := s.c.Status.Pipelines()
	all := make([]target, len(stored))
	for i := range stored {
		all[i] = targetOf(&stored[i], described)
	}
	return all, nil
}

// targetOf describes an output. One whose pipeline is not configured any more can still be read window by window.
func targetOf(o *RollupOutput, described []*pipelines.Description) target {
	t := target{store: *o, exact: make([]bool, len(o.Fields)-o.Groups), info: OutputInfo{
		Pipeline: o.Pipeline, Output: o.Name, Name: o.Pipeline + "." + o.Name, Family: customFamily, Window: Span(o.Window), Every: Span(o.Every), Keep: Span(o.Keep),
		Groups: make([]string, o.Groups), Columns: make([]ColumnInfo, 0, len(o.Fields)-o.Groups),
	}}
	for i := range o.Groups {
		t.info.Groups[i] = o.Fields[i].Name
	}
	for _, f := range o.Fields[o.Groups:] {
		t.info.Columns = append(t.info.Columns, ColumnInfo{Name: f.Name})
	}
	i := slices.IndexFunc(described, func(d *pipelines.Description) bool { return d.Name == o.Pipeline })
	if i < 0 {
		return t
	}
	t.functions(described[i])
	t.classify(described[i])
	return t
}

func (t *target) functions(d *pipelines.Description) {
	i := slices.IndexFunc(d.Rollups, func(r pipelines.Rollup) bool { return r.Output == t.store.Name })
	if i < 0 {
		return
	}
	for k := range t.info.Columns {
		c := &t.info.Columns[k]
		if j := slices.IndexFunc(d.Rollups[i].Columns, func(r pipelines.RollupColumn) bool { return r.Name == c.Name }); j >= 0 {
			r := &d.Rollups[i].Columns[j]
			c.Function, c.Of, c.Unit, t.exact[k] = r.Function, r.Of, r.Unit, r.Always
		}
	}
	t.info.Unit = commonUnit(t.info.Columns, nil)
}

// classify finds out what the output is about: its filters say which metric or class of events it sees.
func (t *target) classify(d *pipelines.Description) {
	info := &t.info
	if name := commonName(d.Demands[nameField]); name != "" && d.Event == metricEvent {
		info.Name = name
	}
	first, rest, _ := strings.Cut(info.Name, ".")
	second, _, _ := strings.Cut(rest, ".")
	switch {
	case d.Event == securityEvent:
		info.Family, info.Type = securityFamily, strings.Join(d.Demands[classField], ",")
	case first == "system" || first == "process":
		info.Family, info.Type = systemFamily, second
		if second == filesystemWord {
			info.Type = diskType
		}
	case slices.Contains(info.Groups, serviceColumn):
		info.Family, info.Type = performanceFamily, info.Name
	}
}

// commonName is the name of the only metric, or the words with which the names of several begin: at least two.
func commonName(names []string) string {
	if len(names) == 0 {
		return ""
	}
	common := strings.Split(names[0], ".")
	for _, name := range names[1:] {
		words := strings.Split(name, ".")
		n := 0
		for n < min(len(common), len(words)) && common[n] == words[n] {
			n++
		}
		common = common[:n]
	}
	if len(names) > 1 && len(common) < 2 {
		return ""
	}
	return strings.Join(common, ".")
}

// is reports whether one of the words chooses the output.
func (t *target) is(words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		return w == t.info.Type || w == t.info.Name || w == t.info.Pipeline || w == t.info.Output || w == filesystemWord && t.info.Type == diskType
	})
}

// commonUnit is the unit of those of the columns that have one, "" if they differ. No names are all columns.
func commonUnit(columns []ColumnInfo, names []string) (unit string) {
	for i := range columns {
		switch u := columns[i].Unit; {
		case u == "" || u == unit || names != nil && !slices.Contains(names, columns[i].Name):
		case unit == "":
			unit = u
		default:
			return ""
		}
	}
	return unit
}
