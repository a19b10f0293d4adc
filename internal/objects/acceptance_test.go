package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// acceptance is what every store must pass. Each part works below its own prefix, so a store may be shared.
func acceptance(t *testing.T, s stream.Objects) {
	t.Helper()
	parts := map[string]func(*testing.T, stream.Objects){
		"put and get":           putAndGet,
		"missing":               missingObjects,
		"copy creates":          copyCreates,
		"racing copies":         racingCopies,
		"list in key order":     listInOrder,
		"list stops":            listStops,
		"keys":                  refusedKeys,
		"big object":            bigObject,
		"put beside delete":     putBesideDelete,
		"behaves like a map":    likeAMap,
		"cancelled by the call": cancelled,
	}
	for name, part := range parts {
		t.Run(name, func(t *testing.T) { part(t, s) })
	}
}

func putAndGet(t *testing.T, s stream.Objects) {
	t.Helper()
	for _, key := range []string{"put/a", "put/date=2026-11-23/hour=05/0-00000000000000000000-00000000000000000009.parquet", "put/umlaut-ä b+c%20&=.x", "put/empty"} {
		want := []byte("content of " + key)
		if key == "put/empty" {
			want = nil
		}
		for _, data := range [][]byte{[]byte("before"), want} {
			if err := s.Put(t.Context(), key, data); err != nil {
				t.Fatal(err)
			}
		}
		wantObject(t, s, key, want)
	}
}

func wantObject(t *testing.T, s stream.Objects, key string, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), key)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("get %s: %q, %v; want %q", key, got, err, want)
	}
}

func missingObjects(t *testing.T, s stream.Objects) {
	t.Helper()
	if err := s.Put(t.Context(), "missing/folder/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"missing/none", "missing/folder", "missing/folder/x/y"} {
		if _, err := s.Get(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("get %s: %v; want fs.ErrNotExist", key, err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %s: %v; a missing object is no error", key, err)
		}
	}
	if err := s.Copy(t.Context(), "missing/none", "missing/target/y"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copy of a missing object: %v; want fs.ErrNotExist", err)
	}
	wantObject(t, s, "missing/folder/x", []byte("x"))
}

func copyCreates(t *testing.T, s stream.Objects) {
	t.Helper()
	put := func(key, data string) {
		if err := s.Put(t.Context(), key, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	copied := func(from, to string) {
		t.Helper()
		if err := s.Copy(t.Context(), from, to); err != nil {
			t.Fatal(err)
		}
	}
	put("copy/staged/a", "first")
	copied("copy/staged/a", "copy/visible/deep/er/a")
	copied("copy/staged/a", "copy/visible/deep/er/a")
	put("copy/staged/a", "second")
	wantObject(t, s, "copy/visible/deep/er/a", []byte("first"))
	copied("copy/staged/a", "copy/visible/deep/er/a")
	wantObject(t, s, "copy/visible/deep/er/a", []byte("first"))
	if err := s.Delete(t.Context(), "copy/staged/a"); err != nil {
		t.Fatal(err)
	}
	copied("copy/staged/a", "copy/visible/deep/er/a") // the source is gone, the target is there
	wantObject(t, s, "copy/visible/deep/er/a", []byte("first"))
}

func racingCopies(t *testing.T, s stream.Objects) {
	t.Helper()
	const writers = 8
	want := bytes.Repeat([]byte("same bytes "), 1000)
	var group sync.WaitGroup
	failed := make([]error, writers)
	for i := range writers {
		group.Go(func() {
			from := fmt.Sprintf("race/staged/%d", i)
			failed[i] = errors.Join(s.Put(t.Context(), from, want), s.Copy(t.Context(), from, "race/visible/x"))
		})
	}
	group.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	wantObject(t, s, "race/visible/x", want)
}

func list(t testing.TB, s stream.Objects, prefix string) (keys []string) {
	t.Helper()
	err := s.List(context.Background(), prefix, func(o stream.Object) error {
		keys = append(keys, o.Key)
		if o.Modified <= 0 {
			t.Errorf("%s has no time of modification", o.Key)
		}
		if want := int64(len(o.Key)); o.Size != want {
			t.Errorf("%s has size %d, want %d", o.Key, o.Size, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func listInOrder(t *testing.T, s stream.Objects) {
	t.Helper()
	keys := []string{"list/a", "list/a-b/x", "list/a/x", "list/a.b", "list/a0", "list/b/c/d", "list/b/c.d", "list/ä", "list/z"}
	keys = slices.DeleteFunc(keys, func(k string) bool { return k == "list/a" }) // a folder cannot also be an object
	for i := range 40 {
		keys = append(keys, fmt.Sprintf("list/many/%03d", i*7%40))
	}
	for _, key := range keys {
		if err := s.Put(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(keys)
	for _, prefix := range []string{"list/", "list/a", "list/a/", "list/b/c", "list/many/01", "list/none/", "list", "list/many/039"} {
		want := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, prefix) })
		if got := list(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("list %q:\n got %q\nwant %q", prefix, got, want)
		}
	}
}

func listStops(t *testing.T, s stream.Objects) {
	t.Helper()
	for _, key := range []string{"stop/a", "stop/b"} {
		if err := s.Put(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	enough, calls := errors.New("enough"), 0
	err := s.List(t.Context(), "stop/", func(stream.Object) error {
		calls++
		return enough
	})
	if err != enough || calls != 1 { //nolint:errorlint // it comes back unchanged
		t.Fatalf("list: %v after %d calls; want the visitor's own error after one", err, calls)
	}
}

func refusedKeys(t *testing.T, s stream.Objects) {
	t.Helper()
	for _, key := range []string{"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a/.", "a\x00b", "a\nb", `a\b`, "\xff", reserved + "/x", strings.Repeat("k", 300), strings.Repeat("k/", 500) + "k"} {
		_, err := s.Get(t.Context(), key)
		for verb, err := range map[string]error{
			"get": err, "put": s.Put(t.Context(), key, nil), "delete": s.Delete(t.Context(), key),
			"copy from": s.Copy(t.Context(), key, "keys/x"), "copy to": s.Copy(t.Context(), "keys/x", key),
		} {
			if err == nil || errors.Is(err, fs.ErrNotExist) || stream.KindOfError(err) != stream.Fatal {
				t.Errorf("%s %q: %v; want a Fatal refusal", verb, key, err)
			}
		}
	}
	if err := s.List(t.Context(), "a/../..", func(stream.Object) error { return nil }); err == nil {
		t.Error("a listing left the store")
	}
}

func bigObject(t *testing.T, s stream.Objects) {
	t.Helper()
	data := make([]byte, 40<<20) // more than clients like to send in one part
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	if err := s.Put(t.Context(), "big/staged", data); err != nil {
		t.Fatal(err)
	}
	if err := s.Copy(t.Context(), "big/staged", "big/visible"); err != nil {
		t.Fatal(err)
	}
	wantObject(t, s, "big/visible", data)
}

// putBesideDelete prunes and makes the same directories at once.
func putBesideDelete(t *testing.T, s stream.Objects) {
	t.Helper()
	var group sync.WaitGroup
	failed := make([]error, 4)
	for i := range failed {
		group.Go(func() {
			key := fmt.Sprintf("beside/a/b/c/%d", i)
			for range 12 {
				failed[i] = errors.Join(failed[i], insist(func() error { return s.Put(t.Context(), key, []byte(key)) }), s.Delete(t.Context(), key))
			}
			failed[i] = errors.Join(failed[i], insist(func() error { return s.Put(t.Context(), key, []byte(key)) }))
		})
	}
	group.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, "beside/"); len(got) != len(failed) {
		t.Fatalf("list: %q", got)
	}
}

// insist repeats a call as callers do. The S3 server of the tests loses this race now and then, and says so.
func insist(call func() error) error {
	for {
		if err := call(); err == nil || stream.KindOfError(err) != stream.Retry {
			return err
		}
	}
}

// likeAMap compares random calls with a map.
func likeAMap(t *testing.T, s stream.Objects) {
	t.Helper()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		prefix, model := fmt.Sprintf("map/%d/", run), map[string]string{}
		names := rapid.SampledFrom([]string{"a", "b-c", "b/c", "b/d/e", "b/d.e", "f"})
		for range rapid.IntRange(1, 12).Draw(rt, "calls") {
			key, other := prefix+names.Draw(rt, "key"), prefix+names.Draw(rt, "other")
			switch rapid.SampledFrom([]string{"put", "copy", "delete"}).Draw(rt, "call") {
			case "put":
				model[key] = key
				must(rt, s.Put(t.Context(), key, []byte(key)))
			case "delete":
				delete(model, key)
				must(rt, s.Delete(t.Context(), key))
			case "copy":
				mapCopy(rt, model, key, other, s.Copy(t.Context(), key, other))
			}
		}
		var got []string
		must(rt, s.List(t.Context(), prefix, func(o stream.Object) error {
			got = append(got, o.Key)
			return nil
		}))
		for _, key := range got {
			data, err := s.Get(t.Context(), key)
			must(rt, err)
			if model[key] != string(data) {
				rt.Fatalf("%s holds %q, want %q", key, data, model[key])
			}
		}
		if len(got) != len(model) || !slices.IsSorted(got) {
			rt.Fatalf("list: %q, want the keys of %q", got, model)
		}
	})
}

func mapCopy(rt *rapid.T, model map[string]string, from, to string, err error) {
	_, there := model[to]
	data, found := model[from]
	switch {
	case there:
		must(rt, err)
	case found:
		must(rt, err)
		model[to] = data
	case !errors.Is(err, fs.ErrNotExist):
		rt.Fatalf("copy %s to %s: %v; want fs.ErrNotExist", from, to, err)
	}
}

func must(t rapid.TB, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func cancelled(t *testing.T, s stream.Objects) {
	t.Helper()
	if err := s.Put(t.Context(), "cancelled/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.List(ctx, "cancelled/", func(stream.Object) error { return nil })
	if !errors.Is(err, context.Canceled) || stream.KindOfError(err) != stream.Retry {
		t.Fatalf("list after cancel: %v (%v); want context.Canceled, to be repeated", err, stream.KindOfError(err))
	}
}
