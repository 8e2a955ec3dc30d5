// Package storetest opens real stores for the tests of other packages and
// checks each one when its test ends.
package storetest

import (
	"context"
	"errors"
	"testing"

	"pillarbox/appliance/store/store"
)

// New opens an empty store in a folder of the test's. When the test ends, the
// store is checked in full and closed; any problem fails the test.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, t.TempDir(), store.Options{Small: true})
}

// Open does the same for a folder and options of the caller's.
func Open(t testing.TB, dir string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), dir, o)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() { Close(t, s) })
	return s
}

// Close checks and closes a store.
func Close(t testing.TB, s *store.Store) {
	t.Helper()
	r, err := s.Check(context.Background(), store.CheckOptions{Bodies: true})
	switch {
	case errors.Is(err, store.ErrClosed):
		return
	case err != nil:
		t.Errorf("check store: %v", err)
	default:
		for _, p := range r.Problems {
			t.Errorf("store check: %s: %s", p.Where, p.What)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("close store: %v", err)
	}
}
