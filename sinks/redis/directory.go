package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/stream"
)

// ErrNoOutput is wrapped by errors about an output that Redis does not know.
var ErrNoOutput = errors.New("no such output")

// Outputs lists the outputs of all pipelines, sorted by pipeline and name, each of the instance that reported last.
func (c *Client) Outputs(ctx context.Context) ([]Output, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	all, err := c.rdb.HGetAll(ctx, c.outputsKey()).Result()
	if err != nil {
		return nil, failure("list outputs", err)
	}
	var outputs []Output
	for _, name := range slices.Sorted(maps.Keys(all)) {
		o, err := decodeOutput(all[name])
		if err != nil {
			return nil, fmt.Errorf("list outputs: %s: %w", name, err)
		}
		outputs = append(outputs, o)
	}
	return outputs, nil
}

// Output describes an output of a pipeline. An unknown one is an error that wraps ErrNoOutput.
func (c *Client) Output(ctx context.Context, pipeline, name string) (Output, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	raw, err := c.rdb.HGet(ctx, c.outputsKey(), pipeline+"/"+name).Result()
	if errors.Is(err, goredis.Nil) {
		return Output{}, fmt.Errorf("find output %s/%s: %w", pipeline, name, ErrNoOutput)
	}
	if err != nil {
		return Output{}, failure("find output "+pipeline+"/"+name, err)
	}
	return decodeOutput(raw)
}

func decodeOutput(raw string) (Output, error) {
	var o Output
	if err := json.Unmarshal([]byte(raw), &o); err != nil {
		return o, fmt.Errorf("read description of output: %w", err)
	}
	return o, o.Validate()
}

// writers are the tasks of an output as readers see them.
type writers struct {
	names   []string        // of the tasks, sorted; they begin the fields of their blocks
	known   map[string]bool // the same
	through stream.Time     // complete_through of the output
}

// writers reads who writes the output, and how far all of them have got. It is read before the windows, so that what it
// promises is in them. An output is complete through nothing while a part of it is not noted: whoever empties Redis takes
// the notes with the windows, so readers are told from that moment on, whenever a worker finds out.
func (c *Client) writers(ctx context.Context, o *Output) (*writers, error) {
	place := c.place(o)
	pipe := c.rdb.Pipeline()
	tasks, through, notes := pipe.HGetAll(ctx, tasksKey(place)), pipe.HGetAll(ctx, throughKey(place)), pipe.HGetAll(ctx, c.readyKey())
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, failure("read complete_through", err)
	}
	w, err := writersOf(tasks.Val(), through.Val())
	if err == nil && noted(notes.Val(), o) < len(w.names) {
		w.through = stream.NoTime
	}
	return w, err
}

// noted counts the parts of the output that are in Redis; -1 if one is being written.
func noted(notes map[string]string, o *Output) (n int) {
	for part, note := range notes {
		own := strings.HasPrefix(part, o.Instance+"/") && strings.HasSuffix(part, " "+o.Name)
		if !own && !strings.HasSuffix(part, " "+o.Name+" of "+o.Instance) {
			continue
		}
		if strings.HasPrefix(note, filling) {
			if strings.Contains(part, generationMark) {
				continue // readers see the earlier generation, if it is there
			}
			return -1
		}
		n++
	}
	return n
}

// writersOf is complete through the lowest mark, and through nothing while a partition of a topic is missing.
func writersOf(tasks, through map[string]string) (*writers, error) {
	w := &writers{known: map[string]bool{}, through: stream.MaxTime}
	missing := map[string]int{} // partitions by topic
	for _, field := range slices.Sorted(maps.Keys(tasks)) {
		name, count, _ := strings.Cut(tasks[field], " ")
		partitions, err := strconv.Atoi(count)
		topic, ok := cutLast(field)
		if err != nil || !ok {
			return nil, fmt.Errorf("read writers: %q says %q: %w", field, tasks[field], errDamaged)
		}
		if _, seen := missing[topic]; !seen {
			missing[topic] = partitions
		}
		missing[topic]--
		w.names, w.known[name] = append(w.names, name), true
		w.through = min(w.through, markOf(through[name]))
	}
	for _, n := range missing {
		if n > 0 {
			w.through = stream.NoTime
		}
	}
	if len(w.names) == 0 {
		w.through = stream.NoTime
	}
	return w, nil
}

// cutLast is what stands before the last slash of a field.
func cutLast(field string) (front string, ok bool) {
	i := strings.LastIndexByte(field, '/')
	if i < 0 {
		return "", false
	}
	return field[:i], true
}

// markOf reads a mark; a task that has not reported one yet has none.
func markOf(text string) stream.Time {
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return stream.NoTime
	}
	return stream.Time(at)
}
