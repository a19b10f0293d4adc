package archive_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tidewatch/tidewatch/stream"
)

// memory is an object store without files: the properties ask for hundreds of archives.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}} }

func (m *memory) Put(_ context.Context, key string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = slices.Clone(data)
	return nil
}

func (m *memory) Copy(ctx context.Context, from, to string) error {
	data, err := m.Get(ctx, from)
	if err != nil {
		return err
	}
	return m.Put(ctx, to, data)
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data, ok := m.objects[key]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("get %s: %w", key, fs.ErrNotExist)
}

func (m *memory) List(_ context.Context, prefix string, visit func(stream.Object) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(m.objects)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if err := visit(stream.Object{Key: key, Size: int64(len(m.objects[key]))}); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}
