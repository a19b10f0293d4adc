package kafka

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// isUnknown says that a broker does not know the topic, or not by that id.
func isUnknown(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID)
}

// isStubborn says that an error which should not come, comes too often to pass by itself. A topic's unknown id is not
// among them: brokers learn of new topics one after the other, and checkTopic judges.
func isStubborn(err error) bool {
	return errors.Is(err, errChecksum) || kafkaclient.Final(err) && !isUnknown(err)
}

func comparePartitions(a, b stream.Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Incarnation, b.Incarnation))
}

// unsettled says that an answer may only be early: brokers learn of a new topic, and of new partitions, one after the other.
func unsettled(p stream.Partition, t *topic) bool {
	return isUnknown(t.err) || t.err == nil && t.incarnation() == p.Incarnation && int(p.Number) >= len(t.leaders)
}

// checkTopic compares what the cluster says about a topic with the partition that is to be read.
func checkTopic(p stream.Partition, t *topic) error {
	switch {
	case isUnknown(t.err):
		return stream.Mark(stream.Fatal, fmt.Errorf("read %s: the topic does not exist; if it was deleted, its pipelines "+
			"cannot go on: restore it from a mirror, or give them a new name to start anew", name(p)))
	case kafkaclient.Denied(t.err):
		return explainDenied(p, t.err)
	case t.err != nil:
		return kafkaclient.Mark(fmt.Errorf("read %s: %w", name(p), t.err))
	case t.incarnation() != p.Incarnation:
		return stream.Mark(stream.Fatal, fmt.Errorf("read %s: the topic was deleted and created again: its id is %s, the position "+
			"belongs to id %s; nothing is reset silently: give the pipeline a new name to start on the new topic",
			name(p), t.incarnation(), p.Incarnation))
	case int(p.Number) >= len(t.leaders):
		return stream.Mark(stream.Fatal, fmt.Errorf("read %s: the topic has %d partitions", name(p), len(t.leaders)))
	}
	return nil
}

func explainRange(p stream.Partition, offset, start, end int64) error {
	why := "records were deleted before they were read (retention, or a deletion): what they held is missing for good"
	if offset > end {
		why = "the log was truncated under the position (a broker that lost data became leader, or the topic was restored from an older copy)"
	}
	return stream.Mark(stream.Fatal, fmt.Errorf("read %s: offset %d is outside the log, which holds offsets %d to %d: %s; nothing is reset "+
		"silently: restore the topic, or give the pipeline a new name to start from the log's present start",
		name(p), offset, start, end, why))
}

func explainDiverged(f *feed, end int64) error {
	return stream.Mark(stream.Fatal, fmt.Errorf("read %s: the log was truncated to offset %d after it had been read up to %d (a broker that lost "+
		"data became leader): results may hold records that no longer exist; restore the topic, or give the pipeline a new "+
		"name to compute them anew", name(f.p.id), end, f.fetching.next))
}

func explainDenied(p stream.Partition, err error) error {
	return stream.Mark(stream.Fatal, fmt.Errorf("read %s: %w; let the brokers' access rules allow this user to read and describe the topic "+
		"(see kafka.sasl in the configuration), then restart the worker", name(p), err))
}

func explainFetch(f *feed, reason error) error {
	return stream.Mark(stream.Fatal, fmt.Errorf("fetch %s at offset %d: %w, %d times in a row; look at the log of the broker that leads it, "+
		"and restart the worker when it is mended", name(f.p.id), f.fetching.next, reason, f.fetching.tries))
}

func name(p stream.Partition) string {
	return fmt.Sprintf("partition %d of topic %s", p.Number, p.Topic)
}
