package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/serve"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
	"github.com/tidewatch/tidewatch/sinks/redis"
)

// apiClient asks a worker of this process.
type apiClient struct {
	t    *testing.T
	base string
}

// ask answers the status and reads the body into into.
func (c *apiClient) ask(method, path, body string, into any) int {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.base+serve.APIBase+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode
}

// lines are the series of an answer, or of a change of one.
type lines struct {
	CompleteThrough *string `json:"complete_through"`
	Series          []struct {
		Columns []string     `json:"columns"`
		Points  [][]*float64 `json:"points"`
	} `json:"series"`
}

func (l *lines) sum(column int) (sum float64) {
	for _, s := range l.Series {
		for _, p := range s.Points {
			sum += *p[column]
		}
	}
	return sum
}

// TestAPIOnRealStores asks every store through the API: rollups in Redis, tasks in PostgreSQL, records of a broker.
func TestAPIOnRealStores(t *testing.T) {
	c := refillStack(t, "host")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.HTTP.Listen = l.Addr().String()
	if err := l.Close(); err != nil { // the worker takes it in a moment
		t.Fatal(err)
	}
	w := startWorker(t, c)
	w.settled(t)
	api := &apiClient{t, c.HTTP.Listen}
	const events = 5 * 20 * 60
	for _, form := range []string{"step=5m&by=", "step=10s", "step=70s&by=host", "step=auto&points=7&by="} {
		var a lines
		if code := api.ask("GET", "/query?pipeline=cpu&columns=samples&last=1h&"+form, "", &a); code != 200 || a.sum(1) != events || a.CompleteThrough == nil {
			t.Errorf("%s: %d, %v events, want %d; complete through %v", form, code, a.sum(1), events, a.CompleteThrough)
		}
	}
	if code := api.ask("GET", "/ledger", "", &map[string]any{}); code != 200 {
		t.Errorf("ledger: %d", code)
	}
	rows, err := w.view.Ledger(t.Context())
	if err != nil || len(rows) == 0 || rows[0].Topic == "" || rows[0].Partition < 0 || rows[0].Difference != 0 {
		t.Errorf("ledger: %+v %v", rows, err)
	}
	testDeadLetters(t, w, api)
	testLive(t, api)
	var record serve.RecordAnswer
	if code := api.ask("GET", "/evidence/metrics/0/0", "", &record); code != 200 || !strings.Contains(record.Value, `"name":"system.`) || record.Key == nil {
		t.Errorf("evidence: %d %+v", code, record)
	}
	var p serve.Problem
	if code := api.ask("GET", "/evidence/metrics/0/999999", "", &p); code != 404 {
		t.Errorf("no evidence: %d %+v", code, p)
	}
}

// testDeadLetters produces records that do not decode, and pages through what becomes of them.
func testDeadLetters(t *testing.T, w *testWorker, api *apiClient) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.config.Kafka.Brokers...), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const bad = 7
	for i := range bad {
		rec := &kgo.Record{Topic: "metrics", Key: []byte("bad"), Value: fmt.Appendf(nil, "{%d\xff", i)}
		if err := client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var page serve.LetterList
	w.until(t, "the bad records are dead letters", func() string {
		page = serve.LetterList{}
		if code := api.ask("GET", "/dead-letters?pipeline=cpu", "", &page); code != 200 || len(page.Items) != bad {
			return fmt.Sprintf("%d, %d letters", code, len(page.Items))
		}
		return ""
	})
	var walked []string
	for cursor := ""; ; cursor = page.NextCursor {
		page = serve.LetterList{}
		if code := api.ask("GET", "/dead-letters?pipeline=cpu&limit=3&cursor="+cursor, "", &page); code != 200 {
			t.Fatalf("page: %d", code)
		}
		for _, item := range page.Items {
			walked = append(walked, item.Preview)
		}
		if page.NextCursor == "" {
			break
		}
	}
	if len(walked) != bad || !strings.HasPrefix(walked[0], "{6") || !strings.HasPrefix(walked[bad-1], "{0") {
		t.Errorf("the pages hold %q", walked)
	}
	if code := api.ask("GET", "/dead-letters?reason=nothing+like+that", "", &page); code != 200 {
		t.Errorf("reason: %d", code)
	}
	var p serve.Problem
	if code := api.ask("GET", "/dead-letters?cursor=x", "", &p); code != 400 {
		t.Errorf("a cursor that is none: %d %+v", code, p)
	}
	var list serve.LetterList
	api.ask("GET", "/dead-letters?pipeline=cpu&limit=1", "", &list)
	var d serve.LetterDetail
	if code := api.ask("GET", "/dead-letters/"+list.Items[0].ID, "", &d); code != 200 || d.Encoding != "base64" || d.Value != "ezb/" || d.Topic != "metrics" || !strings.Contains(d.Reason, "invalid_json") {
		t.Errorf("letter: %d %+v", code, d)
	}
	if code := api.ask("GET", "/dead-letters/0-99999", "", &p); code != 404 {
		t.Errorf("no letter: %d", code)
	}
	testHandledLetter(t, w, api, list.Items[0].ID, bad-1)
}

// testHandledLetter handles a record as the command line does: it is open no more, and says by whom.
func testHandledLetter(t *testing.T, w *testWorker, api *apiClient, id string, left int) {
	t.Helper()
	d := serve.LetterDetail{}
	if code := api.ask("GET", "/dead-letters/"+id, "", &d); code != 200 || d.State != serve.LetterOpen || d.Handled != nil || len(d.Rejections) == 0 {
		t.Fatalf("%d %+v", code, d)
	}
	all, err := sinkkafka.ReadDeadRecords(t.Context(), kafkaConfig(w.config.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(r *sinkkafka.DeadRecord) bool { return !r.Has(id) })
	if len(all) != 1 {
		t.Fatalf("%d records of %s", len(all), id)
	}
	_, errs := w.producer.Send(t.Context(), sinkkafka.HandlingRecords(all[0], sinkkafka.Handling{State: sinkkafka.Dropped, By: "ada", Note: "a test"}))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	d = serve.LetterDetail{}
	if code := api.ask("GET", "/dead-letters/"+id, "", &d); code != 200 || d.State != serve.LetterDropped || d.Handled == nil || d.Handled.By != "ada" || d.Handled.Note != "a test" {
		t.Errorf("%d %+v", code, d)
	}
	for state, want := range map[string]int{"": left, "open": left, "handled": 1, "dropped": 1, "retried": 0, "all": left + 1} {
		var page serve.LetterList
		if code := api.ask("GET", "/dead-letters?pipeline=cpu&state="+state, "", &page); code != 200 || len(page.Items) != want {
			t.Errorf("state %q: %d, %d records, want %d", state, code, len(page.Items), want)
		}
	}
}

// testLive submits an event and sees it on a page.
func testLive(t *testing.T, api *apiClient) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+api.base+serve.APIBase+"/live", nil) //nolint:bodyclose // the library does
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(16 << 20)
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"op":"subscribe","id":"a","path":"/query?pipeline=cpu&last=5m&by=host&columns=samples,avg"}`)); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"metrics":[{"time":%d,"name":"shown","value":4711,"host":"newcomer"},{"name":"bad"}]}`, time.Now().UnixMilli())
	submitted := false
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !submitted && strings.Contains(string(data), `"snapshot"`) {
			var receipt serve.CustomReceipt
			if code := api.ask("POST", "/metrics/custom", body, &receipt); code != 207 || receipt.Accepted != 1 || len(receipt.Rejected) != 1 {
				t.Fatalf("submit: %d %+v", code, receipt)
			}
			submitted = true
		}
		if strings.Contains(string(data), `"newcomer"`) && strings.Contains(string(data), "4711") {
			return
		}
	}
}

// What the API reads of an output must be what Redis has described, with the versions before: else a chart ends at the cut.
func TestTheAPIKnowsTheVersionsBefore(t *testing.T) {
	columns := []redis.Column{{Name: "host", Kind: "string"}, {Name: "n", Kind: "int"}}
	o := redis.Output{Pipeline: "p", Name: "o", Columns: columns, Groups: 1, Window: 10 * time.Second, Every: 10 * time.Second, Keep: time.Hour}
	first, second, third := o, o, o
	first.Instance, second.Instance, third.Instance = "p@1", "p@2", "p@3"
	second.Since, second.Before = 100, &first
	third.Since, third.Before = 200, &second
	shown := rollupOutput(&third)
	if got := redisOutput(&shown); !reflect.DeepEqual(got, third) {
		t.Errorf("the API asks for %+v, not for %+v", got, third)
	}
}
