package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// parkings is a place for letters.
type parkings struct {
	mu  sync.Mutex
	all []stream.Rejected
}

func (p *parkings) park(_ context.Context, r *stream.Rejected) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, *r)
	return nil
}

func (p *parkings) letters() []stream.Rejected {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

func closed(b *stream.Batch) *stream.Batch {
	b.Phase = stream.Closed
	return b
}

// TestABlockThatRedisRefusesIsParked: another program has used the key of one window. The others arrive, in the same call too;
// the block of the closed window becomes a letter before a snapshot is claimed, and can be stored when the key is free.
func TestABlockThatRedisRefusesIsParked(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			p := &parkings{}
			s := sink(t, c, 0, func(k *SinkConfig) { k.Park, k.Name = p.park, "redis.cpu" })
			taken := windowKey(s.place, at(1))
			if err := c.rdb.Set(t.Context(), taken, "theirs", 0).Err(); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				write(t, s, closed(rowsOf(i, 5, map[string]int64{"host-1": int64(i), "host-2": 7})))
			}
			open := rowsOf(1, 6, map[string]int64{"host-1": 3})
			flush(t, s, 5, at(1))
			if n := len(p.letters()); n == 0 {
				t.Fatal("nothing is parked")
			}
			before := len(p.letters())
			write(t, s, open) // its window is open: no letter, it comes again
			flush(t, s, 6, at(1))
			got := p.letters()
			if len(got) != before {
				t.Fatalf("%d letters more, of a window that is open", len(got)-before)
			}
			r := got[0]
			if r.Kind != stream.LetterParked || r.Row.Output != "redis.cpu" || r.Row.Target != taken || r.Offset != 5 || !strings.Contains(r.Reason, "WRONGTYPE") {
				t.Fatalf("%+v %+v", r, r.Row)
			}
			var shown struct {
				Rows []map[string]any `json:"rows"`
			}
			if err := json.Unmarshal(r.Raw, &shown); err != nil || len(shown.Rows) == 0 || shown.Rows[0]["host"] == nil || shown.Rows[0]["samples"] == nil {
				t.Fatalf("%s: %v", r.Raw, err)
			}
			if kind, err := c.rdb.Type(t.Context(), windowKey(s.place, at(2))).Result(); err != nil || kind != "hash" {
				t.Fatal(kind, err)
			}
			if _, err := c.WriteParked(t.Context(), r.Raw); err == nil {
				t.Fatal("it is stored over somebody else's value")
			}
			if err := c.rdb.Del(t.Context(), taken).Err(); err != nil {
				t.Fatal(err)
			}
			for _, want := range []bool{true, false} { // again it changes nothing
				for _, l := range got {
					if stored, err := c.WriteParked(t.Context(), l.Raw); err != nil || stored != want {
						t.Fatal(stored, err)
					}
				}
			}
			values, _ := read(t, c, nil)
			for _, row := range []string{"0 host-1", "1 host-1", "2 host-1"} {
				if _, ok := values[row]; !ok {
					t.Fatalf("%s is missing in %v", row, values)
				}
			}
			if _, err := c.WriteParked(t.Context(), r.Raw[:len(r.Raw)/2]); stream.KindOfError(err) != stream.Reject {
				t.Fatal(err)
			}
		})
	}
}

// TestASharedKeyIsNoFaultOfABlock: another program has used the key that counts changes. The block is stored, and not parked.
func TestASharedKeyIsNoFaultOfABlock(t *testing.T) {
	c := connect(t, testservers.Redis(t))
	p := &parkings{}
	s := sink(t, c, 0, func(k *SinkConfig) { k.Output, k.Park, k.Name = hosts("host-cpu@shared"), p.park, "redis.cpu" })
	if err := c.rdb.LPush(t.Context(), changesKey(s.place), "theirs").Err(); err != nil {
		t.Fatal(err)
	}
	defer c.rdb.Del(context.Background(), changesKey(s.place), windowKey(s.place, at(50)))
	write(t, s, closed(rowsOf(50, 5, map[string]int64{"host-1": 1})))
	flush(t, s, 5, at(1))
	if n, err := c.rdb.HLen(t.Context(), windowKey(s.place, at(50))).Result(); err != nil || n != 2 || len(p.letters()) != 0 {
		t.Fatal(n, err, p.letters())
	}
}

// TestABlockThatIsTooLargeIsParked: Redis closes the connection at a value above proto-max-bulk-len.
func TestABlockThatIsTooLargeIsParked(t *testing.T) {
	c := connect(t, testservers.Redis(t))
	was, err := c.rdb.ConfigGet(t.Context(), "proto-max-bulk-len").Result()
	if err != nil {
		t.Fatal(err)
	}
	limit := func(to string) {
		if err := c.rdb.ConfigSet(context.Background(), "proto-max-bulk-len", to).Err(); err != nil {
			t.Fatal(err)
		}
	}
	limit("1048576")
	defer limit(was["proto-max-bulk-len"])
	p := &parkings{}
	s := sink(t, c, 0, func(k *SinkConfig) { k.Park, k.Name = p.park, "redis.cpu" })
	large := stream.NewBatch(hostSchema)
	var noise strings.Builder
	for i := 0; noise.Len() < 3<<20; i++ {
		fmt.Fprintf(&noise, "%x", uint64(i+1)*0x9e3779b97f4a7c15)
	}
	large.Cols[0].AppendString(noise.String())
	large.Cols[1].AppendFloat(1)
	large.Cols[2].AppendInt(1)
	large.SetLen(1)
	write(t, s, closed(bySlot(large, 1, window(1), stream.Version{Offset: 5})))
	write(t, s, rowsOf(2, 6, map[string]int64{"host-1": 1}))
	flush(t, s, 6, at(1))
	got := p.letters()
	if len(got) == 0 || !strings.Contains(got[0].Reason, "proto-max-bulk-len") || got[0].Offset != 5 {
		t.Fatalf("%d letters", len(got))
	}
	if n, err := c.rdb.Exists(t.Context(), windowKey(s.place, at(2))).Result(); err != nil || n != 1 {
		t.Fatal("the small block has not arrived", err)
	}
}
