package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/tidewatch/tidewatch/stream"
)

// memory is an object store that fails when told to.
type memory struct {
	mu struct {
		sync.Mutex
		objects map[string][]byte
	}
	fail func() error // asked before every call; nil never fails
}

func newMemory() *memory {
	m := &memory{}
	m.mu.objects = map[string][]byte{}
	return m
}

func (m *memory) call(work func(objects map[string][]byte) error) error {
	if m.fail != nil {
		if err := m.fail(); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return work(m.mu.objects)
}

func (m *memory) Put(_ context.Context, key string, data []byte) error {
	return m.call(func(o map[string][]byte) error {
		o[key] = bytes.Clone(data)
		return nil
	})
}

func (m *memory) Copy(_ context.Context, from, to string) error {
	return m.call(func(o map[string][]byte) error {
		if _, ok := o[to]; ok {
			return nil
		}
		data, ok := o[from]
		if !ok {
			return fmt.Errorf("copy %s: %w", from, fs.ErrNotExist)
		}
		o[to] = data
		return nil
	})
}

func (m *memory) Get(_ context.Context, key string) (data []byte, err error) {
	err = m.call(func(o map[string][]byte) error {
		var ok bool
		if data, ok = o[key]; !ok {
			return fmt.Errorf("get %s: %w", key, fs.ErrNotExist)
		}
		return nil
	})
	return data, err
}

func (m *memory) List(_ context.Context, prefix string, visit func(stream.Object) error) error {
	var found []stream.Object
	err := m.call(func(o map[string][]byte) error {
		for key, data := range o {
			if strings.HasPrefix(key, prefix) {
				found = append(found, stream.Object{Key: key, Size: int64(len(data))})
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b stream.Object) int { return strings.Compare(a.Key, b.Key) })
	for _, o := range found {
		if err == nil {
			err = visit(o)
		}
	}
	return err
}

func (m *memory) Delete(_ context.Context, key string) error {
	return m.call(func(o map[string][]byte) error {
		delete(o, key)
		return nil
	})
}

// visible are the objects outside state/.
func (m *memory) visible() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[string]string{}
	for key, data := range m.mu.objects {
		if !strings.HasPrefix(key, "state/") {
			seen[key] = string(data)
		}
	}
	return seen
}

var errAway = stream.Mark(stream.Retry, errors.New("the store is away"))

// finish repeats work until it succeeds, then reveals twice, and once more without the staged objects.
func finish(sink stream.Sink, work stream.Work, store *memory, prefix string) error {
	if work == nil {
		return nil
	}
	ctx := context.Background()
	receipt, err := insist(func() (stream.Receipt, error) { return work(ctx) })
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := insist(func() (stream.Receipt, error) { return nil, sink.Reveal(ctx, receipt) }); err != nil {
			return err
		}
	}
	for key := range store.visible() {
		_, _ = insist(func() (stream.Receipt, error) { return nil, store.Delete(ctx, prefix+key) })
	}
	_, err = insist(func() (stream.Receipt, error) { return nil, sink.Reveal(ctx, receipt) })
	return err
}

func insist(call func() (stream.Receipt, error)) (stream.Receipt, error) {
	for {
		r, err := call()
		if err == nil || stream.KindOfError(err) != stream.Retry {
			return r, err
		}
	}
}
