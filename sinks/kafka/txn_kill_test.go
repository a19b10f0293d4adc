package kafka

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// killPoints are where processes die, or fall asleep: when a request has just left, when its answer has just come, and around
// the claim.
func killPoints() []string {
	points := []string{"before claim", "after claim"}
	for _, k := range []kmsg.Key{kmsg.InitProducerID, kmsg.Produce, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn} {
		points = append(points, "sent "+kmsg.NameForKey(k.Int16()), "answered "+kmsg.NameForKey(k.Int16()))
	}
	return points
}

// killed is what a process is told when it takes the task over.
type killed struct {
	Owner   int               `json:"owner"`
	Claimed int64             `json:"claimed"` // steps
	Until   int64             `json:"until"`   // steps; 0 for ever
	Staged  []stream.Receipt  `json:"staged"`
	Task    TransactionConfig `json:"task"`
	Brokers []string          `json:"brokers"`
	Dir     string            `json:"dir"`
	Point   string            `json:"point"`
	After   int               `json:"after"` // times that it passes the point
	Sleeps  bool              `json:"sleeps"`
}

// killClaim is a claim.
type killClaim struct {
	Owner   int              `json:"owner"`
	Claimed int64            `json:"claimed"`
	Staged  []stream.Receipt `json:"staged"`
}

// killRow is the row of the task, which a server gives to the processes, one owner at a time.
type killRow struct {
	mu struct {
		sync.Mutex
		next   killed
		wakes  []int // processes that sleep
		claims int
	}
	fell chan int // a process says that it falls asleep
}

func (k *killRow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var c killClaim
	_ = json.NewDecoder(r.Body).Decode(&c)
	switch r.URL.Path {
	case "/takeover":
		k.mu.next.Owner++
		_ = json.NewEncoder(w).Encode(k.mu.next)
	case "/claim":
		won := c.Owner == k.mu.next.Owner
		if won {
			k.mu.next.Claimed, k.mu.next.Staged = c.Claimed, c.Staged
		}
		if k.mu.claims++; k.mu.claims%4 == 0 {
			for _, pid := range k.mu.wakes {
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
		}
		_ = json.NewEncoder(w).Encode(won)
	case "/sleep":
		k.fell <- c.Owner
	}
}

// killStep are the rows of a step: as many as its number says.
func killStep(n int64) *stream.Batch {
	var hosts []string
	for i := range 1 + n%3 {
		hosts = append(hosts, fmt.Sprintf("%d.%d", n, i))
	}
	b := rows(stream.Event, stream.Version{Offset: n}, hosts...)
	return b
}

// TestTransactionsSurviveKills lets real processes die or sleep at every point of a reveal against a real broker: readers of
// what is committed see every row once, in order. Others see what was aborted, or the test would show nothing.
func TestTransactionsSurviveKills(t *testing.T) {
	e := newEnv(t, testservers.Kafka(t))
	topic, in := e.topic(t, 1), e.topic(t, 1)
	e.awaitGroups(t, in)
	row := &killRow{fell: make(chan int, 1)}
	next := &row.mu.next
	next.Brokers, next.Dir = e.brokers, t.TempDir()
	next.Task = TransactionConfig{Task: task, Topic: topic, Output: "source", Group: testservers.Name("kill")}
	next.Task.Task.Partition.Topic, next.Task.Task.Partition.Number = in, 0
	server := httptest.NewServer(row)
	defer server.Close()
	var sleeping []*exec.Cmd
	defer func() {
		for _, c := range sleeping {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}()
	for i, point := range killPoints() {
		for _, sleeps := range []bool{false, true} {
			row.mu.Lock()
			next.Point, next.After, next.Sleeps = point, 1+i%2, sleeps
			if strings.HasSuffix(point, kmsg.NameForKey(kmsg.InitProducerID.Int16())) {
				next.After = 1 // once in a session
			}
			row.mu.Unlock()
			c := killStart(t, server.URL)
			if !sleeps {
				if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("%s: the process ended with %v", point, err)
				}
				continue
			}
			sleeping = append(sleeping, c)
			select {
			case <-row.fell:
			case <-testContext(t).Done():
				t.Fatalf("%s: the process does not get there", point)
			}
			row.mu.Lock()
			row.mu.wakes = append(row.mu.wakes, c.Process.Pid)
			row.mu.Unlock()
		}
	}
	row.mu.Lock()
	next.Point, next.Until = "", next.Claimed+40
	row.mu.Unlock()
	last := killStart(t, server.URL)
	if err := last.Wait(); err != nil {
		t.Fatal(err)
	}
	row.mu.Lock()
	until := next.Claimed
	row.mu.Unlock()
	var want []string
	for n := range until {
		b := killStep(n)
		for i := range b.Len() {
			want = append(want, string(new(rowTexts).append(nil, b, i)))
		}
	}
	rs, others := e.committed(t, topic, 0)
	for i := range max(len(rs), len(want)) {
		if i >= len(rs) || i >= len(want) || string(rs[i].Value) != want[i] {
			t.Fatalf("%d rows are there, want %d; the first that differs is number %d", len(rs), len(want), i)
		}
	}
	t.Logf("%d rows, %d aborted, %d processes", len(rs), others-len(rs), next.Owner)
	if others <= len(rs) {
		t.Error("nothing was ever aborted: the processes died nowhere")
	}
}

func killStart(t *testing.T, url string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTransactionProcess$", "-test.timeout=60s")
	c.Env = append(os.Environ(), "TIDEWATCH_TEST_KILL="+url)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTransactionProcess is the process that dies.
func TestTransactionProcess(t *testing.T) {
	url := os.Getenv("TIDEWATCH_TEST_KILL")
	if url == "" {
		t.Skip("TestTransactionsSurviveKills starts it")
	}
	p := &killProcess{t: t, url: url}
	p.ask("/takeover", killClaim{}, &p.killed)
	cl := newEnv(t, p.Brokers).client(t)
	cl.options = append(cl.options, kgo.WithHooks(p))
	store, err := objects.Open(t.Context(), objects.Default(p.Dir))
	if err != nil {
		t.Fatal(err)
	}
	p.Task.Objects = store
	p.sink = cl.NewTransactionSink(p.Task)
	for n := range p.Claimed {
		p.write(n)
	}
	if p.Claimed > 0 {
		p.sink.Stage(stream.Epoch{})
	}
	p.reveal()
	for p.Until == 0 || p.Claimed < p.Until {
		if !p.epoch() {
			t.Log("overtaken")
			break
		}
	}
	if err := p.sink.Close(); err != nil {
		t.Fatal(err)
	}
}

type killProcess struct {
	killed

	t    *testing.T
	url  string
	sink *TransactionSink
	mu   sync.Mutex
}

// epoch takes some steps through stage, claim and reveal; false if the task belongs to another process.
func (p *killProcess) epoch() (won bool) {
	steps := 1 + p.Claimed%4
	for i := range steps {
		p.write(p.Claimed + i)
	}
	work := p.sink.Stage(stream.Epoch{Prefix: fmt.Sprintf("state/%d-%d/", p.Claimed, p.Owner)})
	p.insist(func(ctx context.Context) error {
		receipt, err := work(ctx)
		if err == nil {
			p.Staged = append(p.Staged, receipt)
		}
		return err
	})
	p.at("before claim")
	p.ask("/claim", killClaim{p.Owner, p.Claimed + steps, p.Staged}, &won)
	if !won {
		return false
	}
	p.at("after claim")
	if p.Claimed += steps; p.Claimed%5 != 0 { // now and then a reveal is carried
		p.reveal()
	}
	return true
}

func (p *killProcess) write(n int64) {
	if err := p.sink.Write(p.t.Context(), killStep(n)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *killProcess) reveal() {
	for len(p.Staged) > 0 {
		p.insist(func(ctx context.Context) error { return p.sink.Reveal(ctx, p.Staged[0]) })
		p.Staged = p.Staged[1:]
	}
}

// insist repeats what fails for reasons that pass.
func (p *killProcess) insist(do func(ctx context.Context) error) {
	for ctx := testContext(p.t); ; {
		err := do(ctx)
		if err == nil {
			return
		}
		if stream.KindOfError(err) != stream.Retry || ctx.Err() != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *killProcess) ask(path string, c killClaim, answer any) {
	body, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.url+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer != nil {
		if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
			p.t.Fatal(err)
		}
	}
}

// at kills the process, or lets it sleep, when it has passed the point often enough.
func (p *killProcess) at(point string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if point != p.Point {
		return
	}
	if p.After--; p.After > 0 {
		return
	}
	p.Point = ""
	if !p.Sleeps {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	p.ask("/sleep", killClaim{Owner: p.Owner}, nil)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (p *killProcess) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	p.at("sent " + kmsg.NameForKey(key))
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (p *killProcess) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	p.at("answered " + kmsg.NameForKey(key))
}
