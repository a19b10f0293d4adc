package objects_test

import (
	"context"
	"fmt"
	"os"

	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/stream"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "objects")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store, err := objects.Open(ctx, objects.Config{URL: "file://" + dir})
	if err != nil {
		panic(err)
	}
	// A part is staged first, and copied to its visible name once its epoch is claimed. The copy may be repeated.
	_ = store.Put(ctx, "staged/0001/part", []byte("rows"))
	_ = store.Copy(ctx, "staged/0001/part", "raw/part")
	_ = store.Delete(ctx, "staged/0001/part")
	fmt.Println("again:", store.Copy(ctx, "staged/0001/part", "raw/part"))
	_ = store.List(ctx, "", func(o stream.Object) error {
		fmt.Println(o.Key, o.Size)
		return nil
	})
	// Output:
	// again: <nil>
	// raw/part 4
}
