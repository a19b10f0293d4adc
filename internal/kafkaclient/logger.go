package kafkaclient

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
)

// logger passes the client's words on at debug level. It implements kgo.Logger.
type logger struct{ log *slog.Logger }

// Level implements kgo.Logger: the client formats nothing that nobody reads.
func (l logger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelNone
}

// Log implements kgo.Logger.
func (l logger) Log(_ kgo.LogLevel, msg string, keyvals ...any) { l.log.Debug(msg, keyvals...) }
