package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recreated deletes a topic and makes it again when all is done: its tasks must refuse it, and leave everything as it is.
func recreated(ctx context.Context, r *run) error {
	return r.refused(ctx, "deleted and created again", func(ctx context.Context) error {
		if _, err := kadm.NewClient(r.bed.Client).DeleteTopics(ctx, r.keyed); err != nil {
			return fmt.Errorf("delete %s: %w", r.keyed, err)
		}
		if err := r.bed.CreateTopic(ctx, r.keyed, r.load.partitions); err != nil {
			return fmt.Errorf("make %s again: %w", r.keyed, err)
		}
		return nil
	})
}

// truncated lets the broker delete records that the tasks have not read, while no worker runs.
func truncated(ctx context.Context, r *run) error {
	return r.refused(ctx, "is outside the log", func(ctx context.Context) error {
		for p := range r.load.partitions {
			for range 10 {
				err := r.bed.Client.ProduceSync(ctx, &kgo.Record{Topic: r.keyed, Partition: p, Value: []byte("nobody has read this")}).FirstErr()
				if err != nil {
					return fmt.Errorf("produce: %w", err)
				}
			}
		}
		admin := kadm.NewClient(r.bed.Client)
		ends, err := admin.ListEndOffsets(ctx, r.keyed)
		if err != nil {
			return fmt.Errorf("list ends of %s: %w", r.keyed, err)
		}
		answers, err := admin.DeleteRecords(ctx, ends.Offsets())
		if err == nil {
			err = answers.Error()
		}
		if err != nil {
			return fmt.Errorf("delete records of %s: %w", r.keyed, err)
		}
		return nil
	})
}

// contradicted waits until a task to which keys have moved says so.
func contradicted(ctx context.Context, r *run) error {
	if err := crashes(allPoints, 5)(ctx, r); err != nil {
		return err
	}
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for said := false; !said; {
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("no task says that keys have moved; the log is %s", r.bed.Workers[0].Log())
		}
		sleepUntil(ctx, time.Now().Add(150*time.Millisecond))
		tasks, err := r.bed.Tasks(ctx)
		if err != nil {
			continue
		}
		for _, t := range tasks {
			said = said || t.Pipeline == "keyed" && strings.Contains(t.Problem, "keyed_by does not hold") // of two places one sees the other
		}
	}
	return r.drain(ctx)
}

// refused lets everything be read, harms the topic of the keyed pipeline while no worker runs, and waits until each of its tasks
// says what it refuses.
func (r *run) refused(ctx context.Context, why string, harm func(context.Context) error) error {
	if err := r.start(ctx, 1); err != nil {
		return err
	}
	if err := errors.Join(r.produce(ctx), r.settle(ctx)); err != nil {
		return err
	}
	if err := harm(ctx); err != nil {
		return err
	}
	if err := r.again(ctx, r.bed.Workers[0]); err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for n := 0; n < int(r.load.partitions); {
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%d of %d tasks say that the topic %q; the log is %s", n, r.load.partitions, why, r.bed.Workers[0].Log())
		}
		sleepUntil(ctx, time.Now().Add(150*time.Millisecond))
		tasks, err := r.bed.Tasks(ctx)
		if n = 0; err != nil {
			continue
		}
		for _, t := range tasks {
			if t.Pipeline == "keyed" && t.State == "failed" && strings.Contains(t.Problem, why) {
				n++
			}
		}
	}
	return r.drain(ctx)
}
