package serve

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a page of dead letters.
const (
	maxLetters     = 500
	letterBudget   = 5000 // letters that are looked at for a page
	previewLetters = 200  // characters
)

func listLetters(ctx context.Context, s *Server, c *call) (reply, error) {
	f := LetterFilter{
		Pipeline: c.text("pipeline"), Topic: c.text("topic"), Reason: c.text("reason"), Cursor: c.text("cursor"),
		Kinds:  chosen(c, "kind", LetterKinds(), nil),
		States: letterStates(c), Limit: c.number("limit", 50, maxLetters), Budget: letterBudget,
	}
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	page, err := s.c.Log.Letters(ctx, f)
	list := LetterList{Items: []LetterInfo{}, NextCursor: page.Cursor, Scanned: page.Scanned, OnTopic: page.OnTopic}
	for i := range page.Items {
		info := letterInfo(&page.Items[i])
		info.Rejections = withoutDetails(info.Rejections)
		list.Items = append(list.Items, info)
	}
	return reply{body: list}, err
}

// Words for several states.
const (
	handledLetters = "handled"
	allLetters     = "all"
)

// letterStates reads which records are asked for: open ones, if nothing is said.
func letterStates(c *call) (states []LetterState) {
	words := append(LetterStates(), handledLetters, allLetters)
	for _, s := range chosen(c, "state", words, []LetterState{LetterOpen}) {
		switch s {
		case handledLetters:
			states = append(states, LetterRetried, LetterDropped)
		case allLetters:
			states = append(states, LetterStates()...)
		default:
			states = append(states, s)
		}
	}
	return states
}

func letterInfo(l *Letter) LetterInfo {
	first := &l.Rejections[0]
	info := LetterInfo{
		ID: first.ID, Pipeline: first.Pipeline, Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, Kind: first.Kind, Reason: first.Reason, Timestamp: l.Timestamp,
		Size: l.Size, Preview: preview(l.Raw), State: l.State, Handled: l.Handled, Rejections: l.Rejections,
	}
	for i := range l.Rejections {
		if at := l.Rejections[i].Written; at.After(info.Written) {
			info.Written = at
		}
	}
	return info
}

// withoutDetails is for lists: a stack is long.
func withoutDetails(rejections []LetterRejection) []LetterRejection {
	short := slices.Clone(rejections)
	for i := range short {
		short[i].Detail = ""
	}
	return short
}

// preview is the beginning of a value; bytes that are no UTF-8 are shown as such.
func preview(raw []byte) string {
	text, n := string(raw[:min(len(raw), previewLetters*utf8.UTFMax)]), 0
	for i := range text {
		if n == previewLetters {
			text = text[:i]
			break
		}
		n++
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

func oneLetter(ctx context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	first, second, _ := strings.Cut(c.path["id"], "-")
	partition, err := strconv.ParseInt(first, 10, 32)
	offset, err2 := strconv.ParseInt(second, 10, 64)
	if errors.Join(err, err2) != nil || partition < 0 || offset < 0 {
		return reply{}, notFound("there is no dead letter " + c.path["id"] + ": an id is PARTITION-OFFSET")
	}
	l, err := s.c.Log.Letter(ctx, int32(partition), offset)
	if errors.Is(err, ErrNoRecord) {
		return reply{}, notFound("there is no dead letter " + c.path["id"] + " any more")
	}
	if err != nil {
		return reply{}, err
	}
	d := LetterDetail{LetterInfo: letterInfo(&l), Incarnation: l.Incarnation}
	d.Key, d.Value, d.Encoding = asText(l.Key, l.Raw)
	return reply{body: d}, nil
}
