package backup

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// brokenWriter fails after some writes, like a full disk.
type brokenWriter struct{ writes, fails int }

var errFull = errors.New("disk full")

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.writes++; w.writes == w.fails {
		return len(p) / 2, errFull
	}
	return len(p), nil
}

// TestWriterFails fails at each write of an increment.
func TestWriterFails(t *testing.T) {
	st := storetest.New(t)
	w := &world{t: t, st: st, r: rand.New(rand.NewPCG(1, 2))}
	w.account()
	full, _ := take(t, st, "")
	deliver(t, st, w.accounts[0], "INBOX", 1, 5_000_000, store.Flags{})
	for fails := 1; ; fails++ {
		out := &brokenWriter{fails: fails}
		_, err := Write(t.Context(), st, out, Options{Base: full.ID, Names: names(st)})
		if out.writes < fails { // there were no more
			w.must(err)
			if fails < 8 {
				t.Errorf("%d writes only", fails-1)
			}
			break
		}
		if !errors.Is(err, errFull) {
			t.Errorf("write %d: %v", fails, err)
		}
	}
	marks, err := st.BackupMarks(t.Context())
	if err != nil || len(marks) != 1 {
		t.Errorf("the store remembers %v, %v", marks, err)
	}
}

// TestNoRoom restores to a disk that gets full.
func TestNoRoom(t *testing.T) {
	st := storetest.New(t)
	w := &world{t: t, st: st, r: rand.New(rand.NewPCG(1, 2))}
	w.account()
	for n := range 20 {
		deliver(t, st, w.accounts[0], "INBOX", n, 5_000_000, store.Flags{})
	}
	_, file := take(t, st, "")
	asked := 0
	l, err := store.NewLoader(filepath.Join(t.TempDir(), "store"), store.Options{Small: true, MinFree: 100,
		Statfs: func() (int64, int64, error) { asked++; return 1000, 100 - int64(asked), nil }})
	w.must(err)
	if err := Restore(t.Context(), l, Readers(readers(t, file)...)); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("restore: %v", err)
	}
	if err := l.Close(); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("close: %v", err)
	}
}

// TestWhileMailFlows backs up and restores a store that is being written to:
// what a backup holds is some moment of it, whole.
func TestWhileMailFlows(t *testing.T) {
	st := storetest.New(t)
	w := &world{t: t, st: st, r: rand.New(rand.NewPCG(3, 3))}
	w.account()
	id := w.accounts[0]
	inbox, err := st.MailboxByName(t.Context(), id, "INBOX")
	w.must(err)
	stop := make(chan struct{})
	done := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(stop) }); <-done }
	defer end()
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := put(context.Background(), st, id, "INBOX", n, 100+n%7*20_000, store.Flags{}); err != nil {
				t.Error(err)
			}
			if n%3 == 0 {
				if _, _, err := st.Expunge(t.Context(), inbox.ID, []store.UID{store.UID(n / 3)}, false); err != nil {
					t.Error(err)
				}
			}
			if n%10 == 0 {
				if err := st.Reclaim(t.Context()); err != nil { // the store pauses
					t.Error(err)
				}
			}
		}
	}()
	var files [][]byte
	base := ""
	for range 6 {
		s, file := take(t, st, base)
		base = s.ID
		files = append(files, file)
	}
	end()
	verify(t, files...)
	for i := range files {
		restore(t, files[:i+1]...) // checked in full when the test ends
	}
}
