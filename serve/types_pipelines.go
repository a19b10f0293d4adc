package serve

import (
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// PipelineList is the body of the list of pipelines.
type PipelineList struct {
	Items []PipelineInfo `json:"items"`
}

// PipelineInfo is a pipeline and how it stands on this worker.
type PipelineInfo struct {
	Name            string           `json:"name"`
	About           string           `json:"about"`
	Instance        string           `json:"instance" doc:"Name and version; empty if it only asks for the archive."`
	State           string           `json:"state" doc:"running, starting, isolating (its processes have died again and again: it works alone, or waits for that), failed; idle if no partition is on this worker."`
	Problem         string           `json:"problem,omitempty"`
	Lag             *int64           `json:"lag" doc:"Records of all partitions; null while unknown."`
	LagSeconds      float64          `json:"lag_seconds" doc:"Of the slowest partition."`
	Watermark       *Instant         `json:"watermark" doc:"The lowest of all partitions."`
	CompleteThrough *Instant         `json:"complete_through"`
	Ledger          map[string]int64 `json:"ledger"`
	LedgerDiff      int64            `json:"ledger_diff" doc:"0, or a defect."`
	Partitions      int              `json:"partitions" doc:"Tasks on this worker."`
	Topics          []string         `json:"topics"`
	Alerts          []string         `json:"alerts" doc:"Names of its rules."`
}

// PipelineDetail is a pipeline with its plan.
type PipelineDetail struct {
	PipelineInfo
	File    string            `json:"file" doc:"Where it was read."`
	Source  string            `json:"source" doc:"The file's text."`
	Time    PipelineTime      `json:"time"`
	Graph   Graph             `json:"graph"`
	Rules   []RuleInfo        `json:"rules"`
	Outputs []OutputInfo      `json:"outputs"`
	Tasks   []PartitionStatus `json:"tasks"`
}

// PipelineTime is how its progress follows from events.
type PipelineTime struct {
	OutOfOrder      Span `json:"out_of_order"`
	AllowedLateness Span `json:"allowed_lateness"`
}

// Graph is the plan of a pipeline to draw, in topological order.
type Graph struct {
	Nodes []GraphNode `json:"nodes"`
	Edges []GraphEdge `json:"edges"`
}

// GraphNode is a topic, a step or an output.
type GraphNode struct {
	ID     string `json:"id"`
	Kind   string `json:"kind" doc:"topic, step, output, alerts or archive."`
	Label  string `json:"label"`
	Stage  string `json:"stage,omitempty" doc:"Of a step or output: stages are separated by topics."`
	Detail string `json:"detail,omitempty" doc:"What it does, in words."`
}

// GraphEdge is the way of the rows.
type GraphEdge struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// RuleInfo is an alert rule as its author wrote it.
type RuleInfo struct {
	Name          string            `json:"name"`
	When          string            `json:"when"`
	For           Span              `json:"for"`
	KeepFiringFor Span              `json:"keep_firing_for"`
	Severity      string            `json:"severity"`
	Summary       string            `json:"summary"`
	Labels        map[string]string `json:"labels"`
}

// LedgerAnswer is what became of every offset, of all workers, as of the newest claims.
type LedgerAnswer struct {
	Items      []LedgerRow      `json:"items"`
	Total      map[string]int64 `json:"total"`
	Difference int64            `json:"difference" doc:"Sum of the absolute differences: 0, or a defect."`
}

// LedgerRow is the ledger of one task.
type LedgerRow struct {
	Task       string           `json:"task"`
	Pipeline   string           `json:"pipeline"`
	Stage      string           `json:"stage"`
	Topic      string           `json:"topic"`
	Partition  int32            `json:"partition"`
	Epoch      int64            `json:"epoch"`
	First      int64            `json:"first" doc:"The first offset that counts."`
	Offset     int64            `json:"offset" doc:"The next offset to read."`
	Ledger     map[string]int64 `json:"ledger"`
	Gaps       map[string]int64 `json:"gaps" doc:"Of the ledger's bucket gap: marker (it ends a transaction), aborted, absent (the log does not hold it)."`
	Difference int64            `json:"difference" doc:"Offsets passed less the sum of the ledger."`
}

// LetterList is a page of rejected records, those with the newest dead letters first.
type LetterList struct {
	Items      []LetterInfo `json:"items"`
	NextCursor string       `json:"next_cursor,omitempty"`
	Scanned    int          `json:"scanned" doc:"Letters that were looked at for this page."`
	OnTopic    int64        `json:"on_topic" doc:"Letters on the topic; repeats, and notes of what was done, included."`
}

// LetterState is what was done about a rejected record.
type LetterState string

// The states of a rejected record.
const (
	LetterOpen    LetterState = "open"    // nothing
	LetterRetried LetterState = "retried" // it was sent to its topic again
	LetterDropped LetterState = "dropped" // nobody needs it
)

// LetterStates lists all states.
func LetterStates() []LetterState { return []LetterState{LetterOpen, LetterRetried, LetterDropped} }

// LetterKind is what a dead letter is about: a name of a stream.LetterKind.
type LetterKind string

// LetterKinds lists all kinds.
func LetterKinds() (kinds []LetterKind) {
	for _, k := range stream.LetterKinds() {
		kinds = append(kinds, LetterKind(k.String()))
	}
	return kinds
}

// LetterHandling is what was done about a rejected record, and by whom.
type LetterHandling struct {
	State  LetterState `json:"state"`
	By     string      `json:"by"`
	At     time.Time   `json:"at"`
	Note   string      `json:"note,omitempty"`
	SentTo string      `json:"sent_to,omitempty" doc:"TOPIC/PARTITION/OFFSET where a retried record lies now."`
}

// LetterRejection is what one pipeline had against a record.
type LetterRejection struct {
	ID       string          `json:"id" doc:"PARTITION-OFFSET of the letter on tidewatch.dead-letters."`
	Pipeline string          `json:"pipeline"`
	Kind     LetterKind      `json:"kind" doc:"rejected: the record does not decode or fails validation; quarantined: no step can process it; parked: a row that its output refuses for good."`
	Reason   string          `json:"reason"`
	Detail   string          `json:"detail,omitempty" doc:"More about the reason: the stack of a panic, the answer of a server. Only of one record."`
	Written  time.Time       `json:"written"`
	Handled  *LetterHandling `json:"handled,omitempty"`
}

// LetterInfo is what one or more dead letters are about, with all pipelines that wrote one.
type LetterInfo struct {
	ID        string     `json:"id" doc:"PARTITION-OFFSET of its first letter on tidewatch.dead-letters; that of any of its letters names it."`
	Pipeline  string     `json:"pipeline" doc:"That of the first of rejections."`
	Topic     string     `json:"topic"`
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"`
	Kind      LetterKind `json:"kind" doc:"That of the first of rejections."`
	Reason    string     `json:"reason" doc:"That of the first of rejections."`
	Timestamp string     `json:"timestamp" doc:"The broker's, of the record."`
	Written   time.Time  `json:"written" doc:"When the newest of its letters was written."`
	Size      int        `json:"size" doc:"Bytes of the record's value."`
	Preview   string     `json:"preview" doc:"The first 200 characters of the value."`

	State      LetterState       `json:"state" doc:"open until something was done about every rejection."`
	Handled    *LetterHandling   `json:"handled,omitempty" doc:"What was done last; nothing if the record is open."`
	Rejections []LetterRejection `json:"rejections" doc:"By pipeline. A page may leave out letters that are much older than the newest; the record itself has all."`
}

// LetterDetail is a rejected record with its bytes.
type LetterDetail struct {
	LetterInfo
	Incarnation string  `json:"incarnation,omitempty" doc:"Id of the topic."`
	Key         *string `json:"key"`
	Value       string  `json:"value"`
	Encoding    string  `json:"encoding" doc:"How key and value are written: utf-8 or base64."`
}

// SessionAnswer says who asks.
type SessionAnswer struct {
	Name           string `json:"name"`
	Roles          []Role `json:"roles"`
	TokensRequired bool   `json:"tokens_required"`
}

// SessionRequest is a login of a browser.
type SessionRequest struct {
	Token string `json:"token"`
}

// Health is the body of /healthz and /readyz.
type Health struct {
	Status string `json:"status"`
}
