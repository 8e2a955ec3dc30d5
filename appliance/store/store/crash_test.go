package store

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// The crash test runs the scenario in a process of its own and stops it before
// and after each call that writes, syncs, makes, renames or removes a file.
// From each of these moments it makes what would be left
//
//   - if the program died: the files as they are;
//   - if the power went: what was synced, at the least;
//   - if the power went, at random: that, and some of what was not synced.
//
// Each is opened and must check clean, must be as it was after the last step
// that was acknowledged or after the one under way, and must take mail.

// crashSeedEnv takes another number for what is left to chance, 1 where not set.
const crashSeedEnv = "PILLARBOX_SEED"

func crashSeed(t *testing.T) uint64 {
	v := os.Getenv(crashSeedEnv)
	if v == "" {
		return 1
	}
	seed, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", crashSeedEnv, err)
	}
	return seed
}

// crashEnv names the store's folder for the process that runs the scenario.
const crashEnv = "PILLARBOX_TEST_CRASH"

func TestMain(m *testing.M) {
	for env, child := range map[string]func(string) error{crashEnv: crashChild, fullEnv: fullChild} {
		if dir := os.Getenv(env); dir != "" {
			if err := child(dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	if raceDetector {
		// Races show in few runs; what random operations do is for the others.
		if err := flag.Set("rapid.checks", "20"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// crashStep is a step that is whole or not there.
type crashStep struct {
	name string
	do   func(s *Store) error
}

// crashClock is the clock of a run: it stands still but for the scenario.
type crashClock struct{ ahead atomic.Int64 }

func (c *crashClock) options() Options {
	return Options{Small: true, UndeleteFor: time.Hour, Now: func() time.Time {
		return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(c.ahead.Load()))
	}}
}

// scenario goes once through all that writes to the disk in its own way.
func (c *crashClock) scenario() []crashStep {
	ctx := context.Background()
	const first, second = AccountID(1), AccountID(2)
	box := func(s *Store, name string) MailboxID {
		m, err := s.MailboxByName(ctx, first, name)
		if err != nil {
			return 0 // the step itself will say so
		}
		return m.ID
	}
	mail := func(n, size int, places ...Placement) func(*Store) error {
		return func(s *Store) error { _, err := tryDeliver(s, message(n, size), places...); return err }
	}
	account := func(s *Store) error { _, err := s.CreateAccount(ctx, Quota{}, nil); return err }
	expunge := func(name string, uids ...UID) func(*Store) error {
		return func(s *Store) error { _, _, err := s.Expunge(ctx, box(s, name), uids, false); return err }
	}
	return []crashStep{
		{"account", account},
		{"another account", account},
		{"deliver to two and the queue", func(s *Store) error {
			sp, err := s.Spool(ctx)
			if err != nil {
				return err
			}
			if _, err := sp.Write(message(1, 2000)); err != nil {
				return err
			}
			_, err = s.Deliver(ctx, Delivery{Body: sp,
				Placements: []Placement{{Account: first}, {Account: second}, {Account: first, Name: "Work/2024"}},
				Queue:      []QueueEntry{{Sender: "a@example.org", Recipient: "b@example.net", Due: s.now()}},
				Docs:       []DocOp{{Table: TableTrace, Key: "1", Value: []byte("accepted")}}})
			return err
		}},
		{"deliver", mail(2, 20<<10, Placement{Account: first, Flags: Flags{Keywords: []string{"$Forwarded"}}})},
		{"deliver a large one", mail(3, 3<<20, Placement{Account: first})},
		{"deliver a batch", func(s *Store) error {
			var ds []Delivery
			for i := range 6 {
				sp, err := s.Spool(ctx)
				if err != nil {
					return err
				}
				if _, err := sp.Write(message(10+i, 3000)); err != nil {
					return err
				}
				ds = append(ds, Delivery{Body: sp, Placements: []Placement{{Account: first}}})
			}
			_, err := s.DeliverAll(ctx, ds)
			return err
		}},
		{"flags", func(s *Store) error {
			_, err := s.ChangeFlags(ctx, box(s, inbox), []UID{1, 2, 5}, FlagChange{Op: FlagsAdd, Flags: Flags{System: Seen, Keywords: []string{"$Junk"}}})
			return err
		}},
		{"copy", func(s *Store) error {
			_, err := s.Copy(ctx, box(s, inbox), []UID{1, 2, 3}, box(s, "Archive"), FlagMask{})
			return err
		}},
		{"move", func(s *Store) error {
			_, err := s.Move(ctx, box(s, inbox), []UID{4, 5}, box(s, "Trash"), FlagMask{})
			return err
		}},
		{"rename a tree", func(s *Store) error { return s.RenameMailbox(ctx, first, "Work", "Büro/Alt") }},
		{"expunge", expunge(inbox, 1, 3, 6)},
		{"undelete", func(s *Store) error {
			var ids []ExpungedID
			if err := s.Expunged(ctx, first, time.Time{}, func(x Expunged) error {
				if x.ID.UID != 6 {
					ids = append(ids, x.ID)
				}
				return nil
			}); err != nil {
				return err
			}
			_, err := s.Undelete(ctx, first, ids, "", false)
			return err
		}},
		{"back up", func(s *Store) error {
			p := s.Snapshot()
			defer p.Close()
			if err := p.Head(ctx, 0, func(_, _ []byte) error { return nil }); err != nil {
				return err
			}
			return s.MarkBackup(ctx, BackupMark{ID: "first", Version: p.Version(), At: s.now()})
		}},
		{"queue", func(s *Store) error { return s.QueueUpdate(ctx, QueueChange{ID: 1}) }},
		{"delete a mailbox", func(s *Store) error { return s.DeleteMailbox(ctx, first, "Archive") }},
		{"clear away", func(s *Store) error { return s.Sweep(ctx) }},
		{"give space back", func(s *Store) error { return s.Reclaim(ctx) }},
		{"deliver again", mail(4, 600<<10, Placement{Account: first})},
		{"delete an account", func(s *Store) error { return s.DeleteAccount(ctx, second, nil) }},
		{"expunge all", expunge(inbox, 2, 7, 8, 9, 10, 11, 12)},
		{"clear away what is no longer kept", func(s *Store) error {
			c.ahead.Add(int64(2 * time.Hour))
			return s.Sweep(ctx)
		}},
		{"give space back again", func(s *Store) error { return s.Reclaim(ctx) }},
		{"close", (*Store).Close},
	}
}

// crashChild is the process that is stopped. It says each step that is done.
func crashChild(dir string) error {
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	var clock crashClock
	s, err := Open(context.Background(), dir, clock.options())
	if err != nil {
		return err
	}
	for i, step := range clock.scenario() {
		if err := step.do(s); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Println("done", i)
	}
	return nil
}

// crashImage is a state to be opened.
type crashImage struct {
	image image
	what  string
	after int // steps acknowledged
}

func TestCrashAtEachStep(t *testing.T) {
	wanted := crashWanted(t)
	images, root := make(chan crashImage, 2), memoryDir(t)
	var opened sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		opened.Go(func() {
			for im := range images {
				im.verify(t, root, wanted)
			}
		})
	}
	moments, kept := crashRun(t, images)
	close(images)
	opened.Wait()
	t.Logf("%d moments, %d different states opened", moments, kept)
	if moments < 200 {
		t.Errorf("only %d moments were seen", moments)
	}
}

// crashWanted tells how the store may be after each step, and before all: as the
// step leaves it, or with what was removed cleared away as well, which the keeper
// does in its own time, and at once when a store is opened.
func crashWanted(t *testing.T) [][]string {
	var wanted [][]string
	for _, swept := range []bool{false, true} {
		var clock crashClock
		s, err := Open(context.Background(), t.TempDir(), clock.options())
		if err != nil {
			t.Fatal(err)
		}
		s.keeper.stop() // nothing is cleared away before its time here
		states := []string{dump(t, s)}
		for _, step := range clock.scenario() {
			if err := step.do(s); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if step.name == "close" {
				states = append(states, states[len(states)-1])
				break
			}
			if swept {
				if err := s.Sweep(t.Context()); err != nil {
					t.Fatalf("%s: clear away: %v", step.name, err)
				}
			}
			states = append(states, dump(t, s))
		}
		for i, state := range states {
			if !swept {
				wanted = append(wanted, nil)
			}
			wanted[i] = append(wanted[i], state)
		}
	}
	return wanted
}

// crashRun runs the scenario and sends what is left at each moment, each
// different state once.
func crashRun(t *testing.T, images chan<- crashImage) (moments, kept int) {
	runtime.LockOSThread() // ptrace is a matter between threads
	defer runtime.UnlockOSThread()
	dir := filepath.Join(memoryDir(t), "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+dir)
	var stderr strings.Builder
	in, out := pipe(t), pipe(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in[0], out[1], &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out[1].Close()
	said := bufio.NewReader(out[0])
	if line, err := said.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q %v %s", line, err, stderr.String())
	}
	disk := newDiskModel(dir)
	tr, err := attach(cmd.Process.Pid, disk)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		_ = cmd.Process.Kill()
		t.Skipf("processes cannot be traced here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	seed := crashSeed(t)
	random := rand.New(rand.NewPCG(seed, 2))
	send := func(im image, what string) {
		key := strconv.Itoa(tr.said) + "\n" + im.key(xxhash.Sum64)
		if !seen[key] {
			seen[key] = true
			kept++
			images <- crashImage{im, what, tr.said}
		}
	}
	tr.at = func(what string) error {
		moments++
		if raceDetector && moments%8 != 0 {
			return nil // each state is opened where that is quick
		}
		now, err := readFolder(dir)
		if err != nil {
			return err
		}
		send(now, "program died "+what)
		send(disk.least(), "power went "+what)
		send(disk.mixed(now, random), "power went, some pages written, "+what)
		return nil
	}
	if _, err := in[1].WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	status, err := tr.run()
	if err != nil {
		t.Fatal(err)
	}
	if status.ExitStatus() != 0 {
		t.Fatalf("the scenario failed: %v", status)
	}
	return moments, kept
}

func pipe(t *testing.T) [2]*os.File {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return [2]*os.File{r, w}
}

// memoryNeeded is far more than the crash test has in memory at a time. Containers
// have less than a store keeps free.
const memoryNeeded = 1 << 30

// memoryDir is a folder in memory where there is enough: what matters here is
// what was asked of the disk, not that it does it.
func memoryDir(t *testing.T) string {
	t.Helper()
	root := "/dev/shm"
	var fs unix.Statfs_t
	if err := unix.Statfs(root, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < memoryNeeded {
		root = "" // where folders for a time are
	}
	dir, err := os.MkdirTemp(root, "pillarbox-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// verify opens the state in a folder below root.
func (im crashImage) verify(t *testing.T, root string, wanted [][]string) {
	where := fmt.Sprintf("%s, after %d steps", im.what, im.after)
	dir, err := os.MkdirTemp(root, "state")
	if err != nil {
		t.Error(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := im.image.write(dir); err != nil {
		t.Error(err)
		return
	}
	s, err := Open(context.Background(), dir, new(crashClock).options())
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	defer s.Close()
	got := dump(t, s)
	right := slices.Contains(wanted[im.after], got) || im.after+1 < len(wanted) && slices.Contains(wanted[im.after+1], got)
	if !right {
		t.Errorf("%s: the store is\n%s\nbefore the step under way it was\n%s", where, got, wanted[im.after][0])
	}
	if _, err := s.CreateAccount(context.Background(), Quota{}, nil); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	r, err := s.Check(context.Background(), CheckOptions{Bodies: true})
	if err != nil {
		t.Errorf("%s: check: %v", where, err)
		return
	}
	for _, p := range r.Problems {
		t.Errorf("%s: check: %s: %s", where, p.Where, p.What)
	}
}

// dump writes down all that users and servers can see of a store.
func dump(t *testing.T, s *Store) string {
	ctx := context.Background()
	var b strings.Builder
	fail := func(err error) {
		if err != nil {
			t.Errorf("dump: %v", err)
		}
	}
	var accounts []AccountID
	fail(s.Accounts(ctx, func(id AccountID, q Quota) error {
		fmt.Fprintf(&b, "account %d %+v\n", id, q)
		accounts = append(accounts, id)
		return nil
	}))
	for _, a := range accounts {
		boxes, err := s.Mailboxes(ctx, a)
		fail(err)
		for _, m := range boxes {
			fmt.Fprintf(&b, "  %+v\n", m)
			if m.NonExistent {
				continue
			}
			_, err := s.Entries(ctx, m.ID, 0, 0, func(e Entry) error {
				fmt.Fprintf(&b, "    %+v\n", e)
				return nil
			})
			fail(err)
			fail(s.Sums(ctx, m.ID, func(sum [32]byte) error {
				fmt.Fprintf(&b, "    %x\n", sum[:8])
				return nil
			}))
		}
	}
	for _, a := range accounts {
		fail(s.Expunged(ctx, a, time.Time{}, func(x Expunged) error { fmt.Fprintf(&b, "expunged %d %+v\n", a, x); return nil }))
	}
	marks, err := s.BackupMarks(ctx)
	fail(err)
	for _, m := range marks {
		fmt.Fprintf(&b, "backup %s at %v\n", m.ID, m.At)
	}
	fail(s.QueueList(ctx, 0, func(q QueueEntry) error { fmt.Fprintf(&b, "queue %+v\n", q); return nil }))
	fail(s.Docs(ctx, TableTrace, "", "", func(d Doc) error { fmt.Fprintf(&b, "trace %s %s\n", d.Key, d.Value); return nil }))
	return b.String()
}
