package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// chain hands ops over that come right after each other, and waits for them.
func chain(t testing.TB, s *Store, ops []op) {
	t.Helper()
	ctx := context.Background()
	list := make([]*request, len(ops))
	for i, o := range ops {
		list[i] = newRequest(ctx, o)
		if i > 0 {
			list[i-1].then = list[i]
		}
	}
	if err := s.hand(ctx, list[0]); err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if out := <-r.reply; out.err != nil {
			t.Fatal(out.err)
		}
	}
}

// An account with as many mailboxes as there may be can be renamed and removed
// in one transaction each.
func TestAsManyMailboxesAsThereMayBe(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, filepath.Join(t.TempDir(), "store"), Options{}) // with the box's own transactions
	if err != nil {
		t.Fatal(err)
	}
	defer closeChecked(t, s)
	acct := newAccount(t, s)
	boxes, err := s.Mailboxes(ctx, acct)
	if err != nil {
		t.Fatal(err)
	}
	var ops []op
	for i := range maxMailboxes - len(boxes) {
		name := "Old"
		if i > 0 {
			name = fmt.Sprintf("Old/%05d %s", i, strings.Repeat("x", 40))
		}
		ops = append(ops, createMailboxOp{acct, name, "", s.now()}, subscribeOp{acct, name, true, s.now()})
	}
	chain(t, s, ops)
	if _, err := s.CreateMailbox(ctx, acct, "One more", ""); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if err := s.RenameMailbox(ctx, acct, "Old", "Older"); err != nil {
		t.Errorf("rename: %v", err)
	}
	r := deliver(t, s, message(1, 300), Placement{Account: acct, Name: "Older", Flags: Flags{Keywords: []string{"work"}}})
	if err := s.DeleteAccount(ctx, acct, nil); err != nil {
		t.Fatalf("delete: %v", err)
	}
	for what, err := range map[string]error{
		"account": second(s.Quota(ctx, acct)), "list": second(s.Mailboxes(ctx, acct)), "name": second(s.MailboxByName(ctx, acct, inbox)),
		"mailbox": second(s.Mailbox(ctx, r.Placed[0].Mailbox)), "mail": second(tryDeliver(s, message(2, 300), Placement{Account: acct})),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	report, err := s.Check(ctx, CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems { // while the rows are cleared away
		t.Errorf("%s: %s", p.Where, p.What)
	}
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	for table := tableAccount; table <= tableLast; table++ {
		if rows, err := s.keys([]byte{table}, 10); err != nil || len(rows) != 0 {
			t.Errorf("table %x has %d rows left (%v)", table, len(rows), err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A message comes back though its mailbox can take none of its keywords.
func TestUndeleteWithoutRoomForKeywords(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	acct := newAccount(t, s)
	word := func(n int) string { return fmt.Sprintf("word%03d", n) }
	in := deliver(t, s, message(1, 300), Placement{Account: acct, Flags: Flags{System: Seen, Keywords: []string{word(3), "gone"}}}).Placed[0]
	if _, _, err := s.Expunge(ctx, in.Mailbox, []UID{in.UID}, false); err != nil {
		t.Fatal(err)
	}
	var all []string
	for n := range maxKeywords {
		all = append(all, word(n))
	}
	deliver(t, s, message(2, 300), Placement{Account: acct, Flags: Flags{Keywords: all}})
	var ids []ExpungedID
	if err := s.Expunged(ctx, acct, s.now().AddDate(-1, 0, 0), func(x Expunged) error { ids = append(ids, x.ID); return nil }); err != nil {
		t.Fatal(err)
	}
	placed, err := s.Undelete(ctx, acct, ids, "", false)
	if err != nil || len(placed) != 1 {
		t.Fatalf("undelete: %v %v", placed, err)
	}
	e, err := s.EntriesOf(ctx, in.Mailbox, []UID{placed[0].UID})
	if err != nil || len(e) != 1 || e[0].Flags.System != Seen || !slices.Equal(e[0].Flags.Keywords, []string{word(3)}) {
		t.Errorf("it is %+v, %v", e, err)
	}
}

// Flags that are not to come along are not in the mailbox for a moment either:
// nobody is told of them, and they take no room there.
func TestCopyWithoutFlags(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	acct := newAccount(t, s)
	in := deliver(t, s, message(1, 300), Placement{Account: acct, Flags: Flags{System: Seen | Flagged, Keywords: []string{"other"}}}).Placed[0]
	var all []string
	for n := range maxKeywords {
		all = append(all, fmt.Sprintf("word%03d", n))
	}
	to := deliver(t, s, message(2, 300), Placement{Account: acct, Name: "Archive", Flags: Flags{Keywords: all}}).Placed[0].Mailbox
	w := s.Watch(acct)
	defer w.Close()
	for _, do := range []func(context.Context, MailboxID, []UID, MailboxID, FlagMask) (CopyResult, error){s.Copy, s.Move} {
		r, err := do(ctx, in.Mailbox, []UID{in.UID}, to, FlagMask{System: Seen, Keywords: true})
		if err != nil {
			t.Fatal(err)
		}
		ev := <-w.C
		if ev.Kind != EventNew || len(ev.Entries) != 1 || ev.Entries[0].Flags.System != Flagged || len(ev.Entries[0].Flags.Keywords) != 0 {
			t.Errorf("told of %+v", ev)
		}
		if e, err := s.EntriesOf(ctx, to, r.To); err != nil || len(e) != 1 || e[0].ModSeq != ev.ModSeq {
			t.Errorf("it is %+v, %v", e, err)
		}
	}
	if ev := <-w.C; ev.Kind != EventExpunged {
		t.Errorf("told of %+v", ev)
	}
	if len(w.C) != 0 {
		t.Errorf("told of %d things more", len(w.C))
	}
}

func TestFlagsThatAreKept(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	acct := newAccount(t, s)
	in := deliver(t, s, message(1, 300), Placement{Account: acct, Flags: Flags{System: Deleted | Draft, Keywords: []string{"old"}}}).Placed[0]
	for _, c := range []struct {
		to   Flags
		keep FlagMask
		want Flags
	}{
		{Flags{System: Seen}, FlagMask{System: Deleted | Flagged, Keywords: true}, Flags{System: Seen | Deleted, Keywords: []string{"old"}}},
		{Flags{Keywords: []string{"new"}}, FlagMask{System: Seen}, Flags{System: Seen, Keywords: []string{"new"}}},
	} {
		r, err := s.ChangeFlags(ctx, in.Mailbox, []UID{in.UID}, FlagChange{Op: FlagsSet, Flags: c.to, Keep: c.keep})
		if err != nil || len(r.Changed) != 1 || r.Changed[0].Flags.System != c.want.System || !slices.Equal(r.Changed[0].Flags.Keywords, c.want.Keywords) {
			t.Errorf("%+v, %v, want %+v", r.Changed, err, c.want)
		}
	}
}

// A scan sees what an op and those before it changed, whether Badger has it or not.
func TestStageScans(t *testing.T) {
	s := open(t, Options{})
	row := func(n byte) []byte { return []byte{tableMeta, 'x', n} }
	put := func(st *stage, n byte) { st.put(row(n), []byte{recordVersion, n}) }
	seen := func(st *stage, upTo byte) (out []byte) {
		err := st.scan(row(0)[:2], func(k, val []byte) error {
			if k[2] != val[1] {
				t.Errorf("row %d has value %d", k[2], val[1])
			}
			out = append(out, k[2])
			st.del(k) // what it does meanwhile is not seen
			put(st, k[2]+1)
			if k[2] == upTo {
				return errStop
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return out
	}
	damage(t, s, func(st *stage) {
		for _, n := range []byte{10, 20, 30, 40} {
			put(st, n)
		}
	})
	look := func(want []byte, upTo byte) op {
		return rawOp(func(st *stage) {
			put(st, 5)
			put(st, 35)
			st.put(row(20), []byte{recordVersion, 20})
			st.del(row(40))
			put(st, 50)
			if got := seen(st, upTo); !slices.Equal(got, want) {
				t.Errorf("seen %v, want %v", got, want)
			}
			clear(st.writes) // nothing of it stays
		})
	}
	chain(t, s, []op{
		look([]byte{5, 10, 20, 30, 35, 50}, 0),
		rawOp(func(st *stage) { st.del(row(10)); put(st, 25); put(st, 60) }), // in the open batch
		look([]byte{5, 20, 25, 30, 35, 50, 60}, 0),
		look([]byte{5, 20, 25}, 25), // stops at a row that is not in Badger
		look([]byte{5, 20, 25, 30}, 30),
		look([]byte{5, 20, 25, 30, 35, 50, 60}, 60),
		rawOp(func(st *stage) {
			for _, n := range []byte{20, 25, 30, 40, 60} {
				st.del(row(n))
			}
		}),
	})
}

func TestDocumentWithAKeyTooLong(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	for n, want := range map[int]error{maxDocKey: nil, maxDocKey + 1: ErrTooMany, 70000: ErrTooMany} {
		err := s.UpdateDocs(ctx, DocOp{Table: TableEvent, Key: strings.Repeat("k", n), Value: []byte("v")})
		if !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", n, err, want)
		}
	}
	if err := s.Accepting(); err != nil {
		t.Errorf("the store is %v", err)
	}
}
