package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// upReport is the line that show-up prints.
type upReport struct {
	Alert    string `json:"alert"` // state of the acknowledged alert after the restart
	Acked    bool   `json:"acked"`
	Produced int64  `json:"produced"` // records on the topic metrics
	Counted  int64  `json:"counted"`  // by the ledger of host-cpu
	Lost     int64  `json:"lost"`     // CPU values that no rollup has
	Doubled  int64  `json:"doubled"`
}

// upRun is the product on one folder.
type upRun struct {
	binary, dir, data, listen, kafka string
	cmd                              *exec.Cmd
	ended                            chan struct{}
}

// newUpRun is the binary on an empty folder below dir, on free ports.
func newUpRun(ctx context.Context, binary, dir string) (*upRun, error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	return &upRun{binary: path, dir: dir, data: filepath.Join(dir, "data"), listen: bed.FreeAddress(ctx), kafka: bed.FreeAddress(ctx)}, nil
}

// up shows that the whole product survives kill -9 on its folder.
func up(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("up", flag.ContinueOnError)
	binary := f.String("binary", "bin/tidewatch", "the product")
	alive := f.Duration("for", time.Minute, "how long it runs at least before it is killed")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is well")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, done, err := workFolder(*keep, "show-up")
	if err != nil {
		return err
	}
	u, err := newUpRun(ctx, *binary, dir)
	if err != nil {
		return err
	}
	report, err := u.all(ctx, *alive)
	u.stop(syscall.SIGKILL)
	if err != nil {
		return done(err)
	}
	good := report.Alert == "firing" && report.Acked && report.Produced == report.Counted && report.Produced > 0 && report.Lost == 0 && report.Doubled == 0
	return done(printReport(report, good))
}

// start starts it; "" is the demo that a person gets.
func (u *upRun) start(ctx context.Context, demo string) error {
	log, err := os.OpenFile(filepath.Join(u.dir, "up.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	args := []string{"up", "--data-dir", u.data, "--listen", u.listen, "--kafka-listen", u.kafka}
	if demo != "" {
		args = append(args, "--demo", demo)
	}
	u.cmd = exec.CommandContext(ctx, u.binary, args...)
	u.cmd.Stdout, u.cmd.Stderr = log, log
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := u.cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	cmd, ended := u.cmd, make(chan struct{})
	u.ended = ended
	go func() {
		_ = cmd.Wait() // killed: what it says does not matter
		_ = log.Close()
		close(ended)
	}()
	return nil
}

func (u *upRun) stop(s syscall.Signal) {
	if u.ended == nil {
		return
	}
	_ = u.cmd.Process.Signal(s) // it may have ended
	<-u.ended
}

// alertPatience is how long the first alert may take: the planted attack begins after 20 s, its rule judges whole minutes, and
// the first of them may have too little of it.
const alertPatience = 3 * time.Minute

func (u *upRun) all(ctx context.Context, alive time.Duration) (*upReport, error) {
	if err := u.start(ctx, "sim"); err != nil {
		return nil, err
	}
	deadline := time.After(alive)
	var id string
	err := poll(ctx, alertPatience, "an alert fires", func() (ok bool, err error) {
		id, _, err = u.firing(ctx, "")
		return id != "", err
	})
	if err != nil {
		return nil, err
	}
	progress("alert %s fires; acknowledging it", id)
	if _, err := u.run(ctx, "alert", "ack", id, "--by", "show", "--note", "seen"); err != nil {
		return nil, err
	}
	select {
	case <-deadline:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	progress("kill -9")
	u.stop(syscall.SIGKILL)
	if err := u.start(ctx, "none"); err != nil {
		return nil, err
	}
	r := &upReport{}
	err = poll(ctx, time.Minute, "everything is read again", func() (bool, error) { return u.caughtUp(ctx, r) })
	if err != nil {
		return nil, err
	}
	_, x, err := u.firing(ctx, id)
	if err != nil {
		return nil, err
	}
	r.Alert, r.Acked = x.State, x.Acknowledged != nil
	if err := poll(ctx, 30*time.Second, "every value is in a rollup", func() (bool, error) { return u.compare(ctx, r) }); err != nil {
		progress("%v", err) // the report tells by how much
	}
	return r, nil
}

// poll asks until it is so.
func poll(ctx context.Context, limit time.Duration, what string, ask func() (bool, error)) error {
	var last error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		ok, err := ask()
		if ok {
			return nil
		}
		last = err
		if !sleepUntil(ctx, time.Now().Add(500*time.Millisecond)) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("waited %s until %s: %w", limit, what, errors.Join(last, errors.New("it did not happen")))
}

func (u *upRun) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, u.binary, append(args, "-q", "-c", filepath.Join(u.data, "tidewatch.yaml"))...)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("tidewatch %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// shownAlert is what matters of an alert.
type shownAlert struct {
	ID           string `json:"id"`
	State        string `json:"state"`
	Acknowledged *struct {
		By string `json:"by"`
	} `json:"acknowledged"`
}

// firing finds the alert, or any that fires.
func (u *upRun) firing(ctx context.Context, id string) (string, *shownAlert, error) {
	out, err := u.run(ctx, "alert", "ls", "--all", "-o", "json")
	if err != nil {
		return "", nil, err
	}
	var all []shownAlert
	if err := json.Unmarshal(out, &all); err != nil {
		return "", nil, err
	}
	at := slices.IndexFunc(all, func(a shownAlert) bool { return a.ID == id || id == "" && a.State == "firing" })
	if at < 0 {
		return "", nil, nil
	}
	return all[at].ID, &all[at], nil
}

// caughtUp compares the end of the topic with the ledger of host-cpu.
func (u *upRun) caughtUp(ctx context.Context, r *upReport) (bool, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(u.kafka))
	if err != nil {
		return false, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, "metrics")
	if err != nil {
		return false, err
	}
	r.Produced, r.Counted = 0, 0
	ends.Each(func(o kadm.ListedOffset) { r.Produced += o.Offset })
	var status struct {
		Pipelines []struct {
			Name   string           `json:"name"`
			Ledger map[string]int64 `json:"ledger"`
		} `json:"pipelines"`
	}
	if err := bed.GetJSON(ctx, "http://"+u.listen+"/api/v2/status", &status); err != nil {
		return false, err
	}
	for _, p := range status.Pipelines {
		if p.Name == "host-cpu" {
			for _, n := range p.Ledger {
				r.Counted += n
			}
		}
	}
	return r.Produced == r.Counted, nil
}

// compare counts the CPU values on the topic by window and host, and in the rollups.
func (u *upRun) compare(ctx context.Context, r *upReport) (bool, error) {
	want, err := u.produced(ctx, r.Produced)
	if err != nil {
		return false, err
	}
	out, err := u.run(ctx, "query", "host-cpu", "--last", "6h", "-o", "csv")
	if err != nil {
		return false, err
	}
	rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
	if err != nil || len(rows) == 0 {
		return false, fmt.Errorf("read the rollups: %w", err)
	}
	at := func(name string) int { return slices.Index(rows[0], name) }
	r.Lost, r.Doubled = 0, 0
	for _, row := range rows[1:] {
		t, err := time.Parse(time.RFC3339Nano, row[at("time")])
		if err != nil {
			return false, err
		}
		n, err := strconv.ParseInt(row[at("samples")], 10, 64)
		if err != nil {
			return false, err
		}
		want[fmt.Sprint(t.UnixMilli(), row[at("host")])] -= n
	}
	for _, n := range want {
		r.Lost, r.Doubled = r.Lost+max(n, 0), r.Doubled+max(-n, 0)
	}
	return r.Lost == 0 && r.Doubled == 0, nil
}

// produced reads the topic: how many CPU values each window of each host has.
func (u *upRun) produced(ctx context.Context, records int64) (map[string]int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(u.kafka), kgo.ConsumeTopics("metrics"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	counts := map[string]int64{}
	for seen := int64(0); seen < records; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, err
		}
		for it := fetches.RecordIter(); !it.Done(); seen++ {
			var e struct {
				Time       int64
				Name, Host string
			}
			if err := json.Unmarshal(it.Next().Value, &e); err != nil {
				return nil, err
			}
			if e.Name == "system.cpu.utilization" {
				counts[fmt.Sprint(e.Time/10_000*10_000, e.Host)]++
			}
		}
	}
	return counts, nil
}
