package trace

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/store/store"
)

// table is a table of documents in memory.
type table map[string][]byte

func (t table) put(tt *testing.T, id ID, e Event) {
	tt.Helper()
	op, err := Op(id, e)
	if err != nil {
		tt.Fatal(err)
	}
	if op.Table != store.TableTrace || !op.Expires.Equal(e.Time.Add(Retention)) {
		tt.Fatalf("op %+v", op)
	}
	t[op.Key] = op.Value
}

func (t table) Docs(_ context.Context, _ store.Table, prefix, after string, fn func(store.Doc) error) error {
	var keys []string
	for k := range t {
		if strings.HasPrefix(k, prefix) && k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := fn(store.Doc{Key: k, Value: t[k]}); err != nil {
			return err
		}
	}
	return nil
}

func TestIDs(t *testing.T) {
	now := time.Now()
	a, b := NewID(now), NewID(now.Add(time.Millisecond))
	if !Valid(string(a)) || a >= b || Valid("x") || Valid(strings.ToUpper(string(a))+"!") {
		t.Errorf("ids %s, %s", a, b)
	}
	seen := map[ID]bool{}
	for range 1000 {
		seen[NewID(now)] = true
	}
	if len(seen) < 999 {
		t.Errorf("%d different ids of 1000", len(seen))
	}
}

func TestLookup(t *testing.T) {
	ctx, docs, start := t.Context(), table{}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var ids []ID
	for i := range 10 {
		at := start.Add(time.Duration(i) * time.Hour)
		id := NewID(at)
		ids = append(ids, id)
		docs.put(t, id, Event{Kind: Accepted, Time: at, Sender: "Ann@example.org", MessageID: "m" + string(rune('0'+i)) + "@x",
			Targets: []Target{{Recipient: "bob@elsewhere.example", Queued: []string{"bob@elsewhere.example"}}}})
	}
	docs.put(t, ids[3], Event{Kind: Sent, Time: start.Add(3*time.Hour + time.Minute), Host: "mx.elsewhere.example", Reply: "250 ok"})

	m, err := Lookup(ctx, docs, ids[3])
	if err != nil || len(m.Events) != 2 || m.Events[0].Kind != Accepted || m.Events[1].Kind != Sent {
		t.Errorf("Lookup: %+v, %v", m, err)
	}
	if _, err := Lookup(ctx, docs, NewID(start)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Lookup of none: %v", err)
	}

	for _, c := range []struct {
		name string
		q    Query
		want []int
	}{
		{"all", Query{}, []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{"newest", Query{Limit: 2}, []int{9, 8}},
		{"message id", Query{MessageID: "<m4@x>"}, []int{4}},
		{"sender", Query{Address: "ann@", Limit: 1}, []int{9}},
		{"recipient", Query{Address: "BOB@elsewhere.example", Until: start}, []int{0}},
		{"nobody", Query{Address: "carol"}, nil},
		{"time", Query{Since: start.Add(2 * time.Hour), Until: start.Add(4 * time.Hour)}, []int{4, 3, 2}},
	} {
		found, err := Find(ctx, docs, c.q)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var got []int
		for _, m := range found {
			got = append(got, slices.Index(ids, m.ID))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}

	docs["zzz/1"] = []byte{9}
	if _, err := Find(ctx, docs, Query{}); err == nil {
		t.Error("a record of an unknown version is read as if it were known")
	}
}
