// Package drain has one worker of the product read a full topic, and says what that cost: the commands bench, guard and curves
// are made of it. Everything in it is used from one goroutine.
package drain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// Job is one worker that reads a full topic, with ledger, checkpoints and Redis on. Any number of jobs may use the same
// servers, one after the other: each finds them without anything of the one before.
type Job struct {
	Name      string // of its database, its consumer group and its log: letters, digits and _
	Dir       string
	Binary    string
	Env       []string // of the worker, in addition to ours
	Load      Load
	Pipelines []Pipeline
	// Count has the instructions counted, which takes a machine that can.
	Count bool
	// Profile is a file for a CPU profile of about half the run; "" for none. It costs the worker some percent.
	Profile string
}

// Costs are those of the worker process, from its start to its end.
type Costs struct {
	CPU          float64  `json:"cpu_s_per_million"` // user and system, by million events of the topic
	User         float64  `json:"user_s_per_million"`
	System       float64  `json:"system_s_per_million"`
	Instructions *float64 `json:"instructions_per_event,omitempty"` // in user mode
	RSS          float64  `json:"rss_peak_mb"`
	// Allocs is how many objects were made on the heap for a record that was read, after warm-up. nil: the worker does not
	// tell, or it was done too soon.
	Allocs *float64 `json:"allocs_per_event,omitempty"`
	Wall   float64  `json:"wall_s"`
}

const (
	limit = 15 * time.Minute
	// calm is how long bed.Await looks at what does not change any more: three looks, half a second apart.
	calm = time.Second
)

// Run runs the job on a topic that is filled.
func (j *Job) Run(ctx context.Context, s *bed.Servers) (costs *Costs, err error) {
	folder := filepath.Join(j.Dir, j.Name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	for _, p := range j.Pipelines {
		if err := os.WriteFile(filepath.Join(folder, p.Name+".yaml"), []byte(p.Text), 0o600); err != nil {
			return nil, err
		}
	}
	if err := emptyRedis(ctx, s); err != nil {
		return nil, err
	}
	c, err := s.Cluster(ctx, bed.Place{Dir: j.Dir, Binary: j.Binary, Pipelines: folder, Name: j.Name, Group: j.Name, Routes: s.Direct()})
	if err != nil {
		return nil, err
	}
	defer func() {
		c.Leave()
		if err == nil { // otherwise everything is left for whoever looks into it
			err = j.clean(ctx, s)
		}
	}()
	return j.run(ctx, c)
}

func (j *Job) run(ctx context.Context, c *bed.Cluster) (*Costs, error) {
	w := c.NewWorker(ctx, j.Name)
	w.Env = j.Env
	began := time.Now()
	counter, err := j.start(ctx, w)
	if err != nil {
		return nil, err
	}
	defer counter.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with the worker, which Leave kills
		<-w.Ended
		cancel(errors.New("the worker has ended too early"))
	}()
	costs, err := j.watch(ctx, c, w, began)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("%w; its log is %s", err, w.Log())
	}
	costs.RSS = bed.Peak(w.Cmd.Process.Pid)
	w.Signal(syscall.SIGTERM)
	<-w.Ended
	million := float64(j.Load.Events) / 1e6
	costs.User = w.Cmd.ProcessState.UserTime().Seconds() / million
	costs.System = w.Cmd.ProcessState.SystemTime().Seconds() / million
	costs.CPU = costs.User + costs.System
	if counter != nil {
		n, err := counter.read()
		if err != nil {
			return nil, err
		}
		each := n / float64(j.Load.Events)
		costs.Instructions = &each
	}
	return costs, nil
}

// start starts the worker, counted if that is wanted.
func (j *Job) start(ctx context.Context, w *bed.Worker) (*counter, error) {
	if !j.Count {
		return nil, w.Start(ctx)
	}
	runtime.LockOSThread() // the counter belongs to the thread, whose children inherit it
	defer runtime.UnlockOSThread()
	c, err := instructions.open()
	if err != nil {
		return nil, fmt.Errorf("count instructions: %w", err)
	}
	if err := w.Start(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// watch waits until everything is read, and written, and in the ledger.
func (j *Job) watch(ctx context.Context, c *bed.Cluster, w *bed.Worker, began time.Time) (*Costs, error) {
	records := j.Load.Events * int64(len(j.Pipelines))
	allocs, err := j.allocations(ctx, w, records, began)
	if err != nil {
		return nil, err
	}
	var wanted []bed.Want
	reads := map[string]bool{} // by pipeline and stage
	for _, p := range j.Pipelines {
		wanted = append(wanted, p.wanted...)
		reads[p.Name+"/"+p.wanted[0].Stage] = true
	}
	tasks, err := c.Await(ctx, limit, wanted, func([]bed.Task) bool { return true })
	if err != nil {
		return nil, err
	}
	wall := time.Since(began) - calm
	var counted int64
	for i := range tasks {
		if t := &tasks[i]; reads[t.Pipeline+"/"+t.Stage] {
			for _, n := range t.Ledger {
				counted += n
			}
		}
	}
	if counted != records {
		return nil, fmt.Errorf("the ledger holds %d of %d events", counted, records)
	}
	return &Costs{Allocs: allocs, Wall: wall.Seconds()}, nil
}

// clean removes what the job has on the servers. Topics that all workers share stay.
func (j *Job) clean(ctx context.Context, s *bed.Servers) error {
	client, err := s.Producer()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := bed.DeleteTopics(ctx, client, func(string) bool { return false }); err != nil {
		return err
	}
	objects := filepath.Join(s.S3.Folder(), "objects", s.Bucket.Bucket, j.Name)
	return errors.Join(s.Postgres.DropDatabase(ctx, j.Name), os.RemoveAll(objects), os.RemoveAll(filepath.Join(j.Dir, j.Name)))
}

func emptyRedis(ctx context.Context, s *bed.Servers) error {
	c := redis.NewClient(&redis.Options{Addr: s.Redis.Address()})
	defer c.Close()
	if err := c.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty Redis: %w", err)
	}
	return nil
}
