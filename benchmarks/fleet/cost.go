package main

import (
	"context"
	"math"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/sinks/parquet"
)

// month is what prices are for.
const month = 730 * time.Hour

// prices of a thousand requests.
type prices struct {
	Write float64 `json:"writes"`
	Read  float64 `json:"reads"`
}

// objectCost is what one kind of object costs the fleet.
type objectCost struct {
	Kind  kind    `json:"kind"`
	Every float64 `json:"every_s"` // for each task
	life
	Each      priced  `json:"requests_each"`
	PerSecond priced  `json:"requests_per_second"` // of the fleet
	Month     float64 `json:"money_per_month"`
	Upload    float64 `json:"upload_mb_per_second"` // snapshots only: files grow with the events
}

// objectReport is what the object store has to do.
type objectReport struct {
	Calls map[op]priced `json:"requests_of_calls"`
	Costs []objectCost  `json:"costs"`
	Total objectTotal   `json:"total"`
	Price prices        `json:"price"`
}

// objectTotal is for the fleet.
type objectTotal struct {
	PerSecond priced  `json:"requests_per_second"`
	Month     float64 `json:"money_per_month"`
	Upload    float64 `json:"upload_mb_per_second"`
}

// objectCosts counts requests, and multiplies.
func objectCosts(ctx context.Context, o *options, task *taskRun) (*objectReport, error) {
	calls, err := requestsOfCalls(ctx)
	if err != nil {
		return nil, err
	}
	pipeline, err := compile("keyed.yaml", nil)
	if err != nil {
		return nil, err
	}
	raw, err := archive("keyed.yaml", nil)
	if err != nil {
		return nil, err
	}
	r := &objectReport{Calls: calls, Price: o.price}
	r.Costs, r.Total = costs(lives(task.calls), spacing(pipeline, raw, o.rate, task.eventBytes), calls, o.partitions, o.price)
	return r, nil
}

// spacing is how far apart objects of each kind are in one partition, by the settings of the plans. A raw part ends at the slot, or
// before when it has too many records or bytes.
func spacing(pipeline, raw *engine.Plan, rate, eventBytes float64) map[kind]time.Duration {
	cut := raw.Stages[0].Cut
	records := rate * cut.Slot.Seconds()
	parts := max(1, math.Ceil(records/float64(cut.Records)), math.Ceil(records*eventBytes/float64(cut.Bytes)))
	part := time.Duration(float64(cut.Slot) / parts)
	return map[kind]time.Duration{
		snapshotKind: pipeline.Stages[0].Interval.Snapshot, rawKind: part, cutKind: part, rollupKind: parquet.DefaultRollups().Slot,
	}
}

// costs multiplies.
func costs(lives map[kind]life, every map[kind]time.Duration, of map[op]priced, tasks int, price prices) (all []objectCost, total objectTotal) {
	for _, k := range kinds() {
		l, ok := lives[k]
		if !ok {
			continue
		}
		c := objectCost{Kind: k, Every: every[k].Seconds(), life: l}
		for o, n := range l.Calls {
			c.Each = c.Each.plus(of[o], n)
		}
		objects := float64(tasks) / c.Every
		c.PerSecond = priced{}.plus(c.Each, objects)
		c.Month = (c.PerSecond.Writes*price.Write + c.PerSecond.Reads*price.Read) / 1000 * month.Seconds()
		if k == snapshotKind || k == cutKind {
			c.Upload = objects * l.Bytes / 1e6
		}
		total.PerSecond = total.PerSecond.plus(c.PerSecond, 1)
		total.Month += c.Month
		total.Upload += c.Upload
		all = append(all, c)
	}
	return all, total
}
