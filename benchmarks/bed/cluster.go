package bed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Cluster is workers of the product, and their place on the servers.
type Cluster struct {
	*Servers
	Place

	Config  string
	Client  *kgo.Client // of the producer; its records name their partition
	Workers []*Worker
}

// Close kills the workers and stops the servers.
func (c *Cluster) Close() error {
	c.Leave()
	return c.Servers.Close()
}

// Leave kills the workers; the servers go on.
func (c *Cluster) Leave() {
	for _, w := range c.Workers {
		w.Kill()
	}
	c.Client.Close()
}

// Worker is one process of the product. Its methods are called from one goroutine.
type Worker struct {
	c      *Cluster
	ID     string
	HTTP   string // address of the API
	Admin  string // of metrics
	Env    []string
	Cmd    *exec.Cmd
	Ended  chan struct{} // closed when the process is gone
	Starts int
}

// AddWorker starts one more worker.
func (c *Cluster) AddWorker(ctx context.Context, id string) (*Worker, error) {
	w := c.NewWorker(ctx, id)
	return w, w.Start(ctx)
}

// NewWorker adds a worker that is not started yet.
func (c *Cluster) NewWorker(ctx context.Context, id string) *Worker {
	w := &Worker{c: c, ID: id}
	w.Move(ctx)
	c.Workers = append(c.Workers, w)
	return w
}

// Move draws other addresses for the next start.
func (w *Worker) Move(ctx context.Context) { w.HTTP, w.Admin = FreeAddress(ctx), FreeAddress(ctx) }

// Start runs the binary until it is killed, whatever becomes of ctx; its log is appended to a file named after the worker.
func (w *Worker) Start(ctx context.Context) error {
	log, err := os.OpenFile(w.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w.Cmd = exec.CommandContext(context.WithoutCancel(ctx), w.c.Binary, "serve", "-c", w.c.Config, "--worker-id", w.ID)
	w.Cmd.Env = append(append(os.Environ(), w.Env...), "TIDEWATCH_HTTP__LISTEN="+w.HTTP, "TIDEWATCH_HTTP__ADMIN="+w.Admin)
	w.Cmd.Stdout, w.Cmd.Stderr = log, log
	w.Cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.Cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	w.Starts++
	ended := make(chan struct{})
	w.Ended = ended
	cmd := w.Cmd
	go func() {
		_ = cmd.Wait() // killed: what it says does not matter
		_ = log.Close()
		close(ended)
	}()
	return nil
}

// Log is the file that takes what the process says.
func (w *Worker) Log() string { return filepath.Join(w.c.Dir, w.ID+".log") }

// Signal sends a signal to the process, if there is one.
func (w *Worker) Signal(s syscall.Signal) {
	if w.Cmd != nil && w.Cmd.Process != nil {
		_ = w.Cmd.Process.Signal(s)
	}
}

// Kill is kill -9.
func (w *Worker) Kill() {
	if w.Ended == nil {
		return
	}
	w.Signal(syscall.SIGKILL)
	<-w.Ended
}

// Task is a partition as /api/v2/status shows it.
type Task struct {
	Stage     string           `json:"stage"`
	Topic     string           `json:"topic"`
	Partition int32            `json:"partition"`
	State     string           `json:"state"`
	Problem   string           `json:"problem"`
	Offset    int64            `json:"offset"`
	Lag       *int64           `json:"lag"`
	Watermark *time.Time       `json:"watermark"`
	Ledger    map[string]int64 `json:"ledger"`
	Pipeline  string           `json:"-"`
	Diff      int64            `json:"-"`
}

// Tasks asks all workers, and lists each task once.
func (c *Cluster) Tasks(ctx context.Context) (all []Task, err error) {
	for _, w := range c.Workers {
		var status struct {
			Pipelines []struct {
				Name       string `json:"name"`
				Diff       int64  `json:"ledger_diff"`
				Partitions []Task `json:"partitions"`
			} `json:"pipelines"`
		}
		if err := GetJSON(ctx, "http://"+w.HTTP+"/api/v2/status", &status); err != nil {
			return nil, err
		}
		for _, p := range status.Pipelines {
			for _, t := range p.Partitions {
				t.Pipeline, t.Diff = p.Name, p.Diff
				all = append(all, t)
			}
		}
	}
	return all, nil
}

// Get is what the address answers, if that is 200.
func Get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s: %.1000s", url, resp.Status, text)
	}
	return text, err
}

// GetJSON decodes what the address answers.
func GetJSON(ctx context.Context, url string, into any) error {
	text, err := Get(ctx, url)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// Want is what a caught-up cluster shows for a pipeline: the number of tasks of a stage.
type Want struct {
	Pipeline, Stage string
	Tasks           int
}

// Await polls until every wanted task runs without lag and ok holds, several times in a row.
func (c *Cluster) Await(ctx context.Context, limit time.Duration, wanted []Want, ok func([]Task) bool) ([]Task, error) {
	deadline := time.Now().Add(limit)
	calm, last := 0, ""
	for time.Now().Before(deadline) && ctx.Err() == nil {
		all, err := c.Tasks(ctx)
		switch {
		case err != nil:
			last = err.Error()
		default:
			last = Missing(all, wanted)
		}
		if last == "" && ok(all) {
			if calm++; calm == 3 {
				return all, nil
			}
		} else {
			calm = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil, fmt.Errorf("the workers did not catch up within %s: %s; their logs are in %s", limit, last, c.Dir)
}

// Missing says what a caught-up cluster would show and this one does not.
func Missing(all []Task, wanted []Want) string {
	var lacks []string
	for _, w := range wanted {
		n := 0
		for _, t := range all {
			if t.Pipeline == w.Pipeline && t.Stage == w.Stage && t.State == "running" && t.Lag != nil && *t.Lag == 0 {
				n++
			}
		}
		if n != w.Tasks {
			lacks = append(lacks, fmt.Sprintf("%d of %d tasks of %s/%s are there without lag", n, w.Tasks, w.Pipeline, w.Stage))
		}
	}
	for _, t := range all {
		if t.State == "failed" {
			lacks = append(lacks, t.Pipeline+": "+t.Problem)
		}
	}
	return strings.Join(lacks, "; ")
}

// Run runs the binary and returns its standard output.
func (c *Cluster) Run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.Binary, append(args, "-c", c.Config)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("tidewatch %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return []byte(out.String()), nil
}
