package serve

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// MetricsAnswer is the body of every question about metrics.
type MetricsAnswer struct {
	From Instant `json:"from" doc:"Begin of the first bucket."`
	To   Instant `json:"to" doc:"End of the last bucket."`
	Step Span    `json:"step" doc:"Length of a bucket that was asked for, or chosen. A series whose windows are longer has a longer one."`
	// CompleteThrough is the lowest of all outputs in the answer.
	CompleteThrough *Instant      `json:"complete_through" doc:"Everything up to this event time is final; null while it is unknown."`
	Series          []MetricsLine `json:"series"`
	SeriesTotal     int           `json:"series_total" doc:"Series before top was applied."`
	Outputs         []OutputInfo  `json:"outputs" doc:"The outputs of pipelines that were read."`
}

// MetricsLine is one series: a group of an output.
type MetricsLine struct {
	Name     string            `json:"name" doc:"Name of the metric; PIPELINE.OUTPUT where the pipeline is about no single one."`
	Unit     string            `json:"unit" doc:"Unit in UCUM of the columns that have one; empty if there is none, it is unknown, or they differ: see the columns of the output."`
	Pipeline string            `json:"pipeline"`
	Output   string            `json:"output"`
	Labels   map[string]string `json:"labels" doc:"Group columns; a null one is missing."`
	Step     Span              `json:"step"`
	Columns  []string          `json:"columns" doc:"Names of the columns of points: time first, then values."`
	Points   Points            `json:"points"`
}

// OutputInfo describes an output of a pipeline that can be asked.
type OutputInfo struct {
	Pipeline string       `json:"pipeline"`
	Output   string       `json:"output"`
	Name     string       `json:"name" doc:"Name of the metric."`
	Unit     string       `json:"unit" doc:"Unit in UCUM of the columns that have one; empty if there is none, it is unknown, or they differ."`
	Family   string       `json:"family" doc:"Which question it answers: system, security, performance or custom."`
	Type     string       `json:"type" doc:"What types= chooses by: cpu, memory, disk, network; the class of security events."`
	Window   Span         `json:"window"`
	Every    Span         `json:"every" doc:"From the begin of one window to the next. Windows that are longer overlap: with a longer step, each point is the window that begins with the bucket."`
	Keep     Span         `json:"keep" doc:"How long windows can be asked for; 0s is for ever."`
	Groups   []string     `json:"groups" doc:"Group columns."`
	Columns  []ColumnInfo `json:"columns" doc:"Value columns."`

	Step            *Span           `json:"step,omitempty"`
	Omitted         []OmittedColumn `json:"omitted,omitempty" doc:"Columns that were left out since they cannot be added up to this step and these groups."`
	CompleteThrough *Instant        `json:"complete_through,omitempty"`
}

// ColumnInfo describes a value column.
type ColumnInfo struct {
	Name     string `json:"name"`
	Function string `json:"function" doc:"count, sum, min, max or avg."`
	Of       string `json:"of,omitempty" doc:"What it is computed of."`
	Unit     string `json:"unit" doc:"Unit in UCUM, as the pipeline or the schema of the events says; empty for numbers of things, or if it is unknown."`
}

// OmittedColumn says why a column is not in the answer.
type OmittedColumn struct {
	Column string `json:"column"`
	Reason string `json:"reason"`
}

// OutputList is the body of the list of outputs.
type OutputList struct {
	Items []OutputInfo `json:"items"`
}

// Span is a length of time in answers: 10s, 1m30s, 2d.
type Span time.Duration

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) {
	return []byte(pipelines.FormatDuration(time.Duration(s))), nil
}

// Points are the points of a series, column by column. In JSON a point is [time, value, …], the time in milliseconds.
type Points struct {
	Start   []stream.Time   // of each bucket, ascending
	Columns []stream.Column // Int and Float only, each as long as Start
}

// MarshalJSON implements json.Marshaler. What JSON cannot say (NaN, infinity) is null.
func (p Points) MarshalJSON() ([]byte, error) { return p.append(nil, 0), nil }

// append writes the points from index lo on.
func (p *Points) append(dst []byte, lo int) []byte {
	dst = append(dst, '[')
	for i := lo; i < len(p.Start); i++ {
		if i > lo {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, '['), int64(p.Start[i])/int64(time.Millisecond), 10)
		for k := range p.Columns {
			dst = appendCell(append(dst, ','), &p.Columns[k], i)
		}
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

func appendCell(dst []byte, c *stream.Column, i int) []byte {
	switch {
	case c.IsNull(i):
		return append(dst, "null"...)
	case c.Kind == stream.Float:
		if v := c.Floats[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			return appendNumber(dst, v)
		}
		return append(dst, "null"...)
	}
	return strconv.AppendInt(dst, c.Ints[i], 10)
}

// appendNumber writes the shortest form that reads back as the same number; exponents as encoding/json has them.
func appendNumber(dst []byte, v float64) []byte {
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// CustomMetrics is the body of a submission.
type CustomMetrics struct {
	Metrics []json.RawMessage `json:"metrics" doc:"JSON events as on the topic metrics; at most 1000."`
}

// CustomReceipt is the answer to a submission: what the broker has, and what was refused.
type CustomReceipt struct {
	Accepted int             `json:"accepted"`
	Rejected []RejectedEvent `json:"rejected"`
}

// RejectedEvent says what is wrong with one event of a submission.
type RejectedEvent struct {
	Index   int    `json:"index"`
	Code    string `json:"code" doc:"invalid_json, too_large, missing_field, wrong_type, invalid_time, time_in_future, time_too_old; not_stored where the broker did not take it."`
	Message string `json:"message"`
}
