package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// updateBar is how old an update may be when it arrives, for 99 of 100: a page still looks live.
const updateBar = 500 * time.Millisecond

// viewersReport is the line that show-viewers prints. CPU is of one core; what the pipelines and the demo use without
// viewers is in idle_cpu_share.
type viewersReport struct {
	Viewers      int     `json:"viewers"`
	Queries      int     `json:"queries"`
	PerViewer    int     `json:"queries_of_each"`
	Seconds      float64 `json:"seconds"`
	Snapshots    int     `json:"snapshots"`
	Deltas       int     `json:"deltas"`
	PerSecond    float64 `json:"messages_per_second"`
	MB           float64 `json:"mb_received"`
	UpdateP50    float64 `json:"update_p50_ms"` // from the beginning of the read to the arrival
	UpdateP99    float64 `json:"update_p99_ms"`
	IdleCPUShare float64 `json:"idle_cpu_share"`
	CPUShare     float64 `json:"cpu_share"`
	IdleRSS      float64 `json:"idle_rss_mb"`
	RSS          float64 `json:"rss_mb"`
	Broken       int     `json:"broken"` // connections and subscriptions that ended
	Machine      string  `json:"machine"`
}

// viewersRun is a number of pages before one server.
type viewersRun struct {
	up                          *upRun
	viewers, queries, perViewer int

	mu struct {
		sync.Mutex
		counting          bool
		snapshots, deltas int
		bytes             int64
		ages              []time.Duration
		broken            int
		first             int // subscriptions that have their first snapshot
		problem           error
	}
}

// viewers lets many pages watch tidewatch up with its demo, and says what that costs.
func viewers(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("viewers", flag.ContinueOnError)
	binary := f.String("binary", "bin/tidewatch", "the product")
	r := &viewersRun{}
	f.IntVar(&r.viewers, "viewers", 200, "WebSockets")
	f.IntVar(&r.queries, "queries", 20, "distinct questions")
	f.IntVar(&r.perViewer, "each", 20, "questions of each viewer")
	seconds := f.Int("for", 30, "seconds that are measured")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is well")
	if err := f.Parse(args); err != nil {
		return err
	}
	if r.queries > len(viewerPaths()) || r.perViewer > r.queries {
		return fmt.Errorf("there are %d questions, and each viewer asks at most as many as there are", len(viewerPaths()))
	}
	dir, done, err := workFolder(*keep, "show-viewers")
	if err != nil {
		return err
	}
	if r.up, err = newUpRun(ctx, *binary, dir); err != nil {
		return err
	}
	report, err := r.all(ctx, time.Duration(*seconds)*time.Second)
	r.up.stop(syscall.SIGTERM)
	if err != nil {
		return done(err)
	}
	good := report.Broken == 0 && report.Deltas > 0 && report.UpdateP99 <= float64(updateBar.Milliseconds())
	return done(printReport(report, good))
}

// viewerPaths are distinct questions as pages ask them.
func viewerPaths() (paths []string) {
	for _, last := range []string{"5m", "15m", "30m"} {
		paths = append(paths, "/metrics/system?types=cpu&last="+last, "/metrics/system?types=memory&by=host&last="+last,
			"/metrics/system?types=cpu&by=&last="+last, "/metrics/system?types=disk&last="+last,
			"/metrics/security?by=&last="+last, "/metrics/security?types=authentication&by=src_ip&top=20&order=failures&columns=attempts,failures&last="+last)
	}
	return append(paths, "/metrics/alerts/active", "/pipelines", "/status", "/metrics/alerts/counts")
}

func (r *viewersRun) all(ctx context.Context, measured time.Duration) (*viewersReport, error) {
	if err := r.up.start(ctx, "sim"); err != nil {
		return nil, err
	}
	if err := poll(ctx, time.Minute, "the product is ready", func() (bool, error) { return r.ready(ctx) }); err != nil {
		return nil, err
	}
	const settle = 20 * time.Second // the history of the demo is folded at full speed
	progress("ready; %v without viewers", settle+measured/2)
	if !sleepUntil(ctx, time.Now().Add(settle)) {
		return nil, ctx.Err()
	}
	report := &viewersReport{Viewers: r.viewers, Queries: r.queries, PerViewer: r.perViewer, Machine: machine()}
	var err error
	if report.IdleCPUShare, report.IdleRSS, err = r.cost(ctx, measured/2); err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() { stop(); wg.Wait() }()
	progress("%d viewers come", r.viewers)
	for i := range r.viewers {
		wg.Go(func() { r.watch(watching, i) })
	}
	err = poll(ctx, time.Minute, "everybody sees something", func() (bool, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.mu.first == r.viewers*r.perViewer, r.mu.problem
	})
	if err != nil {
		return nil, err
	}
	progress("everybody sees something; measuring for %v", measured)
	r.count(true)
	if report.CPUShare, report.RSS, err = r.cost(ctx, measured); err != nil {
		return nil, err
	}
	r.count(false)
	r.fill(report, measured)
	return report, nil
}

func (r *viewersRun) ready(ctx context.Context) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.up.listen+"/readyz", nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	return resp.StatusCode == http.StatusOK, resp.Body.Close()
}

// cost is what the process takes for a while: the share of a core, and the memory at the end.
func (r *viewersRun) cost(ctx context.Context, span time.Duration) (cpu, rss float64, err error) {
	pid := r.up.cmd.Process.Pid
	before, _, err := cpuOf(pid)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if !sleepUntil(ctx, began.Add(span)) {
		return 0, 0, ctx.Err()
	}
	after, _, err := cpuOf(pid)
	if err != nil {
		return 0, 0, err
	}
	rss, err = residentMB(pid)
	return math.Round((after-before)/time.Since(began).Seconds()*1000) / 1000, math.Round(rss*10) / 10, err
}

func (r *viewersRun) count(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.counting = yes
}

func (r *viewersRun) fill(report *viewersReport, measured time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report.Seconds, report.Snapshots, report.Deltas, report.Broken = measured.Seconds(), r.mu.snapshots, r.mu.deltas, r.mu.broken
	report.PerSecond = math.Round(float64(r.mu.snapshots+r.mu.deltas)/measured.Seconds()*10) / 10
	report.MB = math.Round(float64(r.mu.bytes)/(1<<20)*10) / 10
	slices.Sort(r.mu.ages)
	at := func(share float64) float64 {
		if len(r.mu.ages) == 0 {
			return 0
		}
		return math.Round(float64(r.mu.ages[int(share*float64(len(r.mu.ages)-1))])/float64(time.Millisecond)*100) / 100
	}
	report.UpdateP50, report.UpdateP99 = at(0.5), at(0.99)
}

// watch is one viewer.
func (r *viewersRun) watch(ctx context.Context, i int) {
	err := r.page(ctx, i)
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.broken++
	r.mu.problem = errors.Join(r.mu.problem, fmt.Errorf("viewer %d: %w", i, err))
}

func (r *viewersRun) page(ctx context.Context, i int) error {
	conn, _, err := websocket.Dial(ctx, "ws://"+r.up.listen+"/api/v2/live", nil) //nolint:bodyclose // the library does
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(64 << 20)
	paths := viewerPaths()[:r.queries]
	for k := range r.perViewer {
		m, err := json.Marshal(map[string]string{"op": "subscribe", "id": fmt.Sprint("q", k), "path": paths[(i+k)%len(paths)]})
		if err == nil {
			err = conn.Write(ctx, websocket.MessageText, m)
		}
		if err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if err := r.take(data, time.Now(), seen); err != nil {
			return err
		}
	}
}

// take notes a message. Only its head is read: what a page does with the rest is not the server's cost.
func (r *viewersRun) take(data []byte, now time.Time, seen map[string]bool) error {
	var head struct {
		Type string    `json:"type"`
		ID   string    `json:"id"`
		At   time.Time `json:"at"`
	}
	front, _, whole := bytes.Cut(data, []byte(`,"data":`))
	if whole {
		front = append(bytes.Clone(front), '}')
	}
	if err := json.Unmarshal(front, &head); err != nil {
		return fmt.Errorf("read %s: %w", front, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch head.Type {
	case "hello":
		return nil
	case "snapshot", "delta":
	default:
		return fmt.Errorf("the server said %s", data)
	}
	if !seen[head.ID] {
		seen[head.ID] = true
		r.mu.first++
	}
	if !r.mu.counting {
		return nil
	}
	if head.Type == "delta" {
		r.mu.deltas++
	} else {
		r.mu.snapshots++
	}
	r.mu.bytes += int64(len(data))
	r.mu.ages = append(r.mu.ages, now.Sub(head.At))
	return nil
}
