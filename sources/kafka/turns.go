package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/stream"
)

// take tells the engine about a turn.
func (m *membership) take(ctx context.Context, t turn) error {
	defer close(t.done)
	if len(t.gained) > 0 {
		m.disturbed.Store(false)
	}
	gained, err := m.gain(ctx, t.gained)
	if err != nil || ctx.Err() != nil {
		return err
	}
	lost := m.lose(t.lost)
	if len(gained)+len(lost) == 0 {
		return nil
	}
	m.s.cfg.Log.Info("assignment changes", "gained", gained, "lost", lost)
	if err := m.change(gained, lost); err != nil {
		return fmt.Errorf("change assignment: %w", err)
	}
	return nil
}

// gain names the partitions with the ids of their topics, which the cluster has to tell first.
func (m *membership) gain(ctx context.Context, parts map[string][]int32) ([]stream.Partition, error) {
	names := sortedKeys(parts)
	for len(names) > 0 {
		topics, err := m.s.topology.refresh(ctx, names...)
		if err == nil && !slices.ContainsFunc(topics, func(t topic) bool { return t.err != nil && !isUnknown(t.err) }) {
			return m.named(parts, names, topics), nil
		}
		if err != nil && stream.KindOfError(err) == stream.Fatal && ctx.Err() == nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-m.s.cfg.Clock.After(parkedFor):
		}
	}
	return nil, nil
}

func (m *membership) named(parts map[string][]int32, names []string, topics []topic) (gained []stream.Partition) {
	for i, n := range names {
		if topics[i].err != nil {
			m.s.cfg.Log.Warn("assigned topic has been deleted", "topic", n)
			continue
		}
		for _, number := range parts[n] {
			p := stream.Partition{Topic: n, Number: number, Incarnation: topics[i].incarnation()}
			if !m.held[p] {
				m.held[p] = true
				gained = append(gained, p)
			}
		}
	}
	slices.SortFunc(gained, comparePartitions)
	return gained
}

// lose names the partitions as they were gained.
func (m *membership) lose(parts map[string][]int32) (lost []stream.Partition) {
	for p := range m.held {
		if slices.Contains(parts[p.Topic], p.Number) {
			lost = append(lost, p)
		}
	}
	for _, p := range lost {
		delete(m.held, p)
	}
	slices.SortFunc(lost, comparePartitions)
	return lost
}

// end closes the client while turns are still taken, and leaves the group after a clean end.
func (m *membership) end(ctx context.Context, clean bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	if clean {
		m.s.display.send(ctx, m.client.CommitOffsetsSync, m.s.cfg.Log)
	}
	closed := make(chan struct{})
	go func() { // waited for below
		defer close(closed)
		m.client.Close()
	}()
	err := m.drain(closed, clean)
	if !clean || err != nil {
		return err
	}
	if err := m.s.leave(ctx); err != nil {
		m.s.cfg.Log.Warn("could not leave the group; others get the partitions after the session timeout", "error", err)
	}
	return nil
}

// drain serves the turns of a closing client, and gives up what is held then.
func (m *membership) drain(closed <-chan struct{}, clean bool) (err error) {
	for open := true; open; {
		select {
		case t := <-m.turns:
			if clean && err == nil {
				err = m.giveUp(m.lose(t.lost))
			}
			close(t.done)
		case <-closed:
			open = false
		}
	}
	close(m.quit)
	if !clean || err != nil {
		return err
	}
	var rest []stream.Partition
	for p := range m.held {
		rest = append(rest, p)
	}
	slices.SortFunc(rest, comparePartitions)
	return m.giveUp(rest)
}

func (m *membership) giveUp(lost []stream.Partition) error {
	if len(lost) == 0 {
		return nil
	}
	if err := m.change(nil, lost); err != nil {
		return fmt.Errorf("give partitions up: %w", err)
	}
	return nil
}

// leave tells the group that the static member is gone; its client does so for no static member.
func (s *Source) leave(ctx context.Context) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = s.cfg.GroupID
	member := kmsg.NewLeaveGroupRequestMember()
	member.InstanceID = new(s.cfg.WorkerID)
	member.Reason = new("the worker was drained")
	req.Members = append(req.Members, member)
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	for _, m := range resp.Members {
		if err := kerr.ErrorForCode(m.ErrorCode); err != nil && !errors.Is(err, kerr.UnknownMemberID) {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[string][]int32) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
