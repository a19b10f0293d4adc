package page

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"
)

// The world of these tests is one moment: half an hour of three hosts and two users, an attack, a pipeline that lags.
const now = "2026-11-24T12:00:00Z"

type object = map[string]any

func at(before time.Duration) string {
	t, err := time.Parse(time.RFC3339, now)
	if err != nil {
		panic(err) // a constant
	}
	return t.Add(-before).Format(time.RFC3339)
}

func millis(before time.Duration) int64 {
	t, err := time.Parse(time.RFC3339, at(before))
	if err != nil {
		panic(err) // written by at
	}
	return t.UnixMilli()
}

func always(body any) answer { return func(url.Values) (int, any) { return http.StatusOK, body } }

func list(items ...any) answer {
	if items == nil {
		items = []any{}
	}
	return always(object{"items": items})
}

func unavailable(url.Values) (int, any) {
	return http.StatusServiceUnavailable, problem("store_unavailable", "Redis does not answer")
}

// world is an API where much goes on.
func world() map[string]answer {
	attack := alert("a1", "BruteForceSucceeded", "critical", "firing", object{"tenant": "acme", "user": "ada", "src_ip": "203.0.113.7"}, "authentication")
	busy := alert("a2", "HostCPUHigh", "warning", "firing", object{"tenant": "acme", "host": "web-2"}, "host-cpu")
	past := alert("a3", "HostCPUHigh", "warning", "resolved", object{"tenant": "acme", "host": "web-1"}, "host-cpu")
	detail := object{"history": []any{
		object{"id": "t1", "at": at(6 * time.Minute), "from": "inactive", "to": "pending", "value": 12, "provisional": false, "revision": 0},
		object{"id": "t2", "at": at(5 * time.Minute), "from": "pending", "to": "firing", "value": 31, "provisional": true, "revision": 1},
	}}
	maps.Copy(detail, attack)
	return map[string]answer{
		"/session":               always(object{"name": "local", "roles": []string{"read", "ack", "write", "admin"}, "tokens_required": false}),
		"/outputs":               list(cpuOutput(), loginOutput(), trafficOutput()),
		"/query":                 query,
		"/metrics/alerts/counts": always(object{"firing": object{"info": 0, "warning": 1, "critical": 1}, "pending": object{"info": 0, "warning": 0, "critical": 0}, "acknowledged": 0}),
		"/metrics/alerts/active": list(attack, busy),
		"/metrics/alerts":        list(attack, busy, past),
		"/metrics/alerts/a1":     always(detail),
		"/metrics/alerts/a2":     always(busy),
		"/metrics/alerts/a1/acknowledge": always(object{
			"alert": "a1", "acknowledged": object{"by": "grace", "at": now, "note": "looking at it"}, "command": object{"topic": "tidewatch.commands", "partition": 0, "offset": 1}, "applied": false,
		}),
		"/evidence/security/1/41":   always(login(41, "failure")),
		"/evidence/security/1/42":   always(login(42, "success")),
		"/pipelines":                list(pipeline("authentication"), pipeline("host-cpu")),
		"/pipelines/authentication": always(pipelineDetail("authentication", loginOutput())),
		"/pipelines/host-cpu":       always(pipelineDetail("host-cpu", cpuOutput())),
		"/ledger": always(object{"items": []any{object{
			"task": "x", "pipeline": "host-cpu", "stage": "", "topic": "metrics", "partition": 0, "epoch": 9, "first": 0, "offset": 1000, "ledger": object{"counted": 990, "rejected": 10}, "difference": 0,
		}}, "total": object{"counted": 990, "rejected": 10}, "difference": 0}),
		"/dead-letters": func(q url.Values) (int, any) {
			items := []any{letter()}
			switch q.Get("state") {
			case "handled":
				items = []any{handledLetter()}
			case "all":
				items = append(items, handledLetter())
			}
			return http.StatusOK, object{"items": items, "scanned": 4, "on_topic": 4}
		},
		"/dead-letters/0-7": always(withBytes(letter())),
		"/dead-letters/0-9": always(withBytes(handledLetter())),
	}
}

func withBytes(l object) object {
	l["key"], l["value"], l["encoding"] = nil, `{"time":"yesterday","name":"cpu"}`, "utf-8"
	return l
}

// nothing is an API of a server that has just been started, without pipelines.
func nothing() map[string]answer {
	w := world()
	for _, path := range []string{"/outputs", "/metrics/alerts/active", "/metrics/alerts", "/pipelines"} {
		w[path] = list()
	}
	zero := object{"info": 0, "warning": 0, "critical": 0}
	w["/metrics/alerts/counts"] = always(object{"firing": zero, "pending": zero, "acknowledged": 0})
	w["/dead-letters"] = always(object{"items": []any{}, "scanned": 0, "on_topic": 0})
	w["/ledger"] = always(object{"items": []any{}, "total": object{}, "difference": 0})
	return w
}

func cpuOutput() object {
	return object{
		"pipeline": "host-cpu", "output": "cpu", "name": "system.cpu.utilization", "unit": "1", "family": "system", "type": "cpu", "window": "10s", "keep": "6h", "groups": []string{"tenant", "host"},
		"columns": []object{{"name": "avg", "function": "avg", "of": "value", "unit": "1"}, {"name": "max", "function": "max", "of": "value", "unit": "1"}},
	}
}

// trafficOutput has no average: its highest value says most about it.
func trafficOutput() object {
	o := cpuOutput()
	o["pipeline"], o["output"], o["name"], o["unit"], o["family"] = "host-network", "network", "host-network.network", "By/s", "custom"
	o["columns"] = []object{{"name": "lowest", "function": "min", "of": "value", "unit": "By/s"}, {"name": "highest", "function": "max", "of": "value", "unit": "By/s"}}
	return o
}

func loginOutput() object {
	return object{
		"pipeline": "authentication", "output": "logins", "name": "authentication.logins", "unit": "", "family": "security", "type": "authentication", "window": "1m", "keep": "1d", "groups": []string{"tenant", "user", "src_ip"},
		"columns": []object{{"name": "attempts", "function": "count"}, {"name": "failures", "function": "sum", "of": "failed"}},
	}
}

// query answers as the API does: points of the range that is asked for, complete up to half a minute before now.
func query(q url.Values) (int, any) {
	from, to := millis(30*time.Minute), millis(0)
	if v := q.Get("from"); v != "" {
		_, _ = fmt.Sscan(v, &from) // the page sends numbers
	}
	if v := q.Get("to"); v != "" {
		_, _ = fmt.Sscan(v, &to)
	}
	output, step, lines := cpuOutput(), int64(10_000), []object{}
	add := func(labels object, values func(i int64) []any) {
		points := [][]any{}
		for t := from - from%step; t < to; t += step {
			points = append(points, append([]any{t}, values(t/step)...))
		}
		lines = append(lines, object{"labels": labels, "points": points})
	}
	if q.Get("pipeline") != "authentication" {
		if q.Get("pipeline") == "host-network" {
			output = trafficOutput()
		}
		for h := range int64(3) {
			add(object{"tenant": "acme", "host": fmt.Sprintf("web-%d", h)}, func(i int64) []any { return []any{0.2 + 0.25*float64(h) + 0.02*float64(i%5), 0.4 + 0.25*float64(h)} })
		}
	} else {
		output, step = loginOutput(), 60_000
		add(object{q.Get("by"): "ada"}, func(i int64) []any { return []any{40 + i%7, 2 + i%3} })
	}
	columns := []string{"time"}
	for _, c := range output["columns"].([]object) {
		columns = append(columns, c["name"].(string))
	}
	for _, l := range lines {
		maps.Copy(l, object{"name": output["name"], "unit": output["unit"], "pipeline": output["pipeline"], "output": output["output"], "step": (time.Duration(step) * time.Millisecond).String(), "columns": columns})
	}
	output["complete_through"] = at(30 * time.Second)
	return http.StatusOK, object{
		"from": time.UnixMilli(from).UTC(), "to": time.UnixMilli(to).UTC(), "step": lines[0]["step"], "complete_through": at(30 * time.Second), "series": lines, "series_total": len(lines), "outputs": []object{output},
	}
}

func alert(id, name, severity, state string, labels object, pipeline string) object {
	return object{
		"id": id, "name": name, "severity": severity, "state": state, "labels": labels, "summary": name + " of " + fmt.Sprint(labels["tenant"]), "started_at": at(5 * time.Minute), "updated_at": at(2 * time.Minute),
		"value": 31, "pipeline": pipeline, "version": "0c0b44b93e0f", "window": object{"start": at(6 * time.Minute), "end": at(5 * time.Minute)}, "complete_through": at(5 * time.Minute), "revised": false,
		"evidence": []object{{"topic": "security", "partition": 1, "offset": 41, "time": at(6 * time.Minute)}, {"topic": "security", "partition": 1, "offset": 41, "time": at(6 * time.Minute)}, {"topic": "security", "partition": 1, "offset": 42, "time": at(5 * time.Minute)}}, "acknowledged": nil,
	}
}

func login(offset int, status string) object {
	return object{
		"topic": "security", "partition": 1, "offset": offset, "timestamp": at(5 * time.Minute), "key": "ada", "encoding": "utf-8", "size": 99, "headers": []any{},
		"value": fmt.Sprintf(`{"class":"authentication","status":%q,"user":"ada","src_ip":"203.0.113.7","country":"KP"}`, status),
	}
}

func pipeline(name string) object {
	return object{
		"name": name, "about": "What it is for, in a sentence.", "instance": name + "@0c0b44b93e0f", "state": "running", "lag": 3, "lag_seconds": 0.4, "watermark": at(20 * time.Second), "complete_through": at(30 * time.Second),
		"ledger": object{"counted": 990, "rejected": 10}, "ledger_diff": 0, "partitions": 1, "topics": []string{"metrics"}, "alerts": []string{"HostCPUHigh"},
	}
}

func pipelineDetail(name string, output object) object {
	p := pipeline(name)
	p["file"], p["source"], p["time"] = "library/"+name+".yaml", "pipeline: "+name+"\n", object{"out_of_order": "2s", "allowed_lateness": "2m"}
	p["graph"] = object{
		"nodes": []object{{"id": "t", "kind": "topic", "label": "metrics"}, {"id": "f", "kind": "step", "label": "filter", "detail": "keeps events where name is cpu"}, {"id": "o", "kind": "output", "label": "redis"}},
		"edges": []object{{"from": "t", "to": "f"}, {"from": "f", "to": "o"}},
	}
	p["rules"] = []object{{"name": "BruteForceSucceeded", "when": "failures >= 10", "for": "1m", "keep_firing_for": "30s", "severity": "warning", "summary": "{{ user }}", "labels": object{}}}
	p["outputs"] = []object{output}
	p["tasks"] = []object{{
		"stage": "", "topic": "metrics", "partition": 0, "state": "running", "epoch": 9, "offset": 1000, "lag": 3, "lag_seconds": 0.4, "watermark": at(20 * time.Second), "ledger": object{"counted": 990, "rejected": 10},
		"state_bytes": 5000, "groups": 3, "snapshot_offset": 900, "snapshot_bytes": 4000, "outputs": object{},
	}}
	return p
}

func letter() object {
	return object{
		"id": "0-7", "pipeline": "host-cpu", "topic": "metrics", "partition": 0, "offset": 512, "reason": "time is no time", "timestamp": at(time.Minute), "written": at(time.Minute), "size": 33, "preview": `{"time":"yesterday"`,
		"state": "open", "rejections": []object{
			{"id": "0-7", "pipeline": "host-cpu", "reason": "time is no time", "written": at(time.Minute)},
			{"id": "0-8", "pipeline": "host-memory", "reason": "time is missing", "written": at(time.Minute)},
		},
	}
}

// handledLetter was sent to its topic again.
func handledLetter() object {
	l, done := letter(), object{"state": "retried", "by": "grace", "at": at(30 * time.Second), "sent_to": "metrics/0/900"}
	l["id"], l["state"], l["handled"] = "0-9", "retried", done
	l["rejections"] = []object{{"id": "0-9", "pipeline": "host-cpu", "reason": "time is no time", "written": at(time.Minute), "handled": done}}
	return l
}
