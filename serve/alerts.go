package serve

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/pipelines"
)

// categoryLabel is the label that the parameter category asks for.
const categoryLabel = "category"

// activeAlerts lists pending and firing alerts, or those in the states asked for.
func activeAlerts(ctx context.Context, s *Server, c *call) (reply, error) {
	return s.listAlerts(ctx, c, nil)
}

func allAlerts(ctx context.Context, s *Server, c *call) (reply, error) {
	return s.listAlerts(ctx, c, alerts.States())
}

func (s *Server) listAlerts(ctx context.Context, c *call, otherwise []alerts.State) (reply, error) {
	f, err := filterOf(c, otherwise)
	if err != nil {
		return reply{}, err
	}
	page, err := s.c.Alerts.List(ctx, f)
	if page.Items == nil {
		page.Items = []alerts.Alert{}
	}
	return reply{body: page}, err
}

func filterOf(c *call, otherwise []alerts.State) (f alerts.Filter, err error) {
	f.States, f.Severity = chosen(c, "state", alerts.States(), otherwise), chosen(c, "severity", alerts.Severities(), nil)
	f.Name, f.Pipeline, f.Cursor = c.text("name"), c.text("pipeline"), c.text("cursor")
	f.Labels = labelsOf(c)
	f.Limit = c.number("limit", alerts.DefaultLimit, alerts.MaxLimit)
	if f.Cursor != "" {
		if _, err := alerts.ParseCursor(f.Cursor); err != nil {
			c.bad("cursor", "it is none of ours: take next_cursor of the page before")
		}
	}
	if c.has("last") || c.has("from") || c.has("to") {
		var a ask
		a.span(c)
		from, to := a.bounds(c.now)
		f.From = from.Go()
		if !a.moves() {
			f.To = to.Go()
		}
	}
	return f, c.mistakes()
}

// labelsOf are the labels that must hold, nil if there are none.
func labelsOf(c *call) map[string]string {
	labels := map[string]string{}
	for k, values := range c.pairs("label") {
		if labels[k] = values[0]; len(values) > 1 {
			c.bad("label", "%s cannot have two values", k)
		}
	}
	if c.has("category") {
		labels[categoryLabel] = c.text("category")
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// chosen reads a parameter whose values are known.
func chosen[T ~string](c *call, key string, all, otherwise []T) (values []T) {
	for _, v := range c.list(key) {
		if !slices.Contains(all, T(v)) {
			c.bad(key, "unknown %s %q; there are %v", key, v, all)
		}
		values = append(values, T(v))
	}
	if len(values) == 0 {
		return otherwise
	}
	return values
}

// oneAlert shows one alert with its history.
func oneAlert(ctx context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	d, err := s.c.Alerts.Get(ctx, c.path["id"])
	return reply{body: d}, unknownAlert(c, err)
}

func unknownAlert(c *call, err error) error {
	if errors.Is(err, alerts.ErrNotFound) {
		return notFound("there is no alert " + c.path["id"])
	}
	return err
}

func alertCounts(ctx context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	var n AlertCounts
	f := alerts.Filter{Limit: alerts.MaxLimit}
	for {
		page, err := s.c.Alerts.List(ctx, f)
		if err != nil {
			return reply{}, err
		}
		for i := range page.Items {
			n.add(&page.Items[i])
		}
		if f.Cursor = page.NextCursor; f.Cursor == "" {
			return reply{body: n}, nil
		}
	}
}

func (n *AlertCounts) add(a *alerts.Alert) {
	by := &n.Pending
	if a.State == alerts.Firing {
		by = &n.Firing
		if a.Acknowledged != nil {
			n.Acknowledged++
		}
	}
	switch a.Severity {
	case alerts.Info:
		by.Info++
	case alerts.Warning:
		by.Warning++
	case alerts.Critical:
		by.Critical++
	}
}

// How long an acknowledgement waits to be seen, and how often it looks.
const (
	foldPatience = 2 * time.Second
	foldLook     = 100 * time.Millisecond
)

// acknowledge sends the command, and waits a little until the alert shows it.
func acknowledge(ctx context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	var body AcknowledgeRequest
	if err := c.decode(&body); err != nil {
		return reply{}, err
	}
	by := c.caller.name
	if body.By != "" {
		if s.guarded() && body.By != by {
			return reply{}, failure(http.StatusBadRequest, "bad_request", "the request has mistakes", ProblemDetail{"body.by", "it is the name of the token: leave it out"})
		}
		by = body.By
	}
	if _, err := s.c.Alerts.Get(ctx, c.path["id"]); err != nil {
		return reply{}, unknownAlert(c, err)
	}
	cmd := alerts.Command{Command: alerts.Acknowledge, Alert: c.path["id"], By: by, Note: body.Note, Time: c.now.UTC()}
	value, err := cmd.Encode()
	if err != nil {
		return reply{}, failure(http.StatusBadRequest, "bad_request", "the request has mistakes", ProblemDetail{"body", err.Error()})
	}
	at, errs := s.c.Log.Append(ctx, []LogRecord{{Topic: alerts.CommandsTopic, Key: []byte(cmd.Alert), Value: value}})
	if errs[0] != nil {
		return reply{}, fmt.Errorf("send command: %w", errs[0])
	}
	applied, err := s.applied(ctx, &cmd)
	if err != nil { // the command is safe all the same
		s.c.Logger.Warn("looking for an acknowledgement failed", "error", err)
	}
	return reply{status: http.StatusAccepted, body: AcknowledgeReceipt{Alert: cmd.Alert, Acknowledged: cmd.Acknowledgement(), Command: at[0], Applied: applied}}, nil
}

// applied waits until the store has this acknowledgement or a later one.
func (s *Server) applied(ctx context.Context, cmd *alerts.Command) (bool, error) {
	for waited := time.Duration(0); ; waited += foldLook {
		d, err := s.c.Alerts.Get(ctx, cmd.Alert)
		if err != nil {
			return false, err
		}
		if k := d.Acknowledged; k != nil && !k.At.Before(cmd.Time) {
			return true, nil
		}
		if waited >= foldPatience {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-s.c.Clock.After(foldLook):
		}
	}
}

// evidence shows a record of the topics that the pipelines read.
func evidence(ctx context.Context, s *Server, c *call) (reply, error) {
	at := LogPlace{Topic: c.path["topic"]}
	partition, err := strconv.ParseInt(c.path["partition"], 10, 32)
	if err != nil || partition < 0 {
		c.errs = append(c.errs, ProblemDetail{"path.partition", "it is not the number of a partition"})
	}
	if at.Offset, err = strconv.ParseInt(c.path["offset"], 10, 64); err != nil || at.Offset < 0 {
		c.errs = append(c.errs, ProblemDetail{"path.offset", "it is not an offset"})
	}
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	at.Partition = int32(partition)
	if !slices.ContainsFunc(s.c.Status.Pipelines(), func(d *pipelines.Description) bool { return slices.Contains(d.Topics, at.Topic) }) {
		return reply{}, notFound("no pipeline reads the topic " + at.Topic)
	}
	e, err := s.c.Log.Record(ctx, at)
	if errors.Is(err, ErrNoRecord) {
		return reply{}, notFound(fmt.Sprintf("%s/%d has no record at offset %d any more", at.Topic, at.Partition, at.Offset))
	}
	if err != nil {
		return reply{}, err
	}
	key, value, encoding := asText(e.Key, e.Value)
	body := RecordAnswer{LogPlace: at, Timestamp: e.Timestamp.UTC(), Key: key, Value: value, Encoding: encoding, Size: len(e.Value), Headers: e.Headers}
	if body.Headers == nil {
		body.Headers = []RecordHeader{}
	}
	return reply{body: body}, nil
}

// asText shows bytes: as they are if both are UTF-8.
func asText(key, value []byte) (k *string, v, encoding string) {
	show, encoding := func(b []byte) string { return string(b) }, "utf-8"
	if !utf8.Valid(key) || !utf8.Valid(value) {
		show, encoding = base64.StdEncoding.EncodeToString, "base64"
	}
	if key != nil {
		text := show(key)
		k = &text
	}
	return k, show(value), encoding
}
