package streamtest

import (
	"context"

	"github.com/tidewatch/tidewatch/stream"
)

// over puts the faults of a life over a store.
type over struct {
	l *Life
	o stream.Objects
}

// Put implements stream.Objects.
func (o over) Put(ctx context.Context, key string, data []byte) error {
	return o.l.call("put", func() error { return o.o.Put(ctx, key, data) })
}

// Copy implements stream.Objects.
func (o over) Copy(ctx context.Context, from, to string) error {
	return o.l.call("copy", func() error { return o.o.Copy(ctx, from, to) })
}

// Get implements stream.Objects.
func (o over) Get(ctx context.Context, key string) (data []byte, err error) {
	err = o.l.call("get", func() (err error) {
		data, err = o.o.Get(ctx, key)
		return err
	})
	return data, err
}

// List implements stream.Objects.
func (o over) List(ctx context.Context, prefix string, f func(stream.Object) error) error {
	return o.l.call("list", func() error { return o.o.List(ctx, prefix, f) })
}

// Delete implements stream.Objects.
func (o over) Delete(ctx context.Context, key string) error {
	return o.l.call("delete", func() error { return o.o.Delete(ctx, key) })
}
