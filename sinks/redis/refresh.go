package redis

import (
	"context"

	"github.com/tidewatch/tidewatch/stream"
)

var _ stream.RefreshingSink = (*Sink)(nil)

// Refresh implements stream.RefreshingSink.
func (s *Sink) Refresh(claimed stream.Time) stream.Work {
	number := s.queue.newest()
	return func(ctx context.Context) (stream.Receipt, error) {
		if err := s.await(ctx, number); err != nil {
			return nil, err
		}
		return nil, s.sender.report(ctx, claimed, true)
	}
}
