package serve

import (
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/alerts"
)

// APIBase begins the paths of the API.
const APIBase = "/api/v2"

// Role is what a caller may do.
type Role string

// The roles. Admin may do everything, whoever acknowledges may read.
const (
	RoleNone  Role = "" // nobody is asked who he is
	RoleRead  Role = "read"
	RoleAck   Role = "ack"
	RoleWrite Role = "write"
	RoleAdmin Role = "admin"
)

// Roles lists all roles.
func Roles() []Role { return []Role{RoleRead, RoleAck, RoleWrite, RoleAdmin} }

// liveKind tells what a subscription to a route sends.
type liveKind uint8

const (
	notLive    liveKind = iota
	liveWhole           // the whole answer whenever it has changed
	liveSeries          // a snapshot, then what changes
)

// route is a line of the table that the server, the OpenAPI document and the tests are made from.
type route struct {
	Method, Path string // Path as in net/http, below APIBase unless Root
	Root         bool
	ID           string // operationId
	Tag          string
	Summary      string
	About        string
	Role         Role
	Params       []param
	Body         any // zero value; nil: none
	Answers      []answerType
	Live         liveKind
	Examples     []example
	handle       handler
}

// param is a parameter in the query, or in the path.
type param struct {
	Name, Alias string
	In          string // "" is query
	Kind        string // string, integer
	Repeat      bool
	Values      []string // all that are possible
	Default     string
	About       string
}

// answerType is a status and the type of its body.
type answerType struct {
	Status int
	Body   any // zero value; nil: no body, or one that is described elsewhere
	About  string
}

// example is a request whose answer is in examples/; the tests send it.
type example struct {
	Name  string // of the file, and in the document
	Path  string // with parameters, below APIBase
	Body  string
	Want  int // status
	About string
}

// path is the whole path.
func (r *route) path() string {
	if r.Root {
		return r.Path
	}
	return APIBase + r.Path
}

// param finds a query parameter by name or alias.
func (r *route) param(key string) *param {
	for i := range r.Params {
		if p := &r.Params[i]; p.In == "" && (p.Name == key || p.Alias != "" && p.Alias == key) {
			return p
		}
	}
	return nil
}

func (r *route) parameterNames() string {
	var names []string
	for i := range r.Params {
		if p := &r.Params[i]; p.In == "" {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// ok is the answer 200 with a body.
func ok(body any) []answerType { return []answerType{{200, body, "The answer."}} }

func inPath(name, about string) param {
	return param{Name: name, In: "path", Kind: "string", About: about}
}

// spanParams choose a time.
func spanParams(about string) []param {
	return []param{
		{Name: "last", Alias: "time_range", Kind: "string", Default: about, About: "Span up to now, such as 15m or 7d. As time_range also FROM/TO."},
		{Name: "from", Kind: "string", About: "Begin: RFC 3339, epoch seconds or milliseconds, now, now-15m."},
		{Name: "to", Kind: "string", About: "End, in the same forms; now if it is left out."},
	}
}

// pointParams choose the form of series.
func pointParams() []param {
	return append(spanParams("15m"),
		param{Name: "step", Alias: "granularity", Kind: "string", Default: "auto", About: "Length of a bucket, or auto. It is rounded up to a multiple of the window."},
		param{Name: "points", Kind: "integer", Default: "300", About: "How many buckets auto makes at most."},
		param{Name: "by", Kind: "string", About: "Group columns to keep, with commas; empty for one series over everything. All if it is left out."},
		param{Name: "where", Kind: "string", Repeat: true, About: "name=value of a group column. A column that stands twice may have any of the values."},
		param{Name: "columns", Alias: "aggregation", Kind: "string", Repeat: true, About: "Value columns by name or function, with commas. All if it is left out."},
		param{Name: "top", Kind: "integer", About: "Keep the series with the highest totals."},
		param{Name: "order", Kind: "string", About: "Column of the totals; the first if it is left out."})
}

func withTypes(alias, about string) []param {
	return append([]param{{Name: "types", Alias: alias, Kind: "string", Repeat: true, About: about}}, pointParams()...)
}

func alertParams() []param {
	return append([]param{
		{Name: "state", Kind: "string", Repeat: true, Values: textsOf(alerts.States()), About: "Any of these states."},
		{Name: "severity", Kind: "string", Repeat: true, Values: textsOf(alerts.Severities()), About: "Any of these severities."},
		{Name: "name", Kind: "string", About: "Name of the rule."},
		{Name: "pipeline", Kind: "string", About: "Name of the pipeline."},
		{Name: "category", Kind: "string", About: "The label category."},
		{Name: "label", Kind: "string", Repeat: true, About: "name=value; all of them must hold."},
		{Name: "cursor", Kind: "string", About: "next_cursor of the page before."},
		{Name: "limit", Kind: "integer", Default: "100", About: "Alerts of a page, at most 1000."},
	}, spanParams("no limit; it is about started_at")...)
}

func textsOf[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}

// routes is the table. Everything that is said about a route is said here.
func routes() []route {
	return slices.Concat(metricRoutes(), outputRoutes(), alertRoutes(), pipelineRoutes(), letterRoutes(), otherRoutes())
}

func metricRoutes() []route {
	return []route{
		{
			Method: "GET", Path: "/metrics/system", ID: "systemMetrics", Tag: "metrics", Role: RoleRead, Live: liveSeries, handle: systemMetrics,
			Summary: "Metrics of hosts and processes", About: "Series of all outputs whose metric begins with system. or process.",
			Params:  withTypes("metric_types", "cpu, memory, disk, network, a metric's name or a pipeline's."),
			Answers: ok(MetricsAnswer{}),
			Examples: []example{
				{Name: "systemMetrics", Path: "/metrics/system?types=cpu&from=2026-11-24T21:00:00Z&to=2026-11-24T21:01:00Z", Want: 200, About: "CPU of each host, window by window."},
				{Name: "systemMetrics-step", Path: "/metrics/system?metric_types=cpu&from=2026-11-24T21:00:00Z&to=2026-11-24T21:01:00Z&granularity=30s&by=&aggregation=max", Want: 200, About: "The highest of all hosts, every 30 seconds."},
				{Name: "systemMetrics-mistake", Path: "/metrics/system?stp=10s", Want: 400, About: "A parameter that does not exist."},
			},
		},
		{
			Method: "GET", Path: "/metrics/security", ID: "securityMetrics", Tag: "metrics", Role: RoleRead, Live: liveSeries, handle: securityMetrics,
			Summary: "Metrics of security events", About: "Series of all outputs of pipelines that read security events.",
			Params:  withTypes("event_types", "authentication, api_activity, or the name of a pipeline or an output."),
			Answers: ok(MetricsAnswer{}),
			Examples: []example{
				{Name: "securityMetrics", Path: "/metrics/security?types=authentication&from=2026-11-24T21:00:00Z&to=2026-11-24T21:02:00Z&by=src_ip&top=1&order=failures", Want: 200, About: "The address with most failed logins."},
			},
		},
		{
			Method: "GET", Path: "/metrics/performance/{service}", ID: "performanceMetrics", Tag: "metrics", Role: RoleRead, Live: liveSeries, handle: performanceMetrics,
			Summary: "Metrics of one service", About: "Series of all outputs that are grouped by service.",
			Params: slices.Concat([]param{inPath("service", "Name of the service."), {Name: "operations", Kind: "string", Repeat: true, About: "Values of the group column operation or route, with commas."}},
				withTypes("metric_types", "Names of metrics or pipelines.")),
			Answers:  ok(MetricsAnswer{}),
			Examples: []example{{Name: "performanceMetrics", Path: "/metrics/performance/checkout?from=2026-11-24T21:00:00Z&to=2026-11-24T21:02:00Z", Want: 200}},
		},
	}
}

// outputRoutes are about any output.
func outputRoutes() []route {
	return []route{
		{
			Method: "GET", Path: "/metrics/custom", ID: "customMetrics", Tag: "metrics", Role: RoleRead, Live: liveSeries, handle: customMetrics,
			Summary: "Any metric by its name", About: "Series of the outputs that are about a metric, or of a pipeline.",
			Params:  append([]param{{Name: "name", Kind: "string", About: "Name of a metric, PIPELINE or PIPELINE/OUTPUT."}}, pointParams()...),
			Answers: ok(MetricsAnswer{}),
			Examples: []example{
				{Name: "customMetrics", Path: "/metrics/custom?name=host-cpu/cpu&where=host=web-7&from=2026-11-24T21:00:00Z&to=2026-11-24T21:00:20Z", Want: 200},
				{Name: "customMetrics-unknown", Path: "/metrics/custom?name=nothing", Want: 404},
			},
		},
		{
			Method: "POST", Path: "/metrics/custom", ID: "submitMetrics", Tag: "metrics", Role: RoleWrite, handle: submitMetrics,
			Summary: "Submit metric events", About: "Puts JSON events on the topic metrics, keyed by host, else service. At most 1000 events and 1 MiB.",
			Body: CustomMetrics{},
			Answers: []answerType{
				{202, CustomReceipt{}, "The broker has all of them."}, {207, CustomReceipt{}, "Some were rejected."}, {422, CustomReceipt{}, "All were rejected."},
			},
			Examples: []example{
				{Name: "submitMetrics", Path: "/metrics/custom", Body: `{"metrics":[{"time":"2026-11-24T21:00:00Z","name":"queue.length","value":12,"host":"web-7"}]}`, Want: 202},
				{Name: "submitMetrics-some", Path: "/metrics/custom", Body: `{"metrics":[{"time":"2026-11-24T21:00:00Z","name":"queue.length","value":12},{"time":"2026-11-24T21:00:00Z","name":"queue.length"}]}`, Want: 207},
			},
		},
		{
			Method: "GET", Path: "/query", ID: "query", Tag: "metrics", Role: RoleRead, Live: liveSeries, handle: genericQuery,
			Summary: "Any output of any pipeline",
			Params: append([]param{
				{Name: "pipeline", Kind: "string", About: "Name of the pipeline."}, {Name: "output", Kind: "string", About: "Name of the output, if there are several."},
			}, pointParams()...),
			Answers:  ok(MetricsAnswer{}),
			Examples: []example{{Name: "query", Path: "/query?pipeline=host-cpu&from=2026-11-24T21:00:00Z&to=2026-11-24T21:00:20Z&where=host=web-7&columns=avg", Want: 200}},
		},
		{
			Method: "GET", Path: "/outputs", ID: "outputs", Tag: "metrics", Role: RoleRead, Live: liveWhole, handle: listOutputs,
			Summary: "What can be asked", Answers: ok(OutputList{}),
			Examples: []example{{Name: "outputs", Path: "/outputs", Want: 200}},
		},
	}
}

func alertRoutes() []route {
	const id, unknown = "1e96cbe8915b0f27baf9e550", "0b5c91d2aa10ff0012345678"
	return []route{
		{
			Method: "GET", Path: "/metrics/alerts/active", ID: "activeAlerts", Tag: "alerts", Role: RoleRead, Live: liveWhole, handle: activeAlerts,
			Summary: "Pending and firing alerts, newest first", Params: alertParams(), Answers: ok(alerts.Page{}),
			Examples: []example{{Name: "activeAlerts", Path: "/metrics/alerts/active?severity=critical", Want: 200}},
		},
		{
			Method: "GET", Path: "/metrics/alerts", ID: "alerts", Tag: "alerts", Role: RoleRead, Live: liveWhole, handle: allAlerts,
			Summary: "Alerts in all states, newest first", Params: alertParams(), Answers: ok(alerts.Page{}),
			Examples: []example{{Name: "alerts-mistake", Path: "/metrics/alerts?state=burning&limit=0", Want: 400}},
		},
		{
			Method: "GET", Path: "/metrics/alerts/counts", ID: "alertCounts", Tag: "alerts", Role: RoleRead, Live: liveWhole, handle: alertCounts,
			Summary: "How many alerts are active", Answers: ok(AlertCounts{}),
			Examples: []example{{Name: "alertCounts", Path: "/metrics/alerts/counts", Want: 200}},
		},
		{
			Method: "GET", Path: "/metrics/alerts/{id}", ID: "alert", Tag: "alerts", Role: RoleRead, Live: liveWhole, handle: oneAlert,
			Summary: "An alert with its evidence and history", Params: []param{inPath("id", "Id of the alert.")}, Answers: ok(alerts.Detail{}),
			Examples: []example{
				{Name: "alert", Path: "/metrics/alerts/" + id, Want: 200}, {Name: "alert-unknown", Path: "/metrics/alerts/" + unknown, Want: 404},
			},
		},
		{
			Method: "POST", Path: "/metrics/alerts/{id}/acknowledge", ID: "acknowledge", Tag: "alerts", Role: RoleAck, handle: acknowledge,
			Summary: "Take an alert on", About: "Puts a command on the topic tidewatch.commands, so that it replays like everything else.",
			Params: []param{inPath("id", "Id of the alert.")}, Body: AcknowledgeRequest{},
			Answers: []answerType{{202, AcknowledgeReceipt{}, "The broker has the command."}},
			Examples: []example{
				{Name: "acknowledge", Path: "/metrics/alerts/" + id + "/acknowledge", Body: `{"note":"looking at it","by":"ada"}`, Want: 202},
				{Name: "acknowledge-unknown", Path: "/metrics/alerts/" + unknown + "/acknowledge", Body: `{"note":"looking at it"}`, Want: 404},
			},
		},
		{
			Method: "GET", Path: "/evidence/{topic}/{partition}/{offset}", ID: "evidence", Tag: "alerts", Role: RoleRead, handle: evidence,
			Summary:  "A record of the log",
			Params:   []param{inPath("topic", "Topic."), inPath("partition", "Partition."), inPath("offset", "Offset.")},
			Answers:  ok(RecordAnswer{}),
			Examples: []example{{Name: "evidence", Path: "/evidence/metrics/0/17", Want: 200}},
		},
	}
}

func pipelineRoutes() []route {
	return []route{
		{
			Method: "GET", Path: "/status", ID: "status", Tag: "state", Role: RoleRead, Live: liveWhole, handle: status,
			Summary: "How this worker stands, partition by partition", Answers: ok(StatusAnswer{}),
			Examples: []example{{Name: "status", Path: "/status", Want: 200}},
		},
		{
			Method: "GET", Path: "/pipelines", ID: "pipelines", Tag: "state", Role: RoleRead, Live: liveWhole, handle: listPipelines,
			Summary: "All pipelines", Answers: ok(PipelineList{}),
			Examples: []example{{Name: "pipelines", Path: "/pipelines", Want: 200}},
		},
		{
			Method: "GET", Path: "/pipelines/{name}", ID: "pipeline", Tag: "state", Role: RoleRead, Live: liveWhole, handle: onePipeline,
			Summary: "A pipeline with its plan", Params: []param{inPath("name", "Name of the pipeline.")}, Answers: ok(PipelineDetail{}),
			Examples: []example{{Name: "pipeline", Path: "/pipelines/host-cpu", Want: 200}},
		},
		{
			Method: "POST", Path: "/pipelines/apply", ID: "applyPipelines", Tag: "state", Role: RoleWrite, handle: applyPipelines,
			Summary: "Let new versions of pipelines follow those that run",
			About: "Each pipeline of the file begins at a cut, without a restart. Windows that start before it stay those of the version before, " +
				"which ends when all of them are final.",
			Body: ApplyRequest{}, Answers: ok(ApplyAnswer{}),
			Examples: []example{
				{Name: "applyPipelines", Path: "/pipelines/apply", Body: `{"text":"pipeline: host-cpu\n","file":"host-cpu.yaml","by":"ada"}`, Want: 200},
				{Name: "applyPipelines-refused", Path: "/pipelines/apply", Body: `{"text":"# nothing","file":"host-cpu.yaml"}`, Want: 422},
			},
		},
		{
			Method: "GET", Path: "/ledger", ID: "ledger", Tag: "state", Role: RoleRead, Live: liveWhole, handle: ledger,
			Summary: "What became of every offset, of all workers", Answers: ok(LedgerAnswer{}),
			Examples: []example{{Name: "ledger", Path: "/ledger", Want: 200}},
		},
	}
}

func letterRoutes() []route {
	return []route{
		{
			Method: "GET", Path: "/dead-letters", ID: "deadLetters", Tag: "state", Role: RoleRead, handle: listLetters,
			Summary: "Records that did not decode or failed validation, those with the newest dead letters first",
			Params: []param{
				{Name: "pipeline", Kind: "string", About: "Pipeline that rejected the record."},
				{Name: "topic", Kind: "string", About: "Topic that the record came from."},
				{Name: "kind", Kind: "string", Repeat: true, Values: textsOf(LetterKinds()), About: "What the letter is about; all kinds if nothing is said."},
				{Name: "reason", Kind: "string", About: "A part of the reason."},
				{
					Name: "state", Kind: "string", Repeat: true, Values: append(textsOf(LetterStates()), handledLetters, allLetters), Default: string(LetterOpen),
					About: "Any of these states; handled is retried or dropped.",
				},
				{Name: "cursor", Kind: "string", About: "next_cursor of the page before."},
				{Name: "limit", Kind: "integer", Default: "50", About: "Records of a page, at most 500."},
			},
			Answers: ok(LetterList{}),
			Examples: []example{
				{Name: "deadLetters", Path: "/dead-letters?topic=metrics", Want: 200},
				{Name: "deadLetters_handled", Path: "/dead-letters?state=handled", Want: 200},
			},
		},
		{
			Method: "GET", Path: "/dead-letters/{id}", ID: "deadLetter", Tag: "state", Role: RoleRead, handle: oneLetter,
			Summary: "A rejected record with its bytes, all rejections, and what was done", Params: []param{inPath("id", "PARTITION-OFFSET of one of its dead letters.")}, Answers: ok(LetterDetail{}),
			Examples: []example{{Name: "deadLetter", Path: "/dead-letters/0-41", Want: 200}},
		},
	}
}

func otherRoutes() []route {
	return []route{
		{
			Method: "GET", Path: "/session", ID: "session", Tag: "session", Role: RoleNone, handle: showSession,
			Summary: "Who asks, and what he may", Answers: ok(SessionAnswer{}),
			Examples: []example{{Name: "session", Path: "/session", Want: 200}},
		},
		{
			Method: "POST", Path: "/session", ID: "login", Tag: "session", Role: RoleNone, handle: login, Body: SessionRequest{},
			Summary: "Log a browser in", About: "Sets a cookie that stands for the token.", Answers: ok(SessionAnswer{}),
			Examples: []example{{Name: "login-wrong", Path: "/session", Body: `{"token":"guess"}`, Want: 401}},
		},
		{
			Method: "DELETE", Path: "/session", ID: "logout", Tag: "session", Role: RoleNone, handle: logout,
			Summary: "Log a browser out", Answers: []answerType{{204, nil, "The cookie is gone."}},
		},
		{
			Method: "GET", Path: "/openapi.json", ID: "openapi", Tag: "session", Role: RoleRead, handle: showOpenAPI,
			Summary: "This document", Answers: ok(nil),
		},
		{
			Method: "GET", Path: "/healthz", Root: true, ID: "healthz", Tag: "state", Role: RoleNone, handle: health,
			Summary: "The process serves", Answers: ok(Health{}), Examples: []example{{Name: "healthz", Path: "/healthz", Want: 200}},
		},
		{
			Method: "GET", Path: "/readyz", Root: true, ID: "readyz", Tag: "state", Role: RoleNone, handle: ready,
			Summary: "Everything that is needed answers, and what is served is complete", Answers: ok(Health{}),
			Examples: []example{{Name: "readyz", Path: "/readyz", Want: 200}},
		},
	}
}
