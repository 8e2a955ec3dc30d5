package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
)

// Bodies give what OpenBody gives, in the order asked for: small and large ones,
// over several pages, neighbours or not, some damaged and some gone.
func TestBodies(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, t.TempDir(), Options{Small: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // not checked: bodies are damaged below
	acct := newAccount(t, s)
	sizes := []int{300, 2000, 7, smallBody - 600, smallBody + 1, 90 << 10, 600 << 10, 40 << 10}
	var ids []BlobID
	texts := map[BlobID][]byte{}
	for n := range 3 * pageBodies {
		text := message(n, sizes[n%min(n+1, len(sizes))])
		if n > len(sizes) {
			text = message(n, n%900)
		}
		id := deliver(t, s, text, Placement{Account: acct}).Blob
		ids, texts[id] = append(ids, id), text
	}
	lost, torn, unknown := ids[1], ids[3], ids[len(ids)-1]+1000
	damage(t, s, func(st *stage) {
		st.del(keyChunk(lost, 1))
		spoil(st, keyChunk(torn, 1))
	})
	backwards := slices.Clone(ids)
	slices.Reverse(backwards)
	for name, order := range map[string][]BlobID{
		"none": nil, "one": ids[:1], "all": ids, "backwards": backwards, "every fifth": everyFifth(ids), "the same again": {ids[0], ids[0], ids[4], ids[4]}, "one that is not there": {ids[0], unknown, ids[5]},
	} {
		t.Run(name, func(t *testing.T) {
			next := 0
			err := s.Bodies(ctx, order, func(i int, b Body, err error) error {
				if i != next {
					t.Fatalf("body %d comes where %d should", i, next)
				}
				next++
				switch id := order[i]; {
				case id == unknown:
					if !errors.Is(err, ErrNotFound) {
						t.Errorf("a body that is not there: %v", err)
					}
					return nil
				case id == lost || id == torn:
					if !errors.Is(err, ErrDamaged) {
						t.Errorf("a damaged body: %v", err)
					}
					return nil
				case err != nil:
					t.Fatalf("body %d: %v", i, err)
				}
				got, err := io.ReadAll(b)
				if err != nil || !bytes.Equal(got, texts[order[i]]) || b.Size() != int64(len(got)) {
					t.Errorf("body %d has %d bytes, of %d, %v", i, len(got), b.Size(), err)
				}
				return nil
			})
			if err != nil || next != len(order) {
				t.Errorf("%d of %d bodies came: %v", next, len(order), err)
			}
		})
	}
}

func everyFifth(ids []BlobID) (some []BlobID) {
	for i := 0; i < len(ids); i += 5 {
		some = append(some, ids[i])
	}
	return some
}

// Who is given bodies can end it, and so can the context; nothing goes on then.
func TestBodiesEnd(t *testing.T) {
	s := open(t, Options{})
	acct := newAccount(t, s)
	var ids []BlobID
	for n := range 3 * pageBodies {
		ids = append(ids, deliver(t, s, message(n, 100), Placement{Account: acct}).Blob)
	}
	enough := errors.New("enough")
	for _, last := range []int{0, 1, pageBodies, 2*pageBodies + 1} {
		n := 0
		if err := s.Bodies(t.Context(), ids, func(i int, _ Body, _ error) error {
			if n++; i == last {
				return enough
			}
			return nil
		}); !errors.Is(err, enough) || n != last+1 {
			t.Errorf("ended by the caller at %d: %d bodies, %v", last, n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Bodies(ctx, ids, func(int, Body, error) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by the context: %v", err)
	}
}

// A store that is closed meanwhile ends it, and is not taken for a damaged one.
func TestBodiesOfAStoreThatCloses(t *testing.T) {
	for range 10 {
		s := open(t, Options{})
		acct := newAccount(t, s)
		var ids []BlobID
		for n := range 4 * pageBodies {
			ids = append(ids, deliver(t, s, message(n, 600), Placement{Account: acct}).Blob)
		}
		closed := make(chan error, 1)
		err := s.Bodies(t.Context(), ids, func(i int, _ Body, err error) error {
			if i == 0 {
				go func() { closed <- s.Close() }()
			}
			return err
		})
		if err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
		if err := s.Bodies(t.Context(), ids, func(_ int, _ Body, err error) error { return err }); !errors.Is(err, ErrClosed) {
			t.Errorf("of a closed store: %v", err)
		}
	}
}
