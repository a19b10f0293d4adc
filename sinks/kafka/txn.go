package kafka

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tidewatch/tidewatch/stream"
)

// TransactionConfig describes an output that is written in transactions.
type TransactionConfig struct {
	Task   stream.TaskID
	Topic  string
	Output string // the step whose rows it takes
	// Group begins the transactional id and the id of the consumer group of the output, which are one text: it tells
	// deployments apart that share a cluster.
	Group   string
	Objects stream.Objects
}

func (c *TransactionConfig) id() string {
	return c.Group + "/" + c.Task.String() + "/" + c.Output
}

const (
	// inlineBytes is what an epoch's rows may take in the task's row; more is staged as an object. While the topic does not
	// take any, the row carries their receipts from epoch to epoch, so all of them are staged then.
	inlineBytes = 4 << 10
	// fullBytes, compressed, and fullRawBytes before that are when the epoch should end.
	fullBytes    = 8 << 20
	fullRawBytes = 64 << 20
	// maxUnrevealed is how many epochs may wait for the topic; then the pipeline waits, too.
	maxUnrevealed = 1000
)

// TransactionSink writes the rows of an output to a topic as JSON, exactly once for readers that read what is committed. It
// keeps the rows of an epoch until that is claimed; the reveal writes them in a transaction that also commits, in a consumer
// group of its own, up to which row the topic is complete. It implements stream.Sink and stream.FullSink; all rows of a task go
// to one partition, in the order of the log.
type TransactionSink struct {
	config TransactionConfig
	client *Client
	task   []byte

	names namer    // of the task's goroutine
	texts rowTexts // of the task's goroutine
	value []byte   // scratch of the task's goroutine
	held  heldRows // of the task's goroutine, until Stage

	session *session // of the committer's goroutine
	place   *place   // of the committer's goroutine

	mu struct {
		sync.Mutex
		waiting []position    // ends of the epochs that were staged and are not revealed
		changed chan struct{} // closed and replaced when one is revealed
	}
}

// place is where the next transaction goes.
type place struct {
	partition int32
	from      int64 // an offset at or below that of its first row
}

// transactionReceipt is the form in the task's row.
type transactionReceipt struct {
	End       position `json:"end"` // behind the last row
	Partition int32    `json:"partition"`
	From      int64    `json:"from"` // the rows lie behind it, if they are there
	Object    string   `json:"object,omitempty"`
	Data      []byte   `json:"data,omitempty"`
	SHA256    string   `json:"sha256"`
}

// NewTransactionSink returns the sink of one task.
func (c *Client) NewTransactionSink(config TransactionConfig) *TransactionSink {
	s := &TransactionSink{config: config, client: c, task: []byte(config.Task.String())}
	s.held.codec = c.codec
	s.mu.changed = make(chan struct{})
	return s
}

// Write implements stream.Sink. It blocks while the topic has not taken the rows of many epochs.
func (s *TransactionSink) Write(ctx context.Context, b *stream.Batch) error {
	if err := s.awaitReveals(ctx); err != nil {
		return err
	}
	for i := range b.Len() {
		s.value = s.texts.append(s.value[:0], b, i)
		r := row{rowName: s.names.name(b, i), value: s.value}
		if v := r.version(); v.Compare(s.held.last.Version) < 0 {
			return fmt.Errorf("hold row for topic %s: version %v follows %v", s.config.Topic, v, s.held.last.Version)
		}
		s.held.add(&r)
	}
	return nil
}

func (s *TransactionSink) awaitReveals(ctx context.Context) error {
	for {
		s.mu.Lock()
		n, changed := len(s.mu.waiting), s.mu.changed
		s.mu.Unlock()
		if n < maxUnrevealed {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// Full implements stream.FullSink.
func (s *TransactionSink) Full() bool {
	return s.held.size() >= fullBytes || s.held.raw >= fullRawBytes
}

// Size implements stream.Sized.
func (s *TransactionSink) Size() (bytes, groups int64) { return int64(s.held.size()), 0 }

// Stage implements stream.Sink.
func (s *TransactionSink) Stage(e stream.Epoch) stream.Work {
	held := s.held
	s.held = heldRows{codec: held.codec, last: held.last}
	if held.rows == 0 {
		return nil
	}
	var receipt stream.Receipt
	return func(ctx context.Context) (_ stream.Receipt, err error) {
		if receipt == nil {
			receipt, err = s.stage(ctx, &held, e.Prefix)
		}
		return receipt, err
	}
}

func (s *TransactionSink) stage(ctx context.Context, held *heldRows, prefix string) (stream.Receipt, error) {
	if err := s.locate(ctx); err != nil {
		return nil, err
	}
	data := held.staged()
	sum := sha256.Sum256(data)
	r := transactionReceipt{End: held.last, Partition: s.place.partition, From: s.place.from, SHA256: hex.EncodeToString(sum[:])}
	if len(data) <= inlineBytes && s.unrevealed() == 0 {
		r.Data = data
	} else {
		r.Object = prefix + "kafka/" + s.config.Output
		if err := s.config.Objects.Put(ctx, r.Object, data); err != nil {
			return nil, fmt.Errorf("stage rows for topic %s: %w", s.config.Topic, err)
		}
	}
	raw, err := json.Marshal(&r)
	if err != nil {
		return nil, fmt.Errorf("encode receipt: %w", err)
	}
	s.mu.Lock()
	s.mu.waiting = append(s.mu.waiting, r.End)
	s.mu.Unlock()
	return raw, nil
}

func (s *TransactionSink) unrevealed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.waiting)
}

// locate chooses the partition, once, and asks for its end: what is staged now comes behind it.
func (s *TransactionSink) locate(ctx context.Context) error {
	if s.place != nil {
		return nil
	}
	ends, err := kadm.NewClient(s.client.kgo).ListEndOffsets(ctx, s.config.Topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return s.explain(ctx, fmt.Errorf("ask for the end of topic %s: %w", s.config.Topic, err))
	}
	if len(ends[s.config.Topic]) == 0 {
		return stream.Mark(stream.Retry, fmt.Errorf("ask for the end of topic %s: it has no partitions: create it", s.config.Topic))
	}
	p := s.config.Task.Partition.Number % int32(len(ends[s.config.Topic]))
	end, _ := ends.Lookup(s.config.Topic, p)
	s.place = &place{p, end.Offset}
	return nil
}

// parseTransactionReceipt reads a receipt.
func parseTransactionReceipt(data stream.Receipt) (*transactionReceipt, error) {
	var r transactionReceipt
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, stream.Mark(stream.Fatal, fmt.Errorf("read receipt: %w", err))
	}
	if r.End.Rows <= 0 || r.Partition < 0 || r.From < 0 || (r.Object == "") == (len(r.Data) == 0) {
		return nil, stream.Mark(stream.Fatal, errors.New("read receipt: it is none of an output in transactions"))
	}
	return &r, nil
}

// Reveal implements stream.Sink.
func (s *TransactionSink) Reveal(ctx context.Context, receipt stream.Receipt) error {
	r, err := parseTransactionReceipt(receipt)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	old := s.session != nil
	err = s.write(ctx, r)
	if err != nil && old { // probably another owner has fenced the session
		s.end(ctx)
		err = s.write(ctx, r)
	}
	if err != nil {
		s.end(ctx)
		return s.explain(ctx, fmt.Errorf("write to topic %s in a transaction: %w", s.config.Topic, err))
	}
	s.revealed(r.End)
	return nil
}

// revealed lets go on who waits for the topic.
func (s *TransactionSink) revealed(end position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.waiting = slices.DeleteFunc(s.mu.waiting, func(p position) bool { return p.compare(end) <= 0 })
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}

// write brings the rows of a receipt into the topic, as far as they are not there.
func (s *TransactionSink) write(ctx context.Context, r *transactionReceipt) error {
	if s.session == nil {
		var err error
		if s.session, err = s.begin(ctx, r); err != nil {
			return err
		}
	}
	if s.session.done.compare(r.End) >= 0 {
		return nil
	}
	data, err := s.load(ctx, r)
	if err != nil {
		return err
	}
	if err := s.session.write(ctx, r.Partition, data); err != nil {
		return err
	}
	if s.session.done.compare(r.End) < 0 {
		return stream.Mark(stream.Fatal, fmt.Errorf("the staged rows end at %v, not at %v", s.session.done, r.End))
	}
	if s.place != nil && s.place.partition == r.Partition {
		s.place.from = max(s.place.from, s.session.next)
	}
	return nil
}

// load gets the staged rows.
func (s *TransactionSink) load(ctx context.Context, r *transactionReceipt) ([]byte, error) {
	data := r.Data
	if r.Object != "" {
		var err error
		data, err = s.config.Objects.Get(ctx, r.Object)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, stream.Mark(stream.Fatal, fmt.Errorf("get staged rows %s: they are missing, though the task's row names them; restore the "+
				"object store", r.Object))
		}
		if err != nil {
			return nil, fmt.Errorf("get staged rows: %w", err)
		}
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != r.SHA256 {
		return nil, stream.Mark(stream.Fatal, fmt.Errorf("get staged rows %s: their hash is not the one in the task's row: they are damaged", r.Object))
	}
	return data, nil
}

// end gives up the session: what its transaction has written is aborted.
func (s *TransactionSink) end(ctx context.Context) {
	if s.session != nil {
		s.session.close(ctx)
		s.session = nil
	}
}

// Close implements stream.Sink.
func (s *TransactionSink) Close() error {
	s.end(context.Background())
	return nil
}
