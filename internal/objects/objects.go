// Package objects is the object store of a deployment: a local folder or a bucket that speaks S3. Both implement
// [stream.Objects] and pass the same acceptance suite.
//
// # What an implementation guarantees
//
//   - Put is atomic: a reader sees the old object, the new one or none, never a part. When it returns, the object is durable
//     and its stored size has been checked. No multipart upload is ever opened, so a crash leaves no hidden parts that cost
//     money and that nobody lists.
//   - Copy creates. A target that exists stays as it is, even if the source is gone, so a reveal may be repeated by
//     anybody. On S3 the test and the copy are two requests; when two writers race, both write. That is harmless because
//     the names of visible objects follow from the log: whoever writes one writes the same bytes.
//   - List walks in the byte order of keys, in pages, and does not hold the listing in memory (the local folder holds one
//     directory at a time).
//   - Errors are [stream.Retry] where the store is away, full or throttling, and Fatal where only a person can help (wrong
//     credentials, missing bucket, a bad key). A missing object wraps [fs.ErrNotExist]. No message holds a credential.
//
// Keys are relative paths with slashes, of printable UTF-8, without empty, "." or ".." segments; see [CheckKey].
package objects

import (
	"context"
	"fmt"
	"net/url"

	"github.com/tidewatch/tidewatch/stream"
)

// Open returns the store that the configuration names. It may be called from any goroutine; the store is safe for
// concurrent use and needs no closing.
//
// A local folder is created if it is missing. Of a bucket, Open asks whether it exists: an error is Retry if the server
// cannot be reached (call Open again), and Fatal if it answers no.
func Open(ctx context.Context, cfg Config) (stream.Objects, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, errURL(cfg.URL)
	}
	if u.Scheme == schemeFile {
		return openFolder(u.Path)
	}
	keys, err := cfg.keys()
	if err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	return openBucket(ctx, cfg, u, keys)
}
