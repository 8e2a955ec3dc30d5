package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/store/blob"
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

// The disk fills up at each question for space that each step of the crash
// scenario asks: the step is refused and nothing of it stays, and once there is
// room it can be done.
func TestDiskFullAtEachStep(t *testing.T) {
	ctx := context.Background()
	var asked, fullAt atomic.Int64
	var clock crashClock
	o := clock.options()
	o.MinFree = 1 << 20
	o.Statfs = func() (int64, int64, error) {
		if n := asked.Add(1); fullAt.Load() > 0 && n >= fullAt.Load() {
			return 1 << 30, 1 << 10, nil
		}
		return 1 << 30, 1 << 29, nil
	}
	s := open(t, o)
	s.keeper.stop() // it must not clear anything away between two looks
	inParts := map[string]bool{"deliver a batch": true, "clear away": true, "clear away what is no longer kept": true}
	refused := 0
	for _, step := range clock.scenario() {
		if step.name == "close" {
			break
		}
		before := dump(t, s)
		first := int64(1)
		if strings.HasSuffix(step.name, "account") && step.name != "delete an account" {
			first = 100 // one refused takes a number, and the scenario knows them
		}
		for n := first; ; n++ {
			asked.Store(0)
			fullAt.Store(n)
			err := step.do(s)
			fullAt.Store(0)
			if err == nil {
				break
			}
			refused++
			if !errors.Is(err, ErrNoSpace) {
				t.Fatalf("%s, full at %d: %v", step.name, n, err)
			}
			if after := dump(t, s); !inParts[step.name] && after != before {
				t.Fatalf("%s, full at %d: the store is\n%s\nit was\n%s", step.name, n, after, before)
			}
			r, err := s.Check(ctx, CheckOptions{Bodies: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range r.Problems {
				t.Fatalf("%s, full at %d: %s: %s", step.name, n, p.Where, p.What)
			}
		}
	}
	if refused < 25 {
		t.Errorf("only %d times was anything refused", refused)
	}
	// What could not be dropped while the disk was full goes by itself later.
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if rows, err := s.keys([]byte{tablePending}, 10); err != nil || len(rows) != 0 {
		t.Errorf("%d bodies are still being spooled (%v)", len(rows), err)
	}
}

// A body of which a part was refused is not whole, and is never delivered,
// even if there is room again when somebody asks once more.
func TestBodyWithARefusedPartIsNotDelivered(t *testing.T) {
	var disk fakeDisk
	disk.free.Store(50 << 30)
	s := open(t, Options{Statfs: disk.statfs, MinFree: 8 << 30})
	acct := newAccount(t, s)
	noise := make([]byte, 3<<20) // does not compress: more than waits in memory
	if _, err := rand.NewChaCha8([32]byte{}).Read(noise); err != nil {
		t.Fatal(err)
	}
	sp := spooled(t, s, append(message(1, 200), noise[:2<<20]...))
	defer sp.Abort()
	if err := sp.wait(); err != nil {
		t.Fatal(err)
	}
	disk.free.Store(1 << 30)
	if _, err := sp.Write(noise[2<<20 : 2<<20+inlineMax+blob.ChunkSize]); err != nil {
		t.Fatal(err)
	}
	if sp.last == nil {
		t.Fatal("nothing was handed over")
	}
	if _, err := sp.Reader(context.Background()); !errors.Is(err, ErrNoSpace) {
		t.Errorf("read: %v", err)
	}
	disk.free.Store(50 << 30)
	_, err := s.Deliver(context.Background(), Delivery{Body: sp, Placements: []Placement{{Account: acct}}})
	if !errors.Is(err, ErrNoSpace) {
		t.Errorf("deliver: %v", err)
	}
}

func TestReserve(t *testing.T) {
	var disk fakeDisk
	disk.free.Store(50 << 30)
	parent := t.TempDir()
	s := openDir(t, filepath.Join(parent, "store"), Options{Statfs: disk.statfs, MinFree: 8 << 30, Reserve: 1 << 20})
	s.keeper.stop() // this test does its work
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
	s.keeper.stop() // this test does its work
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

// The keeper itself, not the test in its place, makes room on a disk that is
// short: it must not wait for itself.
func TestKeeperMakesRoom(t *testing.T) {
	ctx := context.Background()
	var disk fakeDisk
	disk.free.Store(50 << 30)
	clock := newClock(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))
	s := open(t, Options{Statfs: disk.statfs, MinFree: 8 << 30, Now: clock.now})
	s.keeper.stop()
	acct := newAccount(t, s)
	r := deliver(t, s, message(1, 3000), Placement{Account: acct})
	if _, _, err := s.Expunge(ctx, r.Placed[0].Mailbox, []UID{1}, false); err != nil {
		t.Fatal(err)
	}
	clock.add(time.Hour)
	disk.free.Store(7 << 30)
	s.keeper.ctx = ctx // stop has ended it
	s.keeper.work("space", s.spaceKeeper)
	if _, err := s.OpenBody(ctx, r.Blob); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was deleted is still there: %v", err)
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

// What waits for the night is done in that of the people, not of the clock.
func TestNight(t *testing.T) {
	clock := newClock(time.Date(2026, 7, 1, 1, 30, 0, 0, time.UTC))
	s := open(t, Options{Now: clock.now})
	s.keeper.stop() // this test does its work
	there := func(hours int) *time.Location { return time.FixedZone("there", hours*3600) }
	if s.SetZone(there(2)); !s.night() {
		t.Error("half past three is not in the night")
	}
	if s.SetZone(there(-8)); s.night() {
		t.Error("half past five in the afternoon is in the night")
	}
	s.garbage.Store(2 * reclaimNightly)
	if err := s.spaceKeeper(t.Context()); err != nil || s.garbage.Load() == 0 {
		t.Errorf("the store paused by day: %v", err)
	}
	s.SetZone(there(2))
	if err := s.spaceKeeper(t.Context()); err != nil || s.garbage.Load() != 0 {
		t.Errorf("the store did not pause at night: %v", err)
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
