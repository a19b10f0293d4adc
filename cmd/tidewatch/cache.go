package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/objects"
)

// openCache gives the engine copies of snapshots on this machine. An object store that is a folder needs none.
func (w *worker) openCache(e *engine.Config) error {
	o := w.config.Objects
	if o.Cache == "" || o.CacheMiB == 0 || strings.HasPrefix(o.URL, "file:") {
		return nil
	}
	cache, err := objects.OpenCache(filepath.Join(o.Cache, url.PathEscape(w.id)), o.CacheMiB<<20)
	if err != nil {
		return fail(exitUsage, fmt.Errorf("%w; name another folder in objects.cache", err))
	}
	w.closers = append(w.closers, cache.Close)
	e.Cache = cache
	return nil
}
