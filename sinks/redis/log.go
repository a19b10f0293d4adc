package redis

import (
	"context"
	"fmt"
	"log/slog"

	goredis "github.com/redis/go-redis/v9"
)

// RouteLog sends what go-redis would print to standard error to log instead, at debug level: whatever matters in it also
// comes as an error. It is a setting of the whole process; the program calls it once, before the first client.
func RouteLog(log *slog.Logger) { goredis.SetLogger(router{log}) }

type router struct{ log *slog.Logger }

// Printf is what go-redis calls.
func (r router) Printf(ctx context.Context, format string, v ...any) {
	r.log.DebugContext(ctx, "go-redis: "+fmt.Sprintf(format, v...))
}
