package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/internal/chromium"
)

const (
	// minutesPatience is the end of waiting for a step: the attack is found after three minutes.
	minutesPatience = 6 * time.Minute
	// restingCPU is what a browser that rests may use between two looks, in seconds.
	restingCPU = 0.02
	// idleSpan is how long the CPU is measured when nobody looks any more.
	idleSpan = 30 * time.Second
	// cutWindow is the length of a window of host-cpu.
	cutWindow = 10 * time.Second
	// aroundCut is what has to be there on each side of the cut.
	aroundCut = time.Minute
	// newcomer is who acknowledges on the page.
	newcomer = "newcomer"
	noted    = "locked the account"
)

// minutesReport is the line that show-first-minutes prints. Seconds are those since the start of the process.
type minutesReport struct {
	API      float64 `json:"api_s"`           // /healthz
	Data     float64 `json:"page_data_s"`     // a chart of the page has a point
	DataCPU  float64 `json:"page_data_cpu_s"` // that the product and PostgreSQL had used by then
	Ready    float64 `json:"ready_s"`         // /readyz
	Alert    float64 `json:"alert_s"`         // the page lists the attack that got in
	Evidence float64 `json:"evidence_s"`      // its records are shown with their fields
	Acked    float64 `json:"acked_s"`         // the command line says who took it on
	Tested   float64 `json:"tested_s"`        // a case has failed for the changed rule
	Diffed   float64 `json:"diffed_s"`        // both changes are tried on the archive
	Before   int     `json:"alerts_before"`
	After    int     `json:"alerts_after"`
	Equal    int     `json:"rows_equal"` // of host-cpu, by both thresholds
	Applied  float64 `json:"applied_s"`  // the changed pipeline has passed the cut
	Shown    float64 `json:"instance_s"` // the page shows it, without a reload
	Cut      float64 `json:"cut_s"`      // a minute after the cut is final
	Windows  int     `json:"windows"`    // of a host, around the cut
	Twice    int     `json:"windows_twice"`
	Missing  int     `json:"windows_missing"`
	CPUShare float64 `json:"cpu_share"` // of one CPU, with PostgreSQL, for 30 s at the end
	RSS      float64 `json:"rss_mb"`    // of the product
	Load     float64 `json:"load_before"`
	Machine  string  `json:"machine"`
}

// minutesRun is a newcomer with a terminal and a browser.
type minutesRun struct {
	*upRun
	minutesReport
	browser *chromium.Browser
	page    *chromium.Page
	began   time.Time
	alert   string    // id of the attack that got in
	since   time.Time // the cut
	unequal [3]int    // rows of host-cpu that are different, only before, only after
}

// firstMinutes goes through the tutorial on an empty folder, on the page and in the terminal.
func firstMinutes(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("first-minutes", flag.ContinueOnError)
	binary := f.String("binary", "bin/tidewatch", "the product")
	keep := f.String("dir", "", "empty folder for files and logs; default a temporary one, removed when all is well")
	pictures := f.String("pictures", "", "folder for pictures of the page, taken at the end; none if empty")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, done, err := workFolder(*keep, "show-first-minutes")
	if err != nil {
		return err
	}
	u, err := newUpRun(ctx, *binary, dir)
	if err != nil {
		return err
	}
	m := &minutesRun{upRun: u}
	m.Load, m.Machine = loadAverage(), machine()
	if m.browser, err = chromium.Start(ctx); err != nil {
		return done(err)
	}
	if m.page, err = m.browser.Page(ctx, 1440, 900); err != nil {
		return done(errors.Join(err, m.browser.Close()))
	}
	if err = m.settle(ctx); err == nil {
		m.began = time.Now()
		err = u.start(ctx, "")
	}
	if err == nil {
		err = m.all(ctx)
	}
	err = errors.Join(err, m.browser.Close())
	if err == nil {
		err = m.idle(ctx)
	}
	if err == nil && *pictures != "" {
		err = m.pictures(ctx, *pictures)
	}
	u.stop(syscall.SIGTERM)
	if err != nil {
		return done(err)
	}
	return done(errors.Join(printReport(m.minutesReport, true), m.verdict()))
}

// settle waits until the browser has nothing more to do with its own start: that of a person is open already.
func (m *minutesRun) settle(ctx context.Context) error {
	used := math.Inf(-1)
	return poll(ctx, firstPatience, "the browser rests", func() (bool, error) {
		_, now, err := cpuOf(m.browser.Process())
		rests := now-used < restingCPU
		used = now
		return rests, err
	})
}

// verdict is what was measured and must not be.
func (m *minutesRun) verdict() (err error) {
	if m.Data > firstBar.Seconds() {
		err = fmt.Errorf("the first data was on the page after %.1f s, later than %s", m.Data, firstBar)
	}
	if m.Before != 1 || m.After != 0 {
		err = errors.Join(err, fmt.Errorf("of the attack there are %d alerts before the change and %d after, not 1 and 0", m.Before, m.After))
	}
	if m.Equal == 0 || m.unequal != [3]int{} {
		err = errors.Join(err, fmt.Errorf("another threshold makes other rows: %d are equal, %v are not", m.Equal, m.unequal))
	}
	if m.Twice+m.Missing > 0 {
		err = errors.Join(err, fmt.Errorf("around the cut %d windows are there twice and %d missing", m.Twice, m.Missing))
	}
	return err
}

// all takes the steps of a newcomer one after the other.
func (m *minutesRun) all(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // until stop: a step does not wait for a program that has ended
		<-m.ended
		cancel(errors.New("tidewatch up has ended"))
	}()
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"first look", m.firstLook},
		{"find the attack", m.findAttack},
		{"acknowledge it", m.acknowledge},
		{"try a change", m.tryChange},
		{"apply the change", m.applyChange},
		{"read across the cut", m.acrossCut},
	}
	for _, s := range steps {
		stepCtx, cancel := context.WithTimeout(ctx, minutesPatience)
		err := s.do(stepCtx)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, errors.Join(err, context.Cause(ctx)))
		}
		progress("%s: done after %.1f s", s.name, m.now())
	}
	return nil
}

func (m *minutesRun) now() float64 { return hundredths(time.Since(m.began).Seconds()) }

// copied is a changed copy of a shipped pipeline.
func (m *minutesRun) copied(name string) string {
	return filepath.Join(m.dir, "my-pipelines", name+".yaml")
}

// change copies a shipped pipeline, changes a line of the copy, and looks whether a case notices.
func (m *minutesRun) change(ctx context.Context, name, from, to, fails string) error {
	text, err := os.ReadFile(filepath.Join("pipelines", "library", name+".yaml"))
	if err != nil {
		return err
	}
	changed := strings.Replace(string(text), from, to, 1)
	if changed == string(text) {
		return fmt.Errorf("pipelines/library/%s.yaml has no %q to change", name, from)
	}
	copied := m.copied(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(copied), 0o700), os.WriteFile(copied, []byte(changed), 0o600)); err != nil {
		return err
	}
	const caseFailed = 8
	out, err := m.says(ctx, "pipeline", "test", copied)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != caseFailed || !strings.Contains(out, "FAIL "+name+": "+fails) {
		return fmt.Errorf("pipeline test of the changed copy did not fail its case: %w: %s", err, out)
	}
	return nil
}

// diff asks the archive what a changed copy would have done, and finds the numbers of this expression in the answer.
func (m *minutesRun) diff(ctx context.Context, name, expression string, into ...*int) error {
	out, err := m.says(ctx, "replay", "--pipeline", m.copied(name), "--since", "now-30m", "--diff")
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	found := regexp.MustCompile(expression).FindStringSubmatch(out)
	if found == nil {
		return fmt.Errorf("replay --diff does not say %q: %s", expression, out)
	}
	for i, n := range into {
		if *n, err = strconv.Atoi(found[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// tryChange changes two thresholds in copies, which cases notice, and asks the archive what they would have done: the rule of
// the attack does not find it any more, and the other one judges the same rows.
func (m *minutesRun) tryChange(ctx context.Context) error {
	err := errors.Join(
		m.change(ctx, "brute-force", "failures >= 10 ", "failures >= 300 ", "ten failures over two minutes, then a success"),
		m.change(ctx, "host-cpu", "when: avg > 0.9\n", "when: avg > 0.8\n", "90 % is not over 90 %"),
	)
	if err != nil {
		return err
	}
	m.Tested = m.now()
	err = poll(ctx, minutesPatience, "the archive has the attack", func() (bool, error) {
		err := m.diff(ctx, "brute-force", `before (\d+) alerts, after (\d+)`, &m.Before, &m.After)
		return err == nil && m.Before > 0, err
	})
	if err != nil {
		return err
	}
	err = m.diff(ctx, "host-cpu", `rows of cpu: (\d+) equal, (\d+) different, (\d+) only before, (\d+) only after`, &m.Equal, &m.unequal[0], &m.unequal[1], &m.unequal[2])
	m.Diffed = m.now()
	return err
}

// applied is a line of pipeline apply.
type applied struct {
	Instance string    `json:"instance"`
	Before   string    `json:"before"`
	Since    time.Time `json:"since"`
}

// apply lets the copy follow what runs.
func (m *minutesRun) apply(ctx context.Context) (*applied, error) {
	out, err := m.run(ctx, "pipeline", "apply", "--skip-cases", "--wait", "--by", newcomer, "-o", "json", m.copied("host-cpu"))
	if err != nil {
		return nil, err
	}
	var all []applied
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 || all[0].Before == "" || all[0].Since.IsZero() {
		return nil, fmt.Errorf("pipeline apply does not say what follows what since when: %w: %s", err, out)
	}
	return &all[0], nil
}

// acrossCut waits until the windows on both sides of the cut are final, and reads them from Redis and by the API.
func (m *minutesRun) acrossCut(ctx context.Context) error {
	from := m.since.Add(-aroundCut).Truncate(cutWindow)
	to := m.since.Add(aroundCut).Truncate(cutWindow)
	err := poll(ctx, minutesPatience, "what is after the cut is final", func() (bool, error) {
		var p struct {
			CompleteThrough *time.Time `json:"complete_through"`
		}
		err := bed.GetJSON(ctx, "http://"+m.listen+"/api/v2/pipelines/host-cpu", &p)
		return p.CompleteThrough != nil && !p.CompleteThrough.Before(to), err
	})
	if err != nil {
		return err
	}
	for _, way := range [][]string{nil, {"--server", "http://" + m.listen}} {
		if err := m.countWindows(ctx, from, to, way); err != nil {
			return fmt.Errorf("read the windows around the cut: %w", err)
		}
	}
	m.Cut = m.now()
	return nil
}

// countWindows reads the windows of a host, from Redis or by the API, and counts those that are not there once.
func (m *minutesRun) countWindows(ctx context.Context, from, to time.Time, way []string) error {
	args := []string{"query", "host-cpu", "--where", "host=web-7", "--from", from.UTC().Format(time.RFC3339), "--to", to.UTC().Format(time.RFC3339), "-o", "csv"}
	out, err := m.run(ctx, append(args, way...)...)
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
	if err != nil || len(rows) == 0 {
		return fmt.Errorf("no table: %w: %s", err, out)
	}
	seen := map[int64]int{}
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339, row[0])
		if err != nil {
			return err
		}
		seen[at.Unix()]++
	}
	for at := from; at.Before(to); at = at.Add(cutWindow) {
		n := seen[at.Unix()]
		m.Twice, m.Missing = m.Twice+max(n-1, 0), m.Missing+max(1-n, 0)
	}
	m.Windows = len(rows) - 1
	return nil
}

// idle measures the product when nobody looks at it.
func (m *minutesRun) idle(ctx context.Context) error {
	progress("%s without a viewer", idleSpan)
	from, err := m.sample()
	if err != nil {
		return err
	}
	if !sleepUntil(ctx, from.at.Add(idleSpan)) {
		return ctx.Err()
	}
	to, err := m.sample()
	m.CPUShare, m.RSS = hundredths((to.all-from.all)/to.at.Sub(from.at).Seconds()), hundredths(to.rss)
	return err
}

// says runs a command as a person does, and returns all that it prints.
func (m *minutesRun) says(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, m.binary, append(args, "-c", filepath.Join(m.data, "tidewatch.yaml"))...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("tidewatch %s: %w", strings.Join(args, " "), err)
	}
	return string(out), err
}
