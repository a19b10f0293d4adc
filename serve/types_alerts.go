package serve

import (
	"time"

	"github.com/tidewatch/tidewatch/alerts"
)

// AlertCounts are the numbers of active alerts by severity.
type AlertCounts struct {
	Firing       SeverityCounts `json:"firing"`
	Pending      SeverityCounts `json:"pending"`
	Acknowledged int            `json:"acknowledged" doc:"Firing alerts that somebody has taken on."`
}

// SeverityCounts counts by severity.
type SeverityCounts struct {
	Info     int `json:"info"`
	Warning  int `json:"warning"`
	Critical int `json:"critical"`
}

// AcknowledgeRequest is the body of an acknowledgement.
type AcknowledgeRequest struct {
	Note string `json:"note,omitempty" doc:"For the others; at most 4000 bytes."`
	By   string `json:"by,omitempty" doc:"Who acknowledges, where no tokens are asked for; else it is the name of the token."`
}

// AcknowledgeReceipt is the answer to an acknowledgement: the broker has the command.
type AcknowledgeReceipt struct {
	Alert        string                 `json:"alert"`
	Acknowledged alerts.Acknowledgement `json:"acknowledged"`
	Command      LogPlace               `json:"command" doc:"Where the command lies."`
	Applied      bool                   `json:"applied" doc:"Whether the alert shows it already; else a worker will fold it in within about a second."`
}

// LogPlace is where a record lies.
type LogPlace struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// RecordAnswer is a record of the log, for evidence.
type RecordAnswer struct {
	LogPlace
	Timestamp time.Time      `json:"timestamp" doc:"The broker's."`
	Key       *string        `json:"key"`
	Value     string         `json:"value"`
	Encoding  string         `json:"encoding" doc:"How key and value are written: utf-8 or base64."`
	Size      int            `json:"size" doc:"Bytes of the value."`
	Headers   []RecordHeader `json:"headers"`
}

// RecordHeader is a header of a record, as UTF-8.
type RecordHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}
