package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/internal/config"
	"github.com/tidewatch/tidewatch/stream"
)

// replayReport is the line that show-replay prints.
type replayReport struct {
	Pipelines   int      `json:"pipelines"`   // that were replayed, each by its own command
	Records     int64    `json:"records"`     // of the demo, all of them archived
	Ticks       int      `json:"ticks"`       // idle ticks that took effect in the replays
	Files       int      `json:"files"`       // of rollups, final and provisional: equal rows and metadata
	Rows        int      `json:"rows"`        // in them
	Values      int      `json:"values"`      // rows of rollups that Redis shows: equal
	Transitions int      `json:"transitions"` // equal bodies
	Different   int      `json:"different"`   // of all these, what only one side has, or what differs
	Silent      []string `json:"silent"`      // pipelines that have said nothing
	Seconds     float64  `json:"seconds"`
}

func (r *replayReport) good() bool {
	return r.Different == 0 && r.Pipelines > 0 && r.Records > 0 && r.Files > 0 && r.Values > 0 && r.Transitions > 0 && len(r.Silent) == 0
}

// replayRun is the product with its demo, and second stores that the replays write to.
type replayRun struct {
	*upRun

	live, replayed replayStores
	client         *kgo.Client
	from, to       string // what is queried
	report         replayReport
}

// replayStores is where one way to run has written.
type replayStores struct{ dsn, redis, objects string }

// environment makes a command use them, whatever the configuration says.
func (s *replayStores) environment() []string {
	return append(os.Environ(), "TIDEWATCH_POSTGRES__DSN="+s.dsn, "TIDEWATCH_REDIS__URL="+s.redis, "TIDEWATCH_OBJECTS__URL=file://"+s.objects)
}

// replayDemo shows that every shipped pipeline says by replay of the archive what it has said live.
func replayDemo(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("replay", flag.ContinueOnError)
	binary := f.String("binary", "bin/tidewatch", "the product")
	alive := f.Duration("for", 40*time.Second, "how long the demo runs; it begins with half an hour of history")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is equal")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, done, err := workFolder(*keep, "show-replay")
	if err != nil {
		return err
	}
	began := time.Now()
	u, err := newUpRun(ctx, *binary, dir)
	if err != nil {
		return err
	}
	r := &replayRun{upRun: u, from: began.Add(-time.Hour).Format(time.RFC3339), to: began.Add(time.Hour).Format(time.RFC3339)}
	defer u.stop(syscall.SIGKILL)
	if err := r.all(ctx, *alive); err != nil {
		return done(err)
	}
	r.report.Seconds = time.Since(began).Round(time.Second).Seconds()
	u.stop(syscall.SIGTERM)
	return done(printReport(&r.report, r.report.good()))
}

func (r *replayRun) all(ctx context.Context, alive time.Duration) (err error) {
	progress("the demo runs for %s", alive)
	if err := r.start(ctx, ""); err != nil {
		return err
	}
	if !sleepUntil(ctx, time.Now().Add(alive)) {
		return ctx.Err()
	}
	r.stop(syscall.SIGTERM)
	progress("the demo has ended; everything of it is worked off and archived")
	if err := r.start(ctx, "none"); err != nil {
		return err
	}
	if r.client, err = kgo.NewClient(kgo.SeedBrokers(r.kafka), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics()); err != nil {
		return err
	}
	defer r.client.Close()
	var names []string
	if err := poll(ctx, time.Minute, "it is ready", func() (ok bool, err error) {
		names, err = r.pipelines(ctx)
		return len(names) > 0, errors.Join(err, r.answersOK(ctx, "/readyz"))
	}); err != nil {
		return err
	}
	if err := r.archive(ctx); err != nil {
		return err
	}
	if err := r.secondStores(ctx); err != nil {
		return err
	}
	through := map[string]time.Time{}
	for _, name := range names {
		if through[name], err = r.replay(ctx, name); err != nil {
			return err
		}
	}
	return r.compare(ctx, through)
}

// pipelines are those that have something to replay.
func (r *replayRun) pipelines(ctx context.Context) (names []string, err error) {
	var status struct{ Pipelines []struct{ Name string } }
	if err := bed.GetJSON(ctx, "http://"+r.listen+"/api/v2/status", &status); err != nil {
		return nil, err
	}
	for _, p := range status.Pipelines {
		if !strings.Contains(p.Name, ".") { // an archive, or the commands
			names = append(names, p.Name)
		}
	}
	return names, nil
}

// archive has everything that the demo has produced archived: the archive takes a part when a record of a later slot comes. That
// record is much too late for every window, so it changes nothing else.
func (r *replayRun) archive(ctx context.Context) error {
	adm := kadm.NewClient(r.client)
	ends, err := adm.ListEndOffsets(ctx, "metrics", "security")
	if err != nil {
		return err
	}
	now := time.Now()
	var last []*kgo.Record
	ends.Each(func(o kadm.ListedOffset) {
		r.report.Records += o.Offset
		value := `{"time":%d,"name":"m","value":1,"host":"h","service":"s"}`
		if o.Topic == "security" {
			value = `{"time":%d,"class":"authentication","status":"success","user":"u"}`
		}
		last = append(last, &kgo.Record{
			Topic: o.Topic, Partition: o.Partition, Timestamp: now.Add(2 * time.Minute),
			Value: fmt.Appendf(nil, value, now.Add(-24*time.Hour).UnixMilli()),
		})
	})
	if err := r.client.ProduceSync(ctx, last...).FirstErr(); err != nil {
		return err
	}
	return poll(ctx, time.Minute, "everything is worked off and archived", func() (bool, error) {
		out, err := r.run(ctx, "ledger", "-o", "json")
		if err != nil {
			return false, err
		}
		var tasks []struct {
			Task   string
			Offset int64
		}
		if err := json.Unmarshal(out, &tasks); err != nil {
			return false, err
		}
		return r.archived(tasks, ends)
	})
}

// archived looks whether every task has claimed the last record, and those of the archive the one before.
func (r *replayRun) archived(tasks []struct {
	Task   string
	Offset int64
}, ends kadm.ListedOffsets,
) (bool, error) {
	for _, t := range tasks {
		parts := strings.Split(t.Task, "/") // instance, stage, topic and its incarnation, partition
		topic, _, _ := strings.Cut(parts[2], ".")
		for p, end := range ends[topic] {
			want := end.Offset
			if !strings.HasPrefix(t.Task, "archive.") {
				want++
			}
			if parts[3] == strconv.Itoa(int(p)) && t.Offset < want {
				return false, fmt.Errorf("%s has claimed offset %d, wanted is %d", t.Task, t.Offset, want)
			}
		}
	}
	return true, nil
}

// secondStores makes a database, a folder of objects and a Redis for the replays, on the same servers.
func (r *replayRun) secondStores(ctx context.Context) error {
	c, err := config.Load(filepath.Join(r.data, "tidewatch.yaml"), nil)
	if err != nil {
		return err
	}
	r.live = replayStores{c.Postgres.DSN, c.Redis.URL, strings.TrimPrefix(c.Objects.URL, "file://")}
	access, err := pgx.ParseConfig(c.Postgres.DSN)
	if err != nil {
		return err
	}
	owner := access.User
	access.User, access.Database = "postgres", "postgres" // our role has no rights beyond its database
	conn, err := pgx.ConnectConfig(ctx, access)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE replayed OWNER "+owner)
	r.replayed.objects = filepath.Join(r.dir, "replayed")
	err = errors.Join(err, conn.Close(ctx), os.MkdirAll(r.replayed.objects, 0o700))
	for place, of := range map[*string][2]string{&r.replayed.dsn: {r.live.dsn, "replayed"}, &r.replayed.redis: {r.live.redis, "1"}} {
		u, bad := url.Parse(of[0])
		if bad != nil {
			return errors.Join(err, bad)
		}
		*place = u.ResolveReference(&url.URL{Path: "/" + of[1], RawQuery: u.RawQuery}).String()
	}
	return err
}

// replay runs the command, and answers how far it has got.
func (r *replayRun) replay(ctx context.Context, pipeline string) (through time.Time, err error) {
	file := filepath.Join(r.data, "tidewatch.yaml")
	cmd := exec.CommandContext(ctx, r.binary, "replay", "--pipeline", pipeline, "--from", r.live.objects, "--to", "config", "-c", file)
	cmd.Env = r.replayed.environment()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return through, fmt.Errorf("tidewatch replay --pipeline %s: %w: %s", pipeline, err, errs.String())
	}
	said := strings.Split(strings.TrimSpace(errs.String()), "\n")
	var last struct {
		Through time.Time `json:"complete_through"`
		Ticks   int
	}
	if err := json.Unmarshal([]byte(said[len(said)-1]), &last); err != nil {
		return through, fmt.Errorf("read what replay says, %q: %w", errs.String(), err)
	}
	r.report.Pipelines++
	r.report.Ticks += last.Ticks
	return last.Through, nil
}

// compare demands that the replays have said what was said live. Live goes on meanwhile: idle ticks close windows behind what the
// archive holds. So what only live has said counts up to where the replay of its pipeline has got.
func (r *replayRun) compare(ctx context.Context, through map[string]time.Time) error {
	got, err := transitionsOf(ctx, r.replayed.dsn)
	if err != nil {
		return err
	}
	want, err := transitionsOf(ctx, r.live.dsn)
	if err != nil {
		return err
	}
	r.report.Transitions = len(got)
	said := map[string]int{}
	for id, t := range union(got, want) {
		said[t.pipeline]++
		if got[id].body != want[id].body && (got[id].body != "" || !t.at.After(through[t.pipeline])) {
			r.differs(id, want[id].body, got[id].body)
		}
	}
	for _, pipeline := range slices.Sorted(maps.Keys(through)) {
		files, err := r.compareFiles(pipeline, through[pipeline])
		if err != nil {
			return err
		}
		values, err := r.compareValues(ctx, pipeline)
		if err != nil {
			return err
		}
		if files+values+said[pipeline] == 0 {
			r.report.Silent = append(r.report.Silent, pipeline)
		}
	}
	return nil
}

// compareFiles looks at the files of a pipeline's rollups. It returns how many there are.
func (r *replayRun) compareFiles(pipeline string, through time.Time) (int, error) {
	got, err := rollupFiles(r.replayed.objects, pipeline)
	if err != nil {
		return 0, err
	}
	want, err := rollupFiles(r.live.objects, pipeline)
	if err != nil {
		return 0, err
	}
	r.report.Files += len(got)
	for name, f := range union(got, want) {
		r.report.Rows += got[name].rows
		if got[name].text != want[name].text && (got[name].text != "" || !f.end.After(through)) {
			r.differs(name, want[name].text, got[name].text)
		}
	}
	return len(got), nil
}

// compareValues looks at what Redis shows of a pipeline, 0 rows if it shows nothing of it. Live it was emptied by the restart, and
// filled again.
func (r *replayRun) compareValues(ctx context.Context, pipeline string) (int, error) {
	got, err := r.values(ctx, &r.replayed, pipeline)
	if err != nil {
		return 0, err
	}
	want, err := r.values(ctx, &r.live, pipeline)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(got, want) {
		r.differs("what Redis shows of "+pipeline, string(want), string(got))
	}
	rows := max(bytes.Count(got, []byte("\n"))-1, 0)
	r.report.Values += rows
	return rows, nil
}

// notFound is the exit status of a query for a pipeline without an output in Redis.
const notFound = 3

func (r *replayRun) values(ctx context.Context, of *replayStores, pipeline string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, r.binary, "query", pipeline, "--from", r.from, "--to", r.to, "-o", "csv", "-q", "-c", filepath.Join(r.data, "tidewatch.yaml"))
	cmd.Env = of.environment()
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == notFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("tidewatch query %s: %w", pipeline, err)
	}
	return out, nil
}

func (r *replayRun) differs(what, live, replayed string) {
	if r.report.Different++; r.report.Different > 5 {
		return
	}
	line, a, b := firstDifference([]byte(live), []byte(replayed))
	progress("%s differs from line %d on: live %.300q, replayed %.300q", what, line, a, b)
}

// union has the keys of both.
func union[T any](a, b map[string]T) map[string]T {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// rollupFile is what a file of rollups says.
type rollupFile struct {
	text string // metadata and rows
	rows int
	end  time.Time // of its slot
}

// rollupFiles reads the visible files of a pipeline, of final rows and of provisional ones.
func rollupFiles(folder, pipeline string) (map[string]rollupFile, error) {
	files := map[string]rollupFile{}
	for _, root := range []string{columnfile.RollupRoot, columnfile.ProvisionalRoot} {
		err := filepath.WalkDir(filepath.Join(folder, root, "pipeline="+pipeline), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(folder, path)
			if err != nil {
				return err
			}
			if files[name], err = readRollups(data); err != nil {
				return fmt.Errorf("read %s: %w", path, err)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// readRollups reads a file. The incarnation of its topic is left out: a replay has no topic between its stages.
func readRollups(data []byte) (r rollupFile, err error) {
	f, err := columnfile.Open(data)
	if err != nil {
		return r, err
	}
	meta, err := columnfile.ReadRollupMeta(f)
	if err != nil {
		return r, err
	}
	meta.Incarnation = ""
	var text strings.Builder
	fmt.Fprintf(&text, "%+v\n", meta)
	var reader columnfile.Reader
	for g := range f.Groups() {
		b := stream.NewBatch(f.Schema())
		for i, field := range f.Schema().Fields {
			if err := reader.Read(f, g, field.Name, &b.Cols[i]); err != nil {
				return r, err
			}
		}
		for row := range f.GroupRows(g) {
			for i, field := range f.Schema().Fields {
				fmt.Fprintf(&text, "%s=%v ", field.Name, b.Cols[i].Value(row))
			}
			text.WriteByte('\n')
			r.rows++
		}
	}
	r.text, r.end = text.String(), meta.SlotEnd.Go()
	return r, nil
}

// shownTransition is a transition of an alert, as the database holds it.
type shownTransition struct {
	body, pipeline string
	at             time.Time
}

func transitionsOf(ctx context.Context, dsn string) (map[string]shownTransition, error) {
	bodies, err := transitions(ctx, dsn, "true")
	if err != nil {
		return nil, err
	}
	all := map[string]shownTransition{}
	for _, body := range bodies {
		var t struct {
			ID    string
			At    time.Time
			Alert struct{ Pipeline string }
		}
		if err := json.Unmarshal([]byte(body), &t); err != nil {
			return nil, err
		}
		all[t.ID] = shownTransition{body, t.Alert.Pipeline, t.At}
	}
	return all, nil
}
