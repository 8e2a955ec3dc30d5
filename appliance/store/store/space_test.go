package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeDisk is a disk whose free space the test sets.
type fakeDisk struct{ free atomic.Int64 }

func (d *fakeDisk) statfs() (int64, int64, error) { return 100 << 30, d.free.Load(), nil }

func TestFullDiskIsRefusedInSteps(t *testing.T) {
	ctx := context.Background()
	var disk fakeDisk
	disk.free.Store(50 << 30)
	s := open(t, Options{Statfs: disk.statfs, MinFree: 8 << 30})
	acct := newAccount(t, s)
	r := deliver(t, s, message(1, 3000), Placement{Account: acct})
	deliver(t, s, message(2, 3000), Placement{Account: acct})
	box := r.Placed[0].Mailbox

	flag := func() error {
		_, err := s.ChangeFlags(ctx, box, []UID{1}, FlagChange{Op: FlagsAdd, Flags: Flags{System: Seen}})
		return err
	}
	for _, tc := range []struct {
		free                  int64
		deliver, flag, remove bool
	}{
		{9 << 30, true, true, true},
		{7 << 30, false, true, true},
		{3 << 30, false, false, true},
		{1 << 28, false, false, false},
		{9 << 30, true, true, true},
	} {
		disk.free.Store(tc.free)
		_, err := tryDeliver(s, message(3, 100), Placement{Account: acct})
		_, _, remove := s.Expunge(ctx, box, []UID{99}, false)
		for what, got := range map[string]error{"deliver": err, "flag": flag(), "remove": remove} {
			want := map[string]bool{"deliver": tc.deliver, "flag": tc.flag, "remove": tc.remove}[what]
			if want != (got == nil) || got != nil && !errors.Is(got, ErrNoSpace) {
				t.Errorf("%d MiB free: %s: %v", tc.free>>20, what, got)
			}
		}
		if accepting := s.Accepting(); (accepting == nil) != tc.deliver {
			t.Errorf("%d MiB free: accepting: %v", tc.free>>20, accepting)
		}
		b, err := s.OpenBody(ctx, r.Blob)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, message(1, 3000)) {
			t.Errorf("%d MiB free: not readable: %v", tc.free>>20, err)
		}
	}
}

// The disk fills up while a body is being written: the delivery fails and
// nothing of it stays, at whichever of its questions for space it comes.
func TestDiskFullAtEachStep(t *testing.T) {
	ctx := context.Background()
	var asked, fullAt atomic.Int64
	s := open(t, Options{MinFree: 1 << 20, Statfs: func() (int64, int64, error) {
		if n := asked.Add(1); fullAt.Load() > 0 && n >= fullAt.Load() {
			return 1 << 30, 1 << 10, nil
		}
		return 1 << 30, 1 << 29, nil
	}})
	acct := newAccount(t, s)
	in, err := s.MailboxByName(ctx, acct, inbox)
	if err != nil {
		t.Fatal(err)
	}
	body := message(1, 5<<20)
	for n := int64(1); ; n++ {
		asked.Store(0)
		fullAt.Store(n)
		_, err := tryDeliver(s, body, Placement{Account: acct})
		fullAt.Store(0)
		got, merr := s.Mailbox(ctx, in.ID)
		if merr != nil {
			t.Fatal(merr)
		}
		if err == nil {
			if got.Messages != 1 {
				t.Fatalf("delivered, but %d messages", got.Messages)
			}
			if n < 4 {
				t.Fatalf("space was asked for %d times only", n)
			}
			break
		}
		if !errors.Is(err, ErrNoSpace) || got.Messages != 0 {
			t.Fatalf("step %d: %v, %d messages", n, err, got.Messages)
		}
	}
	// What could not be dropped while the disk was full goes at the next start.
	if err := s.sweepPending(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestReserve(t *testing.T) {
	var disk fakeDisk
	disk.free.Store(50 << 30)
	parent := t.TempDir()
	s := openDir(t, filepath.Join(parent, "store"), Options{Statfs: disk.statfs, MinFree: 8 << 30, Reserve: 1 << 20})
	path := filepath.Join(parent, "reserve")
	there := func() bool {
		st, err := os.Stat(path)
		return err == nil && st.Size() == 1<<20
	}
	if !there() {
		t.Fatal("no reserve was made")
	}
	disk.free.Store(7 << 30)
	if err := s.keepReserve(); err != nil || !there() {
		t.Fatalf("the reserve went too early: %v", err)
	}
	disk.free.Store(3 << 30)
	if err := s.keepReserve(); err != nil || there() {
		t.Fatalf("the reserve was not given up: %v", err)
	}
	disk.free.Store(50 << 30)
	if err := s.keepReserve(); err != nil || !there() {
		t.Fatalf("the reserve was not made again: %v", err)
	}
}

// A real small disk: mail is refused before Badger meets the end, what is
// there stays readable, and accepting begins again when space was given back.
func TestSmallDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("mounting a small disk needs root: the other tests fill a pretended one")
		return
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=192m"); err != nil {
		t.Logf("no small disk can be mounted here: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	ctx := context.Background()
	clock := newClock(time.Now())
	s := openDir(t, filepath.Join(dir, "store"), Options{MinFree: 64 << 20, Reserve: 8 << 20, Now: clock.now})
	defer closeChecked(t, s)
	acct := newAccount(t, s)
	noise, source := make([]byte, 1<<20), rand.NewChaCha8([32]byte{}) // does not compress
	var last Receipt
	fill := func() (n int) {
		for ; ; n++ {
			if _, err := source.Read(noise); err != nil {
				t.Fatal(err)
			}
			body := append(message(n, 200), noise...)
			r, err := tryDeliver(s, body, Placement{Account: acct})
			if errors.Is(err, ErrNoSpace) {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			last = r
		}
	}
	first := fill()
	if first < 10 {
		t.Fatalf("only %d messages fit", first)
	}
	if _, err := s.OpenBody(ctx, last.Blob); err != nil {
		t.Fatal(err)
	}
	var uids []UID
	if _, err := s.Entries(ctx, last.Placed[0].Mailbox, 1, 0, func(e Entry) error { uids = append(uids, e.UID); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Expunge(ctx, last.Placed[0].Mailbox, uids, false); err != nil {
		t.Fatal(err)
	}
	// They stay restorable, but the disk is short: the oldest go first.
	clock.add(time.Hour)
	if err := s.spaceKeeper(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Accepting(); err != nil {
		t.Fatalf("still not accepting: %v", err)
	}
	if again := fill(); again < first/4 {
		t.Errorf("%d messages fit after space was given back, %d before", again, first)
	}
}

func TestReclaimKeepsEverything(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{UndeleteFor: -1})
	acct := newAccount(t, s)
	var box MailboxID
	bodies := map[UID][]byte{}
	for i := range 60 {
		body := make([]byte, 200<<10)
		for j := range body {
			body[j] = byte(j*i) ^ byte(j>>7)*byte(i)
		}
		body = append(message(i, 100), body...)
		r := deliver(t, s, body, Placement{Account: acct})
		box = r.Placed[0].Mailbox
		bodies[r.Placed[0].UID] = body
	}
	for u := range bodies {
		if u%3 != 0 {
			if _, _, err := s.Expunge(ctx, box, []UID{u}, false); err != nil {
				t.Fatal(err)
			}
			delete(bodies, u)
		}
	}
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	// Sessions go on while the store pauses.
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, err := s.ChangeFlags(ctx, box, []UID{3}, FlagChange{Op: FlagsAdd, Flags: Flags{System: Seen}}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	var r io.Reader
	_, err := s.Entries(ctx, box, 3, 3, func(e Entry) error {
		b, err := s.OpenBody(ctx, e.Blob)
		r = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 10)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Reclaim(ctx); err != nil {
			t.Fatal(err)
		}
	}
	rest, err := io.ReadAll(r) // opened before the pause
	if err != nil || !bytes.Equal(append(head, rest...), bodies[3]) {
		t.Fatalf("body opened before the pause: %v", err)
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	_, err = s.Entries(ctx, box, 1, 0, func(e Entry) error {
		b, err := s.OpenBody(ctx, e.Blob)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(b)
		if err == nil && !bytes.Equal(got, bodies[e.UID]) {
			t.Errorf("body of %d differs", e.UID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFailedSyncMakesReadOnly(t *testing.T) {
	s := open(t, Options{})
	acct := newAccount(t, s)
	r := deliver(t, s, message(1, 3000), Placement{Account: acct})
	badgerLog{s}.Errorf("Error while curlf sync: %v\n", errors.New("input/output error"))
	if _, err := tryDeliver(s, message(2, 100), Placement{Account: acct}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("deliver: %v", err)
	}
	if err := s.Accepting(); !errors.Is(err, ErrReadOnly) {
		t.Errorf("accepting: %v", err)
	}
	if _, err := s.OpenBody(context.Background(), r.Blob); err != nil {
		t.Errorf("reading: %v", err)
	}
}
