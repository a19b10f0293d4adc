package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

const (
	// transactionBytes, before compression, is when a transaction is committed though the epoch has more rows.
	transactionBytes = 8 << 20
	// transactionTimeout is when the broker aborts the transaction of a process that died: until then, readers of committed
	// rows stop before it.
	transactionTimeout = 30 * time.Second
	// abortPatience bounds the attempt to abort at once. The next session does it, too.
	abortPatience = time.Second
)

// session is a transactional producer that has fenced all former ones of the output, and knows up to which row the topic is
// complete. After any failure it is given up: the next one asks again. It belongs to the committer's goroutine.
type session struct {
	config *TransactionConfig
	client *Client
	kgo    *kgo.Client
	task   []byte
	open   bool     // a transaction is
	done   position // rows up to here are in the topic
	next   int64    // offset behind the last row of ours
	// knows says that the producer knows the partition; see awaitKnown.
	knows func(partition int32) bool

	mu struct {
		sync.Mutex
		next int64
		err  error // of the first row that was not taken
	}
}

// begin fences former sessions, and then asks how far they have come: nothing of theirs can be committed any more.
func (s *TransactionSink) begin(ctx context.Context, r *transactionReceipt) (_ *session, err error) {
	x := &session{config: &s.config, client: s.client, task: s.task}
	x.knows = func(partition int32) bool {
		leader, _, _ := x.kgo.PartitionLeader(s.config.Topic, partition)
		return leader >= 0
	}
	if x.kgo, err = kgo.NewClient(append(s.client.options, transactionOptions(s.config.id())...)...); err != nil {
		return nil, fmt.Errorf("configure kafka producer: %w", err)
	}
	defer func() {
		if err != nil {
			x.kgo.Close()
		}
	}()
	if _, _, err = x.kgo.ProducerID(ctx); err != nil {
		return nil, fmt.Errorf("begin session %s: %w", s.config.id(), err)
	}
	known, err := x.fetch(ctx)
	if err == nil && !known {
		err = x.search(ctx, r)
	}
	return x, err
}

func transactionOptions(id string) []kgo.Opt {
	// Committed offsets are named by topics, and pending ones are waited for.
	most, least := kversion.Stable(), new(kversion.Versions)
	most.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 5)
	least.SetMaxKeyVersion(int16(kmsg.OffsetFetch), 7)
	return []kgo.Opt{
		kgo.TransactionalID(id), kgo.TransactionTimeout(transactionTimeout), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(time.Second), // batches leave when they are full, or with the commit
		kgo.WithCompressor(kafkaclient.LZ4()), kgo.UnknownTopicRetries(10), kgo.MetadataMinAge(metadataAge),
		kgo.MaxVersions(most), kgo.MinVersions(least),
	}
}

// fetch asks the group; known is false if it says nothing.
func (x *session) fetch(ctx context.Context) (known bool, err error) {
	p, id := x.config.Task.Partition, x.config.id()
	offsets, err := kadm.NewClient(x.kgo).FetchOffsets(kadm.RequireStable(ctx), id)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read group %s: %w", id, err)
	}
	o, ok := offsets.Lookup(p.Topic, p.Number)
	switch {
	case ok && o.Err != nil:
		return false, fmt.Errorf("read group %s: %w", id, o.Err)
	case !ok || o.At < 0:
		return false, nil
	}
	if err := json.Unmarshal([]byte(o.Metadata), &x.done); err != nil {
		return false, stream.Mark(stream.Fatal, fmt.Errorf("read group %s: its metadata %q is none of ours: delete the group, if nobody else uses it",
			id, o.Metadata))
	}
	return true, nil
}

// search looks into the topic, because a group says nothing if nothing was ever written, and also when it has expired or was
// deleted.
func (x *session) search(ctx context.Context, r *transactionReceipt) error {
	ends, err := kadm.NewClient(x.kgo).ListEndOffsets(ctx, x.config.Topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("ask for the end of topic %s: %w", x.config.Topic, err)
	}
	end, _ := ends.Lookup(x.config.Topic, r.Partition)
	if end.Offset <= r.From {
		return nil
	}
	reader, err := kgo.NewClient(append(x.client.options, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{x.config.Topic: {r.Partition: kgo.NewOffset().At(r.From)}}))...)
	if err != nil {
		return fmt.Errorf("configure kafka consumer: %w", err)
	}
	defer reader.Close()
	for at := r.From; at < end.Offset; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("look for rows in topic %s: %w", x.config.Topic, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			at = rec.Offset + 1
			if v, ours := x.versionOf(rec); ours {
				x.done = x.done.pass(v)
			}
		})
	}
	return nil
}

// versionOf reads the headers.
func (x *session) versionOf(r *kgo.Record) (v stream.Version, ours bool) {
	var n rowName
	for _, h := range r.Headers {
		switch h.Key {
		case HeaderTask:
			ours = string(h.Value) == string(x.task)
		case HeaderPhase:
			for p := range stream.Partial + 1 {
				if p.String() == string(h.Value) {
					n.phase = p
				}
			}
		case HeaderOffset:
			n.at.Offset = number(string(h.Value), 64, 0)
		case HeaderStep:
			n.at.Step = uint32(number(string(h.Value), 64, 0))
		}
	}
	return n.version(), ours
}

// write brings staged rows into the topic that are not there.
func (x *session) write(ctx context.Context, partition int32, data []byte) error {
	at, bytes := position{}, 0
	labels := newLabels(x.task)
	var records []kgo.Record // not handed out yet
	err := x.client.codec.eachRow(data, func(r *row) error {
		if at = at.pass(r.version()); at.compare(x.done) <= 0 {
			return nil
		}
		if !x.open {
			if err := x.kgo.BeginTransaction(); err != nil {
				return err
			}
			x.open = true
		}
		if len(records) == 0 {
			records = make([]kgo.Record, labelledRows)
		}
		rec := &records[0]
		records = records[1:]
		*rec = kgo.Record{Topic: x.config.Topic, Partition: partition, Value: r.value, Headers: labels.of(&r.rowName)}
		x.kgo.Produce(ctx, rec, x.taken)
		if bytes += len(r.value); bytes < transactionBytes {
			return nil
		}
		bytes = 0
		return x.commit(ctx, partition, at)
	})
	if err != nil || !x.open {
		return err
	}
	return x.commit(ctx, partition, at)
}

// taken is the producer's callback.
func (x *session) taken(r *kgo.Record, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil {
		x.mu.next = max(x.mu.next, r.Offset+1)
	} else if x.mu.err == nil {
		x.mu.err = err
	}
}

// commit ends the transaction, with the word that the topic is complete up to there.
func (x *session) commit(ctx context.Context, partition int32, to position) error {
	if err := x.kgo.Flush(ctx); err != nil {
		return err
	}
	x.mu.Lock()
	next, err := x.mu.next, x.mu.err
	x.mu.Unlock()
	if err != nil {
		return err
	}
	if err := x.awaitKnown(ctx, partition); err != nil {
		return err
	}
	if err := x.note(ctx, to); err != nil {
		return fmt.Errorf("commit to group %s: %w", x.config.id(), err)
	}
	if err := x.kgo.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	x.open, x.done, x.next = false, to, next
	return nil
}

// awaitKnown returns when the producer knows the partition that it has written to. It sends the first rows of a topic before
// it has noted the partition, and ends a transaction in which it knows of no written partition with an abort, without an error
// (kgo 1.22.3, storePartitionsUpdate and EndTransaction). The goroutine that notes it is at its last step, so there is nothing
// to wait for but the processor.
func (x *session) awaitKnown(ctx context.Context, partition int32) error {
	for !x.knows(partition) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		runtime.Gosched()
	}
	return nil
}

// note puts the position into the transaction.
func (x *session) note(ctx context.Context, to position) error {
	id, epoch, err := x.kgo.ProducerID(ctx)
	if err != nil {
		return err
	}
	group := kmsg.NewAddOffsetsToTxnRequest()
	group.TransactionalID, group.ProducerID, group.ProducerEpoch, group.Group = x.config.id(), id, epoch, x.config.id()
	added, err := group.RequestWith(ctx, x.kgo)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(to)
	if err != nil {
		return err
	}
	metadata, from := string(text), x.config.Task.Partition
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	partition.Partition, partition.Offset, partition.Metadata = from.Number, to.Offset, &metadata
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.Partitions = from.Topic, []kmsg.TxnOffsetCommitRequestTopicPartition{partition}
	offset := kmsg.NewTxnOffsetCommitRequest()
	offset.TransactionalID, offset.ProducerID, offset.ProducerEpoch, offset.Group = x.config.id(), id, epoch, x.config.id()
	offset.Topics = []kmsg.TxnOffsetCommitRequestTopic{topic}
	noted, err := offset.RequestWith(ctx, x.kgo)
	if err != nil {
		return err
	}
	for _, t := range noted.Topics {
		for _, p := range t.Partitions {
			err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
		}
	}
	return err
}

func (x *session) close(ctx context.Context) {
	if x.open {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortPatience)
		defer cancel()
		if x.kgo.AbortBufferedRecords(ctx) == nil {
			_ = x.kgo.EndTransaction(ctx, kgo.TryAbort) // else the next session, or the broker
		}
	}
	x.kgo.Close()
}

// explain gives an error of a session its kind, and says what to do. What a broker refuses because there is another session
// passes with the next one.
func (s *TransactionSink) explain(ctx context.Context, err error) error {
	var marked *stream.Error
	if ctx.Err() != nil || errors.As(err, &marked) {
		return err
	}
	for _, passes := range []error{
		kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState, kerr.UnknownProducerID,
		kerr.TransactionAbortable, kerr.ConcurrentTransactions, kerr.OperationNotAttempted, kerr.OutOfOrderSequenceNumber, kerr.UnknownServerError,
	} {
		if errors.Is(err, passes) {
			return stream.Mark(stream.Retry, err)
		}
	}
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed):
		err = fmt.Errorf("%w; let the brokers' access rules allow this user the transactional ids and the groups that begin with %s/", err, s.config.Group)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		err = fmt.Errorf("%w; let the brokers' access rules allow this user to write to the topic, and to read it", err)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		err = fmt.Errorf("%w; the topic does not exist: create it", err)
		return stream.Mark(stream.Retry, err)
	case errors.Is(err, kerr.MessageTooLarge):
		err = fmt.Errorf("%w; raise max.message.bytes of the topic", err)
	}
	return kafkaclient.Mark(err)
}
