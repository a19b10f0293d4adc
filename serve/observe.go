package serve

import (
	"bufio"
	"crypto/rand"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// requestIDHeader names a request in answers and in the log. What the caller sends is kept if it is harmless.
const requestIDHeader = "X-Request-Id"

const maxRequestID = 64

// contentPolicy lets the page use what this server serves, and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// Metrics are what the server counts. It implements prometheus.Collector.
type Metrics struct {
	requests    *prometheus.HistogramVec
	inFlight    prometheus.Gauge
	connections prometheus.Gauge
	refused     prometheus.Counter
	subscribed  prometheus.Gauge
	panels      prometheus.Gauge
	reads       *prometheus.CounterVec
	sent        *prometheus.CounterVec
	skipped     prometheus.Counter
	update      prometheus.Histogram
}

func newMetrics() *Metrics {
	const p = "tidewatch_"
	seconds := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	opts := func(name, unit, help string) prometheus.Opts {
		return prometheus.Opts{Name: p + name, Unit: unit, Help: help}
	}
	histogram := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: p + name, Unit: "seconds", Help: help, Buckets: seconds}
	}
	m := &Metrics{
		requests:    prometheus.NewHistogramVec(histogram("http_request_seconds", "Answers of the API by route and status."), []string{"route", "method", "status"}),
		inFlight:    prometheus.NewGauge(prometheus.GaugeOpts(opts("http_requests_in_flight", "requests", "Requests that are being answered."))),
		connections: prometheus.NewGauge(prometheus.GaugeOpts(opts("live_connections", "connections", "Open WebSockets."))),
		refused:     prometheus.NewCounter(prometheus.CounterOpts(opts("live_refused_total", "connections", "WebSockets that were refused because there are too many."))),
		subscribed:  prometheus.NewGauge(prometheus.GaugeOpts(opts("live_subscriptions", "subscriptions", "Subscriptions of all WebSockets."))),
		panels:      prometheus.NewGauge(prometheus.GaugeOpts(opts("live_panels", "panels", "Distinct questions that are subscribed to."))),
		reads:       prometheus.NewCounterVec(prometheus.CounterOpts(opts("live_reads_total", "", "Evaluations for all subscribers of a question: whole, or of what has changed.")), []string{"kind"}),
		sent:        prometheus.NewCounterVec(prometheus.CounterOpts(opts("live_messages_total", "messages", "Messages sent to WebSockets.")), []string{"kind"}),
		skipped:     prometheus.NewCounter(prometheus.CounterOpts(opts("live_skipped_total", "messages", "Deltas that were not sent since the client did not keep up; a snapshot followed."))),
		update:      prometheus.NewHistogram(histogram("live_update_seconds", "From the beginning of an evaluation to its message being handed to all subscribers.")),
	}
	for _, kind := range []string{"whole", "changed", "tail"} { // so that rates begin at 0
		m.reads.WithLabelValues(kind)
	}
	for _, kind := range []string{"snapshot", "delta", "error"} {
		m.sent.WithLabelValues(kind)
	}
	return m
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.inFlight, m.connections, m.refused, m.subscribed, m.panels, m.reads, m.sent, m.skipped, m.update}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(out)
	}
}

// observe gives every request an id and every answer the headers that all have, and measures.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.c.Clock.Now()
		h := w.Header()
		h.Set(requestIDHeader, requestID(r.Header.Get(requestIDHeader)))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", contentPolicy)
		if strings.HasPrefix(r.URL.Path, "/api/") {
			h.Set("Cache-Control", "no-store")
		}
		rec := &recorder{ResponseWriter: w, route: "other"}
		next.ServeHTTP(rec, r)
		if rec.status == http.StatusSwitchingProtocols {
			return // it lived for hours, and says so elsewhere
		}
		s.observed.requests.WithLabelValues(rec.route, methodOf(r), strconv.Itoa(rec.code())).Observe(s.c.Clock.Now().Sub(began).Seconds())
	})
}

// methodOf keeps invented methods from making time series.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodOptions:
		return r.Method
	}
	return "other"
}

func requestID(sent string) string {
	bad := func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if sent == "" || len(sent) > maxRequestID || strings.ContainsFunc(sent, bad) {
		return rand.Text()
	}
	return sent
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	route  string
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Hijack implements http.Hijacker, for WebSockets.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.status = http.StatusSwitchingProtocols
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// noteRoute tells the recorder which route answers. What compresses stands between them.
func noteRoute(w http.ResponseWriter, r *route) {
	for {
		switch x := w.(type) {
		case *recorder:
			x.route = r.ID
			return
		case interface{ Unwrap() http.ResponseWriter }:
			w = x.Unwrap()
		default:
			return
		}
	}
}
