package objects

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
)

// Cache keeps copies of objects in a folder of this machine, by hash, up to a number of bytes; those that were not used for
// longest go first. It is there to be fast and never in the way: whatever goes wrong with the folder, an object is not in it then.
// It does not know how the hash is made, so whoever gets an object checks it, and drops one that is damaged. Safe for concurrent use;
// one process has the folder.
type Cache struct {
	root  *os.Root
	limit int64
	mu    struct {
		sync.Mutex
		entries map[string]*entry
		size    int64
		turn    int64 // counts uses
	}
}

type entry struct {
	size int64
	used int64 // turn of the last use
}

// OpenCache opens the folder, which is made if it is missing, and forgets what is in it beyond the limit.
func OpenCache(dir string, limit int64) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	c := &Cache{root: root, limit: limit}
	c.mu.entries = map[string]*entry{}
	found, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open cache: %w", err), root.Close())
	}
	var infos []fs.FileInfo
	for _, f := range found {
		info, err := f.Info()
		switch {
		case err != nil || !info.Mode().IsRegular():
		case isHash(f.Name()):
			infos = append(infos, info)
		case path.Ext(f.Name()) == unfinished:
			_ = root.Remove(f.Name()) // of a process that has died
		}
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, info := range infos {
		c.note(info.Name(), info.Size())
	}
	c.evict()
	return c, nil
}

// unfinished is the end of a file's name until the file is complete.
const unfinished = ".unfinished"

// isHash keeps other names out of the folder.
func isHash(hash string) bool {
	raw, err := hex.DecodeString(hash)
	return err == nil && len(raw) == 32
}

// note adds or uses an entry. The lock is held, or nobody else knows c.
func (c *Cache) note(hash string, size int64) {
	c.forget(hash)
	c.mu.turn++
	c.mu.entries[hash] = &entry{size, c.mu.turn}
	c.mu.size += size
}

func (c *Cache) forget(hash string) {
	if e := c.mu.entries[hash]; e != nil {
		c.mu.size -= e.size
		delete(c.mu.entries, hash)
	}
}

// evict removes the entries that were not used for longest until the rest fits.
func (c *Cache) evict() {
	for c.mu.size > c.limit {
		oldest := ""
		for hash, e := range c.mu.entries {
			if o := c.mu.entries[oldest]; o == nil || e.used < o.used {
				oldest = hash
			}
		}
		c.forget(oldest)
		_ = c.root.Remove(oldest) // what stays is found by the next OpenCache
	}
}

// Get returns the object, nil if it is not there.
func (c *Cache) Get(hash string) []byte {
	c.mu.Lock()
	e := c.mu.entries[hash]
	if e != nil {
		c.note(hash, e.size)
	}
	c.mu.Unlock()
	if e == nil {
		return nil
	}
	data, err := c.root.ReadFile(hash)
	if err != nil {
		c.Drop(hash)
		return nil
	}
	return data
}

// Put adds an object. One that is larger than the limit is left out.
func (c *Cache) Put(hash string, data []byte) {
	if !isHash(hash) || int64(len(data)) > c.limit {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.entries[hash] != nil {
		return
	}
	// Neither is made durable: after a crash of the machine a damaged object is dropped by whoever gets it.
	err := c.root.WriteFile(hash+unfinished, data, 0o600)
	if err == nil {
		err = c.root.Rename(hash+unfinished, hash)
	}
	if err != nil {
		_ = c.root.Remove(hash + unfinished)
		return
	}
	c.note(hash, int64(len(data)))
	c.evict()
}

// Drop removes an object.
func (c *Cache) Drop(hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(hash)
	if isHash(hash) {
		_ = c.root.Remove(hash)
	}
}

// Close lets go of the folder.
func (c *Cache) Close() error { return c.root.Close() }
