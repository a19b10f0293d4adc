package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/stream"
)

// claimReport is what claims cost one PostgreSQL.
type claimReport struct {
	Rows        int  `json:"rows"`
	RowBytes    int  `json:"row_bytes"`
	Connections int  `json:"connections"`
	Fsync       bool `json:"fsync"`
	// Tasks is how many a worker has, Pack how many of them the engine puts into a claim.
	Tasks int        `json:"tasks_of_a_worker"`
	Pack  int        `json:"tasks_of_a_claim"`
	Rates []packRate `json:"rates"`
	// FleetConnections is what workers hold, at least and at most.
	FleetConnections [2]int `json:"connections_of_the_fleet"`
}

// packRate is what was measured with so many tasks in a claim.
type packRate struct {
	Pack         int     `json:"pack"`
	Tasks        float64 `json:"tasks_per_second"`
	Transactions float64 `json:"transactions_per_second"`
	P50          float64 `json:"p50_ms"`
	P99          float64 `json:"p99_ms"`
	WAL          float64 `json:"wal_bytes_per_task"`
	// What follows for the fleet.
	Needs []claimNeed `json:"needs"`
	Burst float64     `json:"all_tasks_once_s"` // and so the shortest interval
}

// claimNeed is arithmetic.
type claimNeed struct {
	Epoch float64 `json:"epoch_s"`
	Tasks float64 `json:"tasks_per_second"`
	Share float64 `json:"share_of_measured"`
	WAL   float64 `json:"wal_mb_per_second"`
}

func (r *packRate) multiply(partitions int, epochs durations) {
	for _, e := range epochs {
		need := float64(partitions) / e.Seconds()
		r.Needs = append(r.Needs, claimNeed{Epoch: e.Seconds(), Tasks: need, Share: need / r.Tasks, WAL: need * r.WAL / 1e6})
	}
	r.Burst = float64(partitions) / r.Tasks
}

// claims has a real PostgreSQL take claims, with rows as the engine writes them.
func claims(ctx context.Context, o *options, row []byte) (_ *claimReport, err error) {
	server, err := testservers.StartPostgres(ctx, testservers.PostgresOptions{
		Fsync: o.fsync, Settings: map[string]string{"max_connections": strconv.Itoa(o.connections + 10)},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	dsn, err := server.CreateDatabase(ctx, "fleet")
	if err != nil {
		return nil, err
	}
	return claimsIn(ctx, o, dsn, row)
}

// claimsIn uses a database.
func claimsIn(ctx context.Context, o *options, dsn string, row []byte) (*claimReport, error) {
	c := postgres.Default()
	most := int(c.MaxConns)
	c.DSN = dsn
	c.MaxConns = int32(max(o.connections, 2))
	db, err := postgres.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	l := &claimLab{db: db, store: db.Claims(), row: row, lanes: make([][]*stream.Checkpoint, o.connections)}
	progress("taking over %d tasks", o.partitions)
	if err := l.each(func(lane int) error { return l.takeOver(ctx, lane, o.partitions) }); err != nil {
		return nil, err
	}
	report := &claimReport{
		Rows: o.partitions, RowBytes: len(row), Connections: o.connections, Fsync: o.fsync, Tasks: o.partitions / o.workers,
		FleetConnections: [2]int{o.workers, o.workers * most},
	}
	progress("running one worker with %d tasks for %s", report.Tasks, o.claimFor)
	if report.Pack, err = packed(ctx, l.store, report.Tasks, o.claimFor); err != nil {
		return nil, err
	}
	packs := slices.Clone(o.packs)
	if !slices.Contains(packs, report.Pack) {
		packs = append(packs, report.Pack)
	}
	slices.Sort(packs)
	for _, pack := range packs {
		progress("claiming in packs of %d for %s", pack, o.claimFor)
		r, err := l.measure(ctx, pack, o.claimFor)
		if err != nil {
			return nil, err
		}
		r.multiply(o.partitions, o.epochs)
		report.Rates = append(report.Rates, r)
	}
	return report, nil
}

// packed runs one worker of the fleet in the engine, with epochs of a second and this claim store, and returns how many tasks it puts
// into a claim on average.
func packed(ctx context.Context, store *postgres.ClaimStore, tasks int, length time.Duration) (int, error) {
	counted := &countingClaims{ClaimStore: store}
	b := newBench(counted, tasks)
	plan, err := compile("keyed.yaml", b.objects)
	if err != nil {
		return 0, err
	}
	p := pace{speed: int(plan.Stages[0].Interval.Epoch / time.Second), perSecond: 10 * tasks, hosts: 10 * tasks}
	p.length = length * time.Duration(p.speed)
	err = b.run(ctx, []*engine.Plan{plan}, p, func() error {
		_, err := b.feed(ctx, p, func() {})
		counted.done.Store(true)
		return err
	})
	if err != nil {
		return 0, err
	}
	if counted.claims.Load() == 0 {
		return 0, fmt.Errorf("a worker has claimed nothing in %s: give -claim-for more", length)
	}
	return int(math.Round(float64(counted.tasks.Load()) / float64(counted.claims.Load()))), nil
}

// countingClaims counts claims until it is done: the last ones of a worker that ends are no usual ones. Safe for concurrent use.
type countingClaims struct {
	*postgres.ClaimStore
	done          atomic.Bool
	claims, tasks atomic.Int64
}

// Claim implements stream.ClaimStore.
func (c *countingClaims) Claim(ctx context.Context, all []*stream.Checkpoint) ([]bool, error) {
	if !c.done.Load() {
		c.claims.Add(1)
		c.tasks.Add(int64(len(all)))
	}
	return c.ClaimStore.Claim(ctx, all)
}

// claimLab is tasks in a database. Each lane has its own, as workers do.
type claimLab struct {
	db    *postgres.DB
	store *postgres.ClaimStore
	row   []byte
	lanes [][]*stream.Checkpoint
}

// each runs f for all lanes at once.
func (l *claimLab) each(f func(lane int) error) error {
	errs := make([]error, len(l.lanes))
	var wg sync.WaitGroup
	for i := range l.lanes {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// takeOver makes the rows of a lane.
func (l *claimLab) takeOver(ctx context.Context, lane, partitions int) error {
	for n := lane; n < partitions; n += len(l.lanes) {
		cp, err := l.store.TakeOver(ctx, stream.TaskID{Instance: "fleet@0123456789ab", Stage: "main", Partition: partition(n)}, fmt.Sprintf("%016x", n))
		if err != nil {
			return err
		}
		l.lanes[lane] = append(l.lanes[lane], cp)
	}
	return nil
}

// claim claims the next epoch of a pack of a lane, which begins at the task that is n-th.
func (l *claimLab) claim(ctx context.Context, lane, n, pack int) error {
	tasks := l.lanes[lane]
	all := make([]*stream.Checkpoint, pack)
	for i := range all {
		next := *tasks[(n+i)%len(tasks)]
		next.Epoch++
		next.Record = l.row
		all[i] = &next
	}
	won, err := l.store.Claim(ctx, all)
	if err != nil {
		return err
	}
	if at := slices.Index(won, false); at >= 0 {
		return fmt.Errorf("claim epoch %d of %s: it was lost, and nobody else claims here", all[at].Epoch, all[at].Task)
	}
	for i, next := range all {
		tasks[(n+i)%len(tasks)] = next
	}
	return nil
}

// measure lets all lanes claim for a while.
func (l *claimLab) measure(ctx context.Context, pack int, length time.Duration) (packRate, error) {
	if err := l.each(func(lane int) error { return l.claim(ctx, lane, 0, pack) }); err != nil { // connects, and prepares the statement
		return packRate{}, err
	}
	var from string
	if err := l.db.Pool().QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&from); err != nil {
		return packRate{}, fmt.Errorf("ask for the place in the log: %w", err)
	}
	took := make([][]time.Duration, len(l.lanes))
	began := time.Now()
	err := l.each(func(lane int) error {
		for n := pack; time.Since(began) < length; n += pack {
			one := time.Now()
			if err := l.claim(ctx, lane, n, pack); err != nil {
				return err
			}
			took[lane] = append(took[lane], time.Since(one))
		}
		return nil
	})
	if err != nil {
		return packRate{}, err
	}
	all, wall := slices.Concat(took...), time.Since(began).Seconds()
	slices.Sort(all)
	r := packRate{
		Pack: pack, Transactions: float64(len(all)) / wall, Tasks: float64(len(all)*pack) / wall,
		P50: milliseconds(quantile(all, 0.5)), P99: milliseconds(quantile(all, 0.99)),
	}
	err = l.db.Pool().QueryRow(ctx, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::pg_lsn)::float8`, from).Scan(&r.WAL)
	if r.WAL /= float64(len(all) * pack); err != nil {
		return r, fmt.Errorf("ask for the place in the log: %w", err)
	}
	return r, nil
}

// quantile is the smallest value that so many are at or below; sorted is not empty.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}
