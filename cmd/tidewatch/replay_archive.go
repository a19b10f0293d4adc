package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/sources/archive"
	"github.com/tidewatch/tidewatch/stream"
)

// archiveURL tells whether the events lie in an archive: an object store, or a folder that holds raw/.
func archiveURL(from string) (url string, ok bool) {
	if strings.HasPrefix(from, "s3://") || strings.HasPrefix(from, "file://") {
		return from, true
	}
	if info, err := os.Stat(filepath.Join(from, "raw")); err != nil || !info.IsDir() {
		return "", false
	}
	abs, err := filepath.Abs(from)
	return "file://" + filepath.ToSlash(abs), err == nil
}

// archiveInputs opens the archive once for all plans, so that they see the same files.
func (a *app) archiveInputs(ctx context.Context, url string, f *replayFlags, r reading) (*replayInput, error) {
	c := archive.Default()
	c.Topics, c.Progress = r.topics(), r.told
	if err := f.bounds(&c); err != nil {
		return nil, fail(exitUsage, err)
	}
	var err error
	if c.Objects, err = a.openArchive(ctx, url); err != nil {
		return nil, err
	}
	src, err := archive.Open(ctx, c)
	if err != nil {
		return nil, fail(exitNotFound, err)
	}
	x := &archiveReplay{src: src, bounded: f.since != "" || f.until != ""}
	for _, topic := range c.Topics {
		x.plan = r.reader(topic)
		if err := x.topic(ctx, topic); err != nil {
			return nil, fail(exitNotFound, err)
		}
	}
	if len(x.inputs) == 0 {
		return nil, fail(exitNotFound, errors.New(nothingIn(url, &c)))
	}
	return &replayInput{inputs: x.inputs, size: src.Size(), archive: true, ticksOf: x.ticksOf}, nil
}

// nothingIn says what the archive does not hold, and what to do.
func nothingIn(url string, c *archive.Config) string {
	text := fmt.Sprintf("the archive %s holds nothing of topic %s", url, strings.Join(c.Topics, ", "))
	if c.Since != stream.NoTime {
		text += " from " + c.Since.String()
	}
	if c.Until != stream.MaxTime {
		text += " until " + c.Until.String()
	}
	if c.Since != stream.NoTime || c.Until != stream.MaxTime {
		return text + ": try another span; what comes now is archived with the next cut, after a minute under tidewatch up, after five else"
	}
	return text + ": it is written where a pipeline has the sink parquet: {of: source}; another one is chosen with --from"
}

// bounds reads the times.
func (f *replayFlags) bounds(c *archive.Config) error {
	now := clock.System{}.Now()
	for _, b := range []struct {
		flag, text string
		into       *stream.Time
	}{{"--since", f.since, &c.Since}, {"--until", f.until, &c.Until}} {
		if b.text == "" {
			continue
		}
		t, err := serve.ParseTime(b.text, now)
		if err != nil {
			return fmt.Errorf("%s: %w", b.flag, err)
		}
		*b.into = t
	}
	return nil
}

// configuredArchive is the object store that workers write to.
func (a *app) configuredArchive() (string, error) {
	c, err := a.load()
	switch {
	case c.Objects.URL != "":
		return c.Objects.URL, nil
	case err != nil && a.configName() != "":
		return "", err
	}
	return "", fail(exitUsage, errors.New("say where the events are: --from FILE, FOLDER or s3://…, or with -c a configuration whose objects.url holds them"))
}

func (a *app) openArchive(ctx context.Context, url string) (stream.Objects, error) {
	o := objects.Config{URL: url}
	if strings.HasPrefix(url, "s3://") {
		cfg, err := a.load()
		if err != nil {
			return nil, err
		}
		o.Endpoint, o.Region, o.AccessKey, o.SecretKey = cfg.Objects.Endpoint, cfg.Objects.Region, cfg.Objects.AccessKey, cfg.Objects.SecretKey
	}
	store, err := objects.Open(ctx, o)
	return store, fail(exitDependency, err)
}

// archiveReplay gathers what plans read from an archive.
type archiveReplay struct {
	src     *archive.Source
	plan    *engine.Plan // whose control records take effect
	bounded bool
	inputs  []engine.LocalInput
	ticksOf []string
}

// topic adds the partitions of a topic.
func (r *archiveReplay) topic(ctx context.Context, topic string) error {
	controls, err := r.controls(ctx, topic)
	if err != nil {
		return err
	}
	found := map[int32]stream.Partition{}
	var last stream.Partition
	for _, p := range r.src.Found() {
		if p.Topic == topic {
			found[p.Number], last = p, p
		}
	}
	if len(found) == 0 {
		return nil
	}
	n := last.Number + 1 // they come by number
	for number := range controls {
		n = max(n, number+1)
	}
	for number := range n {
		in := engine.LocalInput{Partition: last, Partitions: n, Open: openSilent, Controls: controls[number]}
		in.Partition.Number = number
		switch p, ok := found[number]; {
		case ok:
			first, err := r.src.LogStart(ctx, p)
			if err != nil {
				return err
			}
			in.Open = func(ctx context.Context, d stream.Decoder) (stream.Reader, error) {
				return r.src.Open(ctx, p, first, d)
			}
		case len(in.Controls) == 0 || r.bounded:
			in.Controls = unheard()
		}
		r.inputs = append(r.inputs, in)
	}
	return nil
}

// controls are the control records of the pipeline's tasks. A version that never ran has none: then those of the others tell
// when the partitions were silent.
func (r *archiveReplay) controls(ctx context.Context, topic string) (map[int32][]stream.Control, error) {
	own, err := r.src.Controls(ctx, topic, r.plan.Instance)
	if err != nil || len(own) > 0 {
		return own, err
	}
	instances, err := r.src.Instances(ctx, topic)
	if err != nil {
		return nil, err
	}
	all := map[int32][]stream.Control{}
	for _, instance := range instances {
		if name, _, _ := strings.Cut(instance, "@"); name != r.plan.Pipeline || instance == r.plan.Instance {
			continue
		}
		theirs, err := r.src.Controls(ctx, topic, instance)
		if err != nil {
			return nil, err
		}
		for p, list := range theirs {
			// What made another version panic is a record like any other here.
			all[p] = append(all[p], slices.DeleteFunc(list, func(k stream.Control) bool { return k.Kind == "quarantine" })...)
		}
		if !slices.Contains(r.ticksOf, instance) {
			r.ticksOf = append(r.ticksOf, instance)
		}
	}
	for _, list := range all {
		renumber(list)
	}
	return all, nil
}

// renumber makes one history of several.
func renumber(list []stream.Control) {
	slices.SortStableFunc(list, func(a, b stream.Control) int {
		return cmp.Or(cmp.Compare(a.At.Offset, b.At.Offset), cmp.Compare(a.Mark, b.Mark))
	})
	for i := range list {
		list[i].At.Step = uint32(i + 1)
	}
}

// unheard is for a partition of which the archive holds nothing, as far as it is read: it holds nobody up.
func unheard() []stream.Control {
	const longAfter = 2200
	return []stream.Control{{Kind: "tick", At: stream.Version{Step: 1}, Mark: stream.TimeOf(time.Date(longAfter, 1, 1, 0, 0, 0, 0, time.UTC))}}
}

// silent reads a partition without events.
type silent struct{}

func openSilent(context.Context, stream.Decoder) (stream.Reader, error) { return silent{}, nil }

// Read implements stream.Reader.
func (silent) Read(context.Context) (*stream.Input, error) { return nil, io.EOF }

// Close implements stream.Reader.
func (silent) Close() error { return nil }
