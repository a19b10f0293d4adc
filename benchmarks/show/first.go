package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

const (
	// firstBar is how long a person waits for something to look at.
	firstBar = 3 * time.Second
	// firstEvery is the distance of two questions: what asks more often slows down what it measures.
	firstEvery = 100 * time.Millisecond
	// firstPatience is the end of waiting for a step.
	firstPatience = 2 * time.Minute
)

// firstReport is the line that show-first-data prints.
type firstReport struct {
	Fresh   firstSteps `json:"fresh"` // on an empty folder
	Again   firstSteps `json:"again"` // on the same folder, after SIGTERM
	Load    float64    `json:"load_before"`
	Machine string     `json:"machine"`
}

// firstSteps are seconds from the start of the process. On a machine that does other things they say little without cpu_s.
type firstSteps struct {
	Lock     float64 `json:"process_s"`  // the program runs, and has its folder
	Broker   float64 `json:"broker_s"`   // it answers
	Postgres float64 `json:"postgres_s"` // it answers our role
	API      float64 `json:"api_s"`      // /healthz
	Data     float64 `json:"data_s"`     // the first rollup in /api/v2/metrics/system
	Ready    float64 `json:"ready_s"`    // /readyz
	CPU      float64 `json:"cpu_s"`      // that it and PostgreSQL have used by the first rollup
}

// firstData shows how soon after its start tidewatch up has something to look at.
func firstData(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("first-data", flag.ContinueOnError)
	binary := f.String("binary", "bin/tidewatch", "the product")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is well")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, done, err := workFolder(*keep, "show-first-data")
	if err != nil {
		return err
	}
	u, err := newUpRun(ctx, *binary, dir)
	if err != nil {
		return err
	}
	r := firstReport{Load: loadAverage(), Machine: machine()}
	for _, steps := range []*firstSteps{&r.Fresh, &r.Again} {
		err := u.firstSteps(ctx, steps)
		u.stop(syscall.SIGTERM)
		if err != nil {
			return done(err)
		}
	}
	err = printReport(r, true)
	if r.Fresh.Data > firstBar.Seconds() {
		err = errors.Join(err, fmt.Errorf("the first rollup came after %.1f s, later than %s", r.Fresh.Data, firstBar))
	}
	return done(err)
}

// loadAverage is that of the last minute, 0 where the system does not tell.
func loadAverage() (load float64) {
	text, _ := os.ReadFile("/proc/loadavg")
	_, _ = fmt.Sscan(string(text), &load)
	return load
}

// firstSteps starts the product with the demo that a person gets, and waits for each step.
func (u *upRun) firstSteps(ctx context.Context, s *firstSteps) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(u.kafka), kgo.RequestRetries(0), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, firstPatience)
	defer cancel()
	_ = os.Remove(filepath.Join(u.data, "lock")) // of the start before, if any
	began := time.Now()
	if err := u.start(ctx, ""); err != nil {
		return err
	}
	steps := []struct {
		name string
		at   *float64
		ask  func(context.Context) error
	}{
		{"the folder is locked", &s.Lock, func(context.Context) error { _, err := os.Stat(filepath.Join(u.data, "lock")); return err }},
		{"Kafka answers", &s.Broker, client.Ping},
		{"PostgreSQL answers", &s.Postgres, u.postgresAnswers},
		{"the API answers", &s.API, func(ctx context.Context) error { return u.answersOK(ctx, "/healthz") }},
		{"there is a rollup", &s.Data, u.hasData},
		{"it is ready", &s.Ready, func(ctx context.Context) error { return u.answersOK(ctx, "/readyz") }},
	}
	errs := make([]error, len(steps))
	var wg sync.WaitGroup
	for i, step := range steps {
		wg.Go(func() {
			if err := u.askUntil(ctx, step.ask); err != nil {
				errs[i] = fmt.Errorf("wait until %s: %w", step.name, err)
			}
			*step.at = hundredths(time.Since(began).Seconds())
			if step.at == &s.Data {
				_, all, err := cpuOf(u.cmd.Process.Pid)
				s.CPU, errs[i] = hundredths(all), errors.Join(errs[i], err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func hundredths(seconds float64) float64 { return math.Round(seconds*100) / 100 }

// askUntil asks until there is no error. A program that has ended is not asked again.
func (u *upRun) askUntil(ctx context.Context, ask func(context.Context) error) error {
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-u.ended:
			return fmt.Errorf("it ended: %w", err)
		case <-time.After(firstEvery):
		}
	}
}

// postgresAnswers asks the server, whose address and password are in its folder.
func (u *upRun) postgresAnswers(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(u.data, "postgres", "access.json"))
	if err != nil {
		return err
	}
	var access struct {
		Password string
		Port     int
	}
	if err := json.Unmarshal(text, &access); err != nil {
		return err
	}
	dsn := url.URL{Scheme: "postgres", User: url.UserPassword("tidewatch", access.Password), Host: fmt.Sprintf("127.0.0.1:%d", access.Port), Path: "/tidewatch"}
	conn, err := pgx.Connect(ctx, dsn.String())
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(ctx), conn.Close(ctx))
}

func (u *upRun) answersOK(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+u.listen+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

func (u *upRun) hasData(ctx context.Context) error {
	var answer struct {
		Series []struct{ Points []json.RawMessage }
	}
	if err := bed.GetJSON(ctx, "http://"+u.listen+"/api/v2/metrics/system?last=15m", &answer); err != nil {
		return err
	}
	for _, s := range answer.Series {
		if len(s.Points) > 0 {
			return nil
		}
	}
	return errors.New("no series has a point")
}
