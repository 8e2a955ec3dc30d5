package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// deliver puts a message of about size bytes into a mailbox.
func deliver(t testing.TB, st *store.Store, id store.AccountID, box string, n, size int, flags store.Flags) {
	t.Helper()
	if err := put(t.Context(), st, id, box, n, size, flags); err != nil {
		t.Fatal(err)
	}
}

func put(ctx context.Context, st *store.Store, id store.AccountID, box string, n, size int, flags store.Flags) error {
	text := message(n, size)
	header, _, _ := strings.Cut(text, "\r\n\r\n")
	body, err := st.Spool(ctx)
	if err != nil {
		return err
	}
	defer body.Abort()
	if _, err := io.WriteString(body, text); err != nil {
		return err
	}
	_, err = st.Deliver(ctx, store.Delivery{Body: body,
		Facts: store.Facts{Size: int64(len(text)), MessageID: fmt.Sprintf("%d@example.org", n),
			Subject: fmt.Sprintf("number %d", n), Header: []byte(header + "\r\n\r\n")},
		Placements: []store.Placement{{Account: id, Name: box, Flags: flags,
			InternalDate: time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC)}}})
	return err
}

// message makes one of about size bytes, the same for the same n and size.
func message(n, size int) string {
	r := rand.New(rand.NewPCG(uint64(n), uint64(size)))
	var b strings.Builder
	fmt.Fprintf(&b, "Message-ID: <%d@example.org>\r\nSubject: number %d\r\n\r\n", n, n)
	for b.Len() < size {
		fmt.Fprintf(&b, "%x %d some words that repeat themselves\r\n", r.Uint64(), n)
	}
	return b.String()
}

// content writes down all that a store's users can see of it.
func content(t testing.TB, st *store.Store) string {
	t.Helper()
	ctx := t.Context()
	var b strings.Builder
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(st.Accounts(ctx, func(id store.AccountID, q store.Quota) error {
		fmt.Fprintf(&b, "account %d %+v\n", id, q)
		boxes, err := st.Mailboxes(ctx, id)
		check(err)
		for _, m := range boxes {
			m.UIDNext, m.HighestModSeq = 0, 0 // these go ahead, see TestSkippedIDs
			fmt.Fprintf(&b, "mailbox %+v\n", m)
			if m.NonExistent {
				continue
			}
			_, err := st.Entries(ctx, m.ID, 1, 0, func(e store.Entry) error {
				fmt.Fprintf(&b, "entry %+v\n", e)
				body, err := st.OpenBody(ctx, e.Blob)
				check(err)
				defer body.Close()
				text, err := io.ReadAll(body)
				check(err)
				fmt.Fprintf(&b, "%s\n", text)
				return st.Facts(ctx, []store.BlobID{e.Blob}, store.WantHeader|store.WantIndex, func(_ int, f *store.Facts) error {
					fmt.Fprintf(&b, "facts %+v\n", *f)
					return nil
				})
			})
			check(err)
		}
		return nil
	}))
	for table := store.TableSetting; table <= store.TableApp; table++ {
		check(st.Docs(ctx, table, "", "", func(d store.Doc) error {
			fmt.Fprintf(&b, "doc %d %s %d %s\n", table, d.Key, d.Rev, d.Value)
			return nil
		}))
	}
	check(st.QueueList(ctx, 0, func(q store.QueueEntry) error {
		fmt.Fprintf(&b, "queue %+v\n", q)
		return nil
	}))
	return b.String()
}

// take makes a backup and marks it.
func take(t testing.TB, st *store.Store, base string) (*Summary, []byte) {
	t.Helper()
	var out bytes.Buffer
	s, err := Write(t.Context(), st, &out, Options{Base: base, Names: names(st)})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.MarkBackup(t.Context(), s.Mark()); err != nil {
		t.Fatal(err)
	}
	if len(s.Damage) > 0 {
		t.Errorf("damage: %v", s.Damage)
	}
	return s, out.Bytes()
}

// names tells whose account is which in a world's store.
func names(st *store.Store) func(context.Context, func(string, store.AccountID) error) error {
	return func(ctx context.Context, fn func(string, store.AccountID) error) error {
		return st.Docs(ctx, store.TableUser, "", "", func(d store.Doc) error {
			var id store.AccountID
			if _, err := fmt.Sscan(string(d.Value), &id); err != nil {
				return err
			}
			return fn(d.Key, id)
		})
	}
}

func readers(t testing.TB, files ...[]byte) []*Reader {
	t.Helper()
	var out []*Reader
	for _, f := range files {
		r, err := NewReader(bytes.NewReader(f))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		out = append(out, r)
	}
	return out
}

// restore restores into a new store, which is checked when the test ends.
func restore(t testing.TB, files ...[]byte) *store.Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	l, err := store.NewLoader(dir, store.Options{Small: true})
	if err != nil {
		t.Fatal(err)
	}
	err = Restore(t.Context(), l, Readers(readers(t, files...)...))
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return storetest.Open(t, dir, store.Options{Small: true})
}

func verify(t testing.TB, files ...[]byte) {
	t.Helper()
	for _, r := range readers(t, files...) {
		_, err := Verify(t.Context(), r, func(p store.Problem) { t.Errorf("verify: %s: %s", p.Where, p.What) })
		if err != nil {
			t.Errorf("verify: %v", err)
		}
	}
}

// TestChain does random things to a store, backs it up between them, and wants
// the store as it was at each backup back.
func TestChain(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testChain(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func testChain(t *testing.T, r *rand.Rand) {
	dir := t.TempDir()
	o := store.Options{Small: true, UndeleteFor: time.Duration(1-2*r.IntN(2)) * time.Hour}
	st, err := store.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, st: st, r: r}
	w.account()
	var files [][]byte
	var contents []string
	base := ""
	for range 5 {
		for range 30 {
			w.step()
		}
		if r.IntN(2) == 0 { // the store is opened anew
			storetest.Close(t, w.st)
			if w.st, err = store.Open(t.Context(), dir, o); err != nil {
				t.Fatal(err)
			}
		}
		if r.IntN(2) == 0 {
			if err := w.st.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		spooling, err := w.st.Spool(t.Context()) // under way, in no backup
		if err != nil {
			t.Fatal(err)
		}
		if _, err := spooling.Write(make([]byte, 3<<20)); err != nil {
			t.Fatal(err)
		}
		s, file := take(t, w.st, base)
		spooling.Abort()
		base = s.ID
		files, contents = append(files, file), append(contents, content(t, w.st))
	}
	verify(t, files...)
	for i := range files {
		if got := content(t, restore(t, files[:i+1]...)); got != contents[i] {
			t.Errorf("restored from %d files: got %d bytes of content, want %d", i+1, len(got), len(contents[i]))
		}
	}
	storetest.Close(t, w.st)
}

// world does random things to a store.
type world struct {
	t        *testing.T
	st       *store.Store
	r        *rand.Rand
	n        int
	accounts []store.AccountID
}

func (w *world) account() {
	id, err := w.st.CreateAccount(w.t.Context(), store.Quota{LimitBytes: 1 << 30}, func(id store.AccountID) []store.DocOp {
		return []store.DocOp{{Table: store.TableUser, Key: fmt.Sprintf("user%d@example.org", id), Value: []byte(fmt.Sprint(id))}}
	})
	w.must(err)
	w.accounts = append(w.accounts, id)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// mailbox picks one, with some of its messages.
func (w *world) mailbox(id store.AccountID) (store.Mailbox, []store.UID) {
	boxes, err := w.st.Mailboxes(w.t.Context(), id)
	w.must(err)
	boxes = slices.DeleteFunc(boxes, func(m store.Mailbox) bool { return m.NonExistent })
	m := boxes[w.r.IntN(len(boxes))]
	var uids []store.UID
	_, err = w.st.Entries(w.t.Context(), m.ID, 1, 0, func(e store.Entry) error {
		if w.r.IntN(3) == 0 {
			uids = append(uids, e.UID)
		}
		return nil
	})
	w.must(err)
	return m, uids
}

func (w *world) step() {
	ctx := w.t.Context()
	id := w.accounts[w.r.IntN(len(w.accounts))]
	m, uids := w.mailbox(id)
	w.n++
	var err error
	switch w.r.IntN(16) {
	case 0:
		if len(w.accounts) < 4 {
			w.account()
		}
	case 1:
		if len(w.accounts) > 2 {
			err = w.st.DeleteAccount(ctx, id, []store.DocOp{{Table: store.TableUser, Key: fmt.Sprintf("user%d@example.org", id)}})
			w.accounts = slices.DeleteFunc(w.accounts, func(a store.AccountID) bool { return a == id })
		}
	case 2:
		_, err = w.st.CreateMailbox(ctx, id, fmt.Sprintf("Box/%d", w.r.IntN(5)), "")
	case 3:
		err = w.st.DeleteMailbox(ctx, id, m.Name)
	case 4:
		err = w.st.RenameMailbox(ctx, id, m.Name, fmt.Sprintf("New/%d", w.r.IntN(5)))
	case 5, 6:
		_, _, err = w.st.Expunge(ctx, m.ID, uids, false)
	case 7, 8:
		_, err = w.st.ChangeFlags(ctx, m.ID, uids, store.FlagChange{Op: store.FlagOp(w.r.IntN(3)),
			Flags: store.Flags{System: store.SystemFlags(w.r.IntN(32)), Keywords: []string{fmt.Sprint("k", w.r.IntN(3))}}})
	case 9:
		to, _ := w.mailbox(w.accounts[w.r.IntN(len(w.accounts))])
		_, err = w.st.Copy(ctx, m.ID, uids, to.ID, store.FlagMask{})
	case 10:
		to, _ := w.mailbox(id)
		_, err = w.st.Move(ctx, m.ID, uids, to.ID, store.FlagMask{})
	case 11:
		err = w.st.UpdateDocs(ctx, store.DocOp{Table: store.TableSetting, Key: fmt.Sprint("key", w.r.IntN(4)),
			Value: bytes.Repeat([]byte("v"), w.r.IntN(2)*w.r.IntN(100_000))})
	case 12:
		var body *store.SpooledBody
		body, err = w.st.Spool(ctx)
		w.must(err)
		_, err = fmt.Fprintf(body, "Subject: queued %d\r\n\r\n", w.n)
		w.must(err)
		_, err = w.st.Deliver(ctx, store.Delivery{Body: body, Queue: []store.QueueEntry{{Recipient: "a@example.net",
			Created: time.UnixMilli(int64(w.n)), Due: time.UnixMilli(int64(w.n))}}})
	case 13:
		_, err = w.st.QueueDue(ctx, time.Now(), 1, func(q store.QueueEntry) error {
			return w.st.QueueUpdate(ctx, store.QueueChange{ID: q.ID})
		})
	default:
		size := []int{100, 5000, 60_000, 700_000}[w.r.IntN(4)]
		deliver(w.t, w.st, id, m.Name, w.n, size, store.Flags{System: store.SystemFlags(w.r.IntN(32)), Keywords: []string{"$Work"}})
	}
	for _, fine := range []error{store.ErrExists, store.ErrInbox, store.ErrHasChildren, store.ErrBadName} {
		if errors.Is(err, fine) {
			err = nil
		}
	}
	w.must(err)
}

// TestSkippedIDs wants nothing that was given out after the backup to be given
// out again by the restored store.
func TestSkippedIDs(t *testing.T) {
	ctx := t.Context()
	st := storetest.New(t)
	w := &world{t: t, st: st, r: rand.New(rand.NewPCG(1, 2))}
	w.account()
	id := w.accounts[0]
	deliver(t, st, id, "INBOX", 1, 1000, store.Flags{})
	_, file := take(t, st, "")
	deliver(t, st, id, "INBOX", 2, 1000, store.Flags{})
	last := func(st *store.Store) (store.Mailbox, store.Entry) {
		inbox, err := st.MailboxByName(ctx, id, "INBOX")
		w.must(err)
		var last store.Entry
		_, err = st.Entries(ctx, inbox.ID, 1, 0, func(e store.Entry) error { last = e; return nil })
		w.must(err)
		return inbox, last
	}
	before, seen := last(st)
	var validity uint32 // of many made at once, it is ahead of the time
	for n := range 100 {
		m, err := st.CreateMailbox(ctx, id, fmt.Sprintf("New %d", 100-n), "")
		w.must(err)
		validity = max(validity, m.UIDValidity)
	}
	again := restore(t, file)
	if m, err := again.CreateMailbox(ctx, id, "New 1", ""); err != nil || m.UIDValidity <= validity {
		t.Errorf("UIDVALIDITY %d after %d, %v", m.UIDValidity, validity, err)
	}
	if _, err := again.ChangesSince(ctx, before.ID, before.HighestModSeq); !errors.Is(err, store.ErrCannotCalculateChanges) {
		t.Errorf("changes of a mailbox since before: %v", err)
	}
	if _, err := again.AccountChangesSince(ctx, id, before.HighestModSeq, 0); !errors.Is(err, store.ErrCannotCalculateChanges) {
		t.Errorf("changes of an account since before: %v", err)
	}
	deliver(t, again, id, "INBOX", 3, 1000, store.Flags{})
	after, e := last(again)
	if after.UIDValidity != before.UIDValidity || e.UID <= seen.UID || e.ModSeq <= seen.ModSeq || e.Email <= seen.Email || e.Blob <= seen.Blob || e.Thread <= seen.Thread {
		t.Errorf("before %+v\nafter %+v", seen, e)
	}
	if _, err := again.ChangesSince(ctx, after.ID, after.HighestModSeq-1); err != nil {
		t.Errorf("changes since the restore: %v", err)
	}
}

func TestDamage(t *testing.T) {
	st := storetest.New(t)
	w := &world{t: t, st: st, r: rand.New(rand.NewPCG(1, 2))}
	w.account()
	for n := range 20 {
		deliver(t, st, w.accounts[0], "INBOX", n, 20_000, store.Flags{})
	}
	_, file := take(t, st, "")
	read := func(b []byte) error {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = Verify(context.Background(), r, func(store.Problem) {})
		return err
	}
	if err := read(file); err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut < len(file); cut += 1 + cut/16 {
		if err := read(file[:cut]); !errors.Is(err, ErrCut) && !errors.Is(err, ErrNotBackup) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	for at := 0; at < len(file); at += 1 + at/64 {
		bad := bytes.Clone(file)
		bad[at] ^= 0x10
		if err := read(bad); err == nil {
			t.Errorf("byte %d changed: not noticed", at)
		}
	}
	if err := read(append(bytes.Clone(file), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestChainErrors(t *testing.T) {
	st := storetest.New(t)
	w := &world{t: t, st: st, r: rand.New(rand.NewPCG(1, 2))}
	w.account()
	full, file := take(t, st, "")
	w.step()
	first, file1 := take(t, st, full.ID)
	_, file2 := take(t, st, first.ID)
	for name, files := range map[string][][]byte{
		"no full": {file1}, "gap": {file, file2}, "order": {file, file2, file1}, "two full": {file, file}, "none": {},
	} {
		var headers []Header
		for _, f := range files {
			h, in, err := PeekHeader(bytes.NewReader(f))
			w.must(err)
			if all, err := io.ReadAll(in); err != nil || !bytes.Equal(all, f) {
				t.Errorf("after the header: %d of %d bytes, %v", len(all), len(f), err)
			}
			headers = append(headers, h)
		}
		order, err := Order(headers)
		if name == "order" && (err != nil || !slices.Equal(order, []int{0, 2, 1})) || name != "order" && !errors.Is(err, ErrChain) {
			t.Errorf("%s: order %v, %v", name, order, err)
		}
		l, err := store.NewLoader(filepath.Join(t.TempDir(), "store"), store.Options{Small: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := Restore(t.Context(), l, Readers(readers(t, files...)...)); !errors.Is(err, ErrChain) {
			t.Errorf("%s: %v", name, err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Write(t.Context(), st, io.Discard, Options{Base: "unknown"}); !errors.Is(err, ErrUnknownBase) {
		t.Errorf("unknown base: %v", err)
	}
	// Several in one stream.
	dir := filepath.Join(t.TempDir(), "store")
	l, err := store.NewLoader(dir, store.Options{Small: true})
	w.must(err)
	err = Restore(t.Context(), l, Sequence(bytes.NewReader(slices.Concat(file, file1, file2))))
	w.must(errors.Join(err, l.Close()))
	if got := content(t, storetest.Open(t, dir, store.Options{Small: true})); got != content(t, st) {
		t.Error("restored otherwise from one stream")
	}
	// A restored store does not know the backups it was made from.
	again := restore(t, file, file1, file2)
	if _, err := Write(t.Context(), again, io.Discard, Options{Base: first.ID}); !errors.Is(err, ErrUnknownBase) {
		t.Errorf("base of the store before: %v", err)
	}
}

func TestEncryption(t *testing.T) {
	st := storetest.New(t)
	w := &world{t: t, st: st, r: rand.New(rand.NewPCG(1, 2))}
	w.account()
	id, err := age.GenerateX25519Identity()
	w.must(err)
	var file bytes.Buffer
	out, err := Encrypt(&file, id.Recipient())
	w.must(err)
	_, err = Write(t.Context(), st, out, Options{})
	w.must(errors.Join(err, out.Close()))
	if _, err := Decrypt(bytes.NewReader(file.Bytes())); err == nil {
		t.Error("read without identity")
	}
	in, err := Decrypt(bytes.NewReader(file.Bytes()), id)
	w.must(err)
	plain, err := io.ReadAll(in)
	w.must(err)
	for _, f := range [][]byte{plain, file.Bytes()} {
		in, err := Decrypt(bytes.NewReader(f), id)
		w.must(err)
		r, err := NewReader(in)
		w.must(err)
		defer r.Close()
		_, err = Verify(t.Context(), r, func(store.Problem) {})
		w.must(err)
	}
	if _, err := NewReader(bytes.NewReader(file.Bytes())); !errors.Is(err, ErrNotBackup) {
		t.Errorf("encrypted file read as plain: %v", err)
	}
}

// FuzzReader reads what is not a backup, or a damaged one.
func FuzzReader(f *testing.F) {
	st := storetest.New(f)
	id, err := st.CreateAccount(f.Context(), store.Quota{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	deliver(f, st, id, "INBOX", 1, 1000, store.Flags{})
	s, full := take(f, st, "")
	_, increment := take(f, st, s.ID)
	f.Add(full)
	f.Add(increment)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		defer r.Close()
		if tr, err := Verify(t.Context(), r, func(store.Problem) {}); (tr == nil) == (err == nil) {
			t.Errorf("trailer %v, error %v", tr, err)
		}
	})
}
