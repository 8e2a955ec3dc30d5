package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// mail writes down an account's messages by mailbox: text, flags, date.
func mail(t testing.TB, st *store.Store, id store.AccountID) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	boxes, err := st.Mailboxes(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range boxes {
		_, err := st.Entries(t.Context(), m.ID, 1, 0, func(e store.Entry) error {
			body, err := st.OpenBody(t.Context(), e.Blob)
			if err != nil {
				return err
			}
			defer body.Close()
			text, err := io.ReadAll(body)
			facts := ""
			ferr := st.Facts(t.Context(), []store.BlobID{e.Blob}, store.WantHeader, func(_ int, f *store.Facts) error {
				facts = fmt.Sprintf("%s %s %q", f.MessageID, f.Subject, f.Header)
				return nil
			})
			out[m.Name] = append(out[m.Name], fmt.Sprintf("%v %v %s\n%s", e.Flags, e.InternalDate, facts, text))
			return errors.Join(err, ferr)
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(out[m.Name])
	}
	return out
}

// part restores a part of a chain.
func part(t testing.TB, st *store.Store, p Part, files ...[]byte) PartReport {
	t.Helper()
	// It goes by an extract, which a store elsewhere would be sent.
	var small bytes.Buffer
	if _, err := Extract(t.Context(), &small, p.Selection, readers(t, files...)...); err != nil {
		t.Fatal(err)
	}
	verify(t, small.Bytes())
	report, err := RestorePart(t.Context(), st, p, readers(t, small.Bytes())...)
	if err != nil {
		t.Fatal(err)
	}
	again, err := RestorePart(t.Context(), st, p, readers(t, files...)...)
	if err != nil || again.Restored != 0 || again.There != report.There+report.Restored {
		t.Errorf("from the whole: %+v, %v", again, err)
	}
	for _, p := range report.Problems {
		t.Errorf("%s: %s", p.Where, p.What)
	}
	return report
}

func TestPart(t *testing.T) {
	ctx := t.Context()
	st := storetest.New(t)
	w := &world{t: t, st: st, r: rand.New(rand.NewPCG(7, 7))}
	w.account()
	w.account()
	ann, bob := w.accounts[0], w.accounts[1]
	flags := store.Flags{System: store.Seen | store.Flagged, Keywords: []string{"$Work"}}
	for n := range 30 {
		box := []string{"INBOX", "Work", "Work/May"}[n%3]
		deliver(t, st, ann, box, n, 1000+n*7000, flags)
		deliver(t, st, bob, box, n, 1000+n*7000, store.Flags{})
	}
	full, file := take(t, st, "")
	// Between the backups: a mailbox renamed, one deleted, flags, a new message, expunged ones.
	w.must(st.RenameMailbox(ctx, ann, "Work/May", "Work/June"))
	inbox, err := st.MailboxByName(ctx, ann, "INBOX")
	w.must(err)
	_, _, err = st.Expunge(ctx, inbox.ID, []store.UID{1, 2}, false)
	w.must(err)
	_, err = st.ChangeFlags(ctx, inbox.ID, []store.UID{3}, store.FlagChange{Op: store.FlagsAdd, Flags: store.Flags{Keywords: []string{"later"}}})
	w.must(err)
	deliver(t, st, ann, "Work", 100, 900_000, store.Flags{})
	_, file1 := take(t, st, full.ID)
	want := mail(t, st, ann)
	before := mail(t, st, bob)

	// Nothing is doubled where all is there.
	p := Part{Selection: Selection{Address: fmt.Sprintf("User%d@example.org", ann)}, To: ann}
	if got := part(t, st, p, file, file1); got.Restored != 0 || got.There != 29 {
		t.Errorf("nothing lost: %+v", got)
	}
	// A mailbox is lost, with what is below it.
	w.must(st.DeleteMailbox(ctx, ann, "Work/June"))
	w.must(st.DeleteMailbox(ctx, ann, "Work"))
	p.Mailbox = "Work"
	if got := part(t, st, p, file, file1); got.Restored != 21 || got.There != 0 {
		t.Errorf("mailbox lost: %+v", got)
	}
	if got := mail(t, st, ann); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("mailboxes came back otherwise than they were")
	}
	// One message, from before the increment, by UID and by Message-ID.
	p.Mailbox, p.UID = "inbox", 1
	if got := part(t, st, p, file); got.Restored != 1 {
		t.Errorf("message by UID: %+v", got)
	}
	p.UID, p.MessageID = 0, "3@example.org"
	if got := part(t, st, p, file); got.Restored != 1 {
		t.Errorf("message by Message-ID: %+v", got)
	}
	if got := mail(t, st, ann)["INBOX"]; len(got) != 10 || !strings.Contains(strings.Join(got, ""), "number 3\r\n") {
		t.Errorf("%d messages in INBOX", len(got))
	}
	// The account is lost, and made anew elsewhere, below a mailbox.
	w.must(st.DeleteAccount(ctx, ann, nil))
	other := storetest.New(t)
	again, err := other.CreateAccount(ctx, store.Quota{LimitBytes: 1000}, nil)
	w.must(err)
	p = Part{Selection: Selection{Address: p.Address}, To: again, Under: "inbox/Restored"}
	if got := part(t, other, p, file, file1); got.Restored != 29 {
		t.Errorf("account: %+v", got)
	}
	got := mail(t, other, again)
	for name, messages := range want {
		if !slices.Equal(got["INBOX/Restored/"+name], messages) {
			t.Errorf("%s came back otherwise than it was", name)
		}
	}
	if got := part(t, other, p, file, file1); got.Restored != 0 || got.There != 29 {
		t.Errorf("second run: %+v", got)
	}
	if fmt.Sprint(mail(t, st, bob)) != fmt.Sprint(before) {
		t.Error("somebody else's mail changed")
	}
	for name, p := range map[string]Part{
		"account": {Selection{Address: "nobody@example.org"}, bob, "", nil},
		"mailbox": {Selection{Address: p.Address, Mailbox: "Wor"}, bob, "", nil},
		"message": {Selection{Address: p.Address, Mailbox: "INBOX", UID: 99}, bob, "", nil},
		"id":      {Selection{Address: p.Address, MessageID: "none@example.org"}, bob, "", nil},
		"gone":    {Selection{Address: p.Address, Mailbox: "INBOX", UID: 2}, bob, "", nil},
	} {
		if _, err := RestorePart(ctx, st, p, readers(t, file, file1)...); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s that is not there: %v", name, err)
		}
		if _, err := Extract(ctx, io.Discard, p.Selection, readers(t, file, file1)...); !errors.Is(err, ErrNotFound) {
			t.Errorf("extract of %s that is not there: %v", name, err)
		}
	}
}

// TestPartWithoutRoomForKeywords restores to a mailbox that has as many keywords
// as one can have.
func TestPartWithoutRoomForKeywords(t *testing.T) {
	st := storetest.New(t)
	w := &world{t: t, st: st, r: rand.New(rand.NewPCG(7, 7))}
	w.account()
	w.account()
	ann, bob := w.accounts[0], w.accounts[1]
	for n := range 3 {
		deliver(t, st, ann, "INBOX", n, 1000, store.Flags{System: store.Seen, Keywords: []string{"mine"}[:n%2]})
	}
	_, file := take(t, st, "")
	for n := range 200 {
		deliver(t, st, bob, "INBOX", 100+n, 100, store.Flags{Keywords: []string{fmt.Sprintf("theirs%d", n)}})
	}
	p := Part{Selection: Selection{Address: fmt.Sprintf("user%d@example.org", ann)}, To: bob}
	for restored := 3; restored >= 0; restored -= 3 {
		report, err := RestorePart(t.Context(), st, p, readers(t, file)...)
		if err != nil || report.Restored != restored || report.There != 3-restored || len(report.Problems) != restored/3 {
			t.Errorf("%+v, %v", report, err)
		}
	}
}
