package store

import (
	"errors"
	"testing"
)

// A disk that fails during a pause lets Badger's Close try for ever; the store
// says that it is broken instead of keeping everybody waiting.
func TestEndOfBroken(t *testing.T) {
	s := open(t, Options{})
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	ended := make(chan error)
	go func() {
		ended <- s.end(func() error { <-never; return nil })
	}()
	s.fail(errors.New("input/output error"))
	if err := <-ended; !errors.Is(err, ErrReadOnly) {
		t.Errorf("got %v, want ErrReadOnly", err)
	}
	if err := s.end(func() error { return nil }); err != nil {
		t.Errorf("one that closes: %v", err)
	}
}
