package maild

import (
	"path/filepath"
	"testing"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
)

// A check looks at the search indexes too, and a repair has them made anew.
func TestCheckOfIndexes(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	d, err := Open(ctx, Config{Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Small: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
	}()
	id, err := d.store.CreateAccount(ctx, store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := d.store.Spool(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := body.Write([]byte("Subject: one\r\n\r\ntext\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.store.Deliver(ctx, store.Delivery{Body: body, Placements: []store.Placement{{Account: id}}}); err != nil {
		t.Fatal(err)
	}
	check := func(repair bool, problems int) {
		t.Helper()
		r, err := (&service{d.people, d}).Check(ctx, mailapi.CheckRequest{Repair: repair}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Problems) != problems || problems > 0 && r.Problems[0].Repaired != repair {
			t.Errorf("repair %v: %+v, want %d problems", repair, r.Problems, problems)
		}
	}
	index, err := search.Open(d.store.IndexRows(id)) // by another, which leaves the message out
	if err != nil {
		t.Fatal(err)
	}
	if err := index.Apply(ctx, search.NewBatch(), 1); err != nil {
		t.Fatal(err)
	}
	check(false, 1)
	check(true, 1)
	if err := d.index.Update(ctx, id); err != nil {
		t.Fatal(err)
	}
	check(false, 0)
}
