package archive

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// controlReads is how many files of control records are fetched at once: they are small.
const controlReads = 16

// controlSlack is how far the progress at a tick may lie before the event times around it.
const controlSlack = 24 * time.Hour

// Controls returns the control records that the tasks of an instance have claimed on the topic, by partition, in the order of
// their versions; only one stage of an instance reads a topic. Those of the newest minutes come with the first claim after progress has left their slot. An
// archive that is read from a time on has those from a day before, so the first step may be a later one; one that is missing
// between two others is an error.
func (s *Source) Controls(ctx context.Context, topic, instance string) (map[int32][]stream.Control, error) {
	names, err := s.controlNames(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list control records: %w", err)
	}
	names = slices.DeleteFunc(names, func(n columnfile.ControlName) bool { return n.Instance != instance })
	lists := make([][]stream.Control, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(controlReads)
	for i, n := range names {
		g.Go(func() (err error) {
			if lists[i], err = s.controlsIn(ctx, n); err != nil {
				return fmt.Errorf("read control records: %s: %w", n.Key(), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	found := map[int32][]stream.Control{}
	for i, n := range names {
		if before := found[n.Partition]; len(before) > 0 && len(lists[i]) > 0 {
			if last := before[len(before)-1].At.Step; lists[i][0].At.Step != last+1 {
				return nil, fatal("the control records of %s on %s/%d follow from step %d to step %d: a file is being revealed this moment (try again), or "+
					"files were deleted or are of two histories (read what is left with --since and --until, or move the older files away)",
					instance, topic, n.Partition, last, lists[i][0].At.Step)
			}
		}
		if len(lists[i]) > 0 {
			found[n.Partition] = append(found[n.Partition], lists[i]...)
		}
	}
	return found, nil
}

// Instances lists the instances that have control records of the topic in the archive, in the order of their names.
func (s *Source) Instances(ctx context.Context, topic string) (instances []string, err error) {
	names, err := s.controlNames(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list control records: %w", err)
	}
	for _, n := range names {
		instances = append(instances, n.Instance)
	}
	slices.Sort(instances)
	return slices.Compact(instances), nil
}

// controlNames lists the wanted files of control records of a topic, by first step.
func (s *Source) controlNames(ctx context.Context, topic string) (names []columnfile.ControlName, err error) {
	err = s.config.Objects.List(ctx, columnfile.ControlPrefix(topic), func(o stream.Object) error {
		n, ok := columnfile.ParseControlName(o.Key)
		if ok && n.Hour.Add(time.Hour+controlSlack) > s.config.Since && (s.config.Until == stream.MaxTime || n.Hour < s.config.Until.Add(controlSlack)) {
			names = append(names, n)
		}
		return nil
	})
	slices.SortFunc(names, func(a, b columnfile.ControlName) int { return int(int64(a.First) - int64(b.First)) })
	return names, err
}

// controlsIn reads a file; one of an earlier topic of that name has none.
func (s *Source) controlsIn(ctx context.Context, n columnfile.ControlName) ([]stream.Control, error) {
	data, err := s.config.Objects.Get(ctx, n.Key())
	if err != nil {
		return nil, err
	}
	f, err := columnfile.Open(data)
	if err != nil {
		return nil, stream.Mark(stream.Fatal, err)
	}
	meta, list, err := columnfile.ReadControls(f)
	switch {
	case err != nil:
		return nil, stream.Mark(stream.Fatal, err)
	case meta.ControlName != n:
		return nil, fatal("it says that it is %s: the file was renamed", meta.Key())
	case meta.Incarnation != s.incarnation(n.Topic, meta.Incarnation):
		return nil, nil
	}
	return list, nil
}

// incarnation is that of the archived events of a topic, or other if there are none.
func (s *Source) incarnation(topic, other string) string {
	for _, p := range s.partitions {
		if p.Topic == topic {
			return p.Incarnation
		}
	}
	return other
}
