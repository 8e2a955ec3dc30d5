package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// index stands in for the MIME index, which the store does not look into.
type index struct{ size int64 }

func (x *index) Write(p []byte) (int, error) { x.size += int64(len(p)); return len(p), nil }
func (x *index) Facts() (store.Facts, error) { return store.Facts{Size: x.size}, nil }

// maildirTree makes a Maildir++ with n messages in three folders.
func maildirTree(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		folder := []string{".", ".Sent Items", ".Work.2026"}[i%3]
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(dir, folder, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		name := filepath.Join(dir, folder, "cur", fmt.Sprintf("%d.M%d.host:2,S", 1700000000+i, i))
		if err := os.WriteFile(name, fmt.Appendf(nil, "Subject: %d\n\n%s\n", i, strings.Repeat("x", i*17)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestThereAndBack(t *testing.T) {
	st := storetest.New(t)
	id, err := st.CreateAccount(t.Context(), store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const n = 200
	dir := maildirTree(t, n)
	receive := func() *Result {
		t.Helper()
		r, w := io.Pipe()
		var passed, total int64
		go func() {
			w.CloseWithError(Send(t.Context(), w, dir, Maildir, func(done, all int64) { passed, total = done, all }))
		}()
		im := &Import{Store: st, NewIndex: func() Indexer { return &index{} }, Account: id}
		res, err := im.Receive(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r) // the sender ends when all is taken
		if passed != total || total == 0 {
			t.Errorf("progress %d of %d", passed, total)
		}
		return res
	}
	if res := receive(); res.Imported != n || res.Failed != 0 {
		t.Fatalf("%+v", res)
	}
	if res := receive(); res.Imported != 0 || res.Skipped != n {
		t.Errorf("a second run: %+v", res)
	}
	boxes, err := st.Mailboxes(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]uint32{}
	for _, m := range boxes {
		count[m.Name] = m.Messages
	}
	if count["INBOX"] != 67 || count["Sent"] != 67 || count["Work/2026"] != 66 {
		t.Errorf("messages in mailboxes: %v", count)
	}
	for _, f := range []Format{Mbox, Maildir, EML} {
		r, w := io.Pipe()
		go func() { w.CloseWithError(SendMailboxes(t.Context(), w, st, id, "")) }()
		out := filepath.Join(t.TempDir(), "out")
		res, err := (&Export{}).Receive(t.Context(), r, out, f)
		if err != nil || res.Imported != n || res.Failed != 0 {
			t.Errorf("%s: %+v, %v", f, res, err)
		}
		back, err := st.CreateAccount(t.Context(), store.Quota{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		im := &Import{Store: st, NewIndex: func() Indexer { return &index{} }, Account: back}
		if res, err := im.Run(t.Context(), out, f); err != nil || res.Imported != n {
			t.Errorf("%s back: %+v, %v", f, res, err)
		}
	}
	var b bytes.Buffer
	if err := SendMailboxes(t.Context(), &b, st, id, "None"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a mailbox that is not there: %v", err)
	}
}

// An account with very many mailboxes, and with names that no file can have, is
// taken out and comes back.
func TestManyMailboxesAndLongNames(t *testing.T) {
	st := storetest.New(t)
	id, err := st.CreateAccount(t.Context(), store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"A", "A.mbox", "A.mbox/B", strings.Repeat("ü", 120), strings.Repeat("ü", 120) + "/" + strings.Repeat("ß", 125), strings.Repeat("ü", 121)}
	for i := range 250 {
		names = append(names, fmt.Sprintf("%s/%03d", strings.Repeat(strings.Repeat("<&>", 80)+"/", 4)[:950], i))
	}
	for _, name := range names {
		if _, err := st.CreateMailbox(t.Context(), id, name, ""); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}
	im := &Import{Store: st, NewIndex: func() Indexer { return &index{} }, Account: id}
	src := t.TempDir()
	for i, name := range names[:6] {
		path := filepath.Join(append([]string{src}, strings.Split(name, "/")...)...)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "m.eml"), fmt.Appendf(nil, "Subject: %d\n\nx\n", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if res, err := im.Run(t.Context(), src, EML); err != nil || res.Imported != 6 {
		t.Fatalf("%+v, %v", res, err)
	}
	for _, f := range []Format{Mbox, Maildir, EML} {
		r, w := io.Pipe()
		go func() { w.CloseWithError(SendMailboxes(t.Context(), w, st, id, "")) }()
		out := filepath.Join(t.TempDir(), "out")
		res, err := (&Export{}).Receive(t.Context(), r, out, f)
		_ = r.Close()
		if err != nil || res.Imported != 6 || res.Failed != 0 {
			t.Errorf("%s: %+v, %v", f, res, err)
			continue
		}
		back, err := st.CreateAccount(t.Context(), store.Quota{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		im := &Import{Store: st, NewIndex: func() Indexer { return &index{} }, Account: back}
		if res, err := im.Run(t.Context(), out, f); err != nil || res.Imported != 6 || res.Failed != 0 {
			t.Errorf("%s back: %+v, %v", f, res, err)
		}
	}
}

func TestBrokenMessagesAreTold(t *testing.T) {
	var b bytes.Buffer
	s := newStreamWriter(&b)
	for _, err := range []error{
		s.frame(frame{Version: streamVersion}),
		s.message(head{Where: "first"}, io.MultiReader(strings.NewReader("half"), failing{})),
		s.frame(frame{Broken: "permission denied", Where: "second"}),
		s.message(head{Where: "third"}, strings.NewReader("Subject: whole\r\n\r\nx")),
		s.frame(frame{End: true}), s.w.Flush(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	st := storetest.New(t)
	id, err := st.CreateAccount(t.Context(), store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	im := &Import{Store: st, NewIndex: func() Indexer { return &index{} }, Account: id}
	res, err := im.Receive(t.Context(), bytes.NewReader(whole))
	if err != nil || res.Imported != 1 || res.Failed != 2 || res.Broken[0].Where != "first" || res.Broken[1].Where != "second" {
		t.Errorf("%+v, %v", res, err)
	}
	for i := range whole {
		if _, err := im.Receive(t.Context(), bytes.NewReader(whole[:i])); !errors.Is(err, ErrStream) {
			t.Errorf("cut to %d of %d octets: %v", i, len(whole), err)
		}
	}
}

// expunging loses the first body that is asked for, as when a message is expunged
// while mail is taken out.
type expunging struct {
	*store.Store
	lost bool
}

func (s *expunging) OpenBody(ctx context.Context, id store.BlobID) (store.Body, error) {
	if !s.lost {
		s.lost = true
		return nil, store.ErrNotFound
	}
	return s.Store.OpenBody(ctx, id)
}

func TestExpungedMeanwhile(t *testing.T) {
	st := storetest.New(t)
	id, err := st.CreateAccount(t.Context(), store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	im := &Import{Store: st, NewIndex: func() Indexer { return &index{} }, Account: id}
	if _, err := im.Run(t.Context(), maildirTree(t, 9), Maildir); err != nil {
		t.Fatal(err)
	}
	res, err := (&Export{Store: &expunging{Store: st}, Account: id}).Run(t.Context(), t.TempDir(), EML)
	if err != nil || res.Imported != 8 || res.Failed != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	var b bytes.Buffer
	if err := SendMailboxes(t.Context(), &b, &expunging{Store: st}, id, ""); err != nil {
		t.Fatal(err)
	}
	res, err = (&Export{}).Receive(t.Context(), &b, t.TempDir(), EML)
	if err != nil || res.Imported != 8 || res.Failed != 1 {
		t.Errorf("by a stream: %+v, %v", res, err)
	}
}

// What one folder or message is marked with must not keep the others out.
func TestOddNamesAndKeywords(t *testing.T) {
	st := storetest.New(t)
	id, err := st.CreateAccount(t.Context(), store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, strings.Repeat("ä", 126), "1.eml"), "Subject: too long a name\n\n")
	write(t, filepath.Join(dir, "Sub", "0.eml"), "X-Keywords: "+strings.Repeat("k", 300)+"\n\n")
	for i := range 120 { // two hundred are what a mailbox takes
		write(t, filepath.Join(dir, "Sub", fmt.Sprintf("%d.eml", 1+i)), fmt.Sprintf("Subject: %d\nX-Keywords: a%d b%d\n\n", i, i, i))
	}
	im := &Import{Store: st, NewIndex: func() Indexer { return &index{} }, Account: id, Into: "inbox"}
	res, err := im.Run(t.Context(), dir, EML)
	if err != nil || res.Imported != 121 || res.Failed != 1 || res.Unmarked != 21 || !errors.Is(res.Broken[0].Err, store.ErrBadName) {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err := im.Run(t.Context(), dir, EML); err != nil || res.Imported != 0 || res.Skipped != 121 {
		t.Errorf("a second run: %+v, %v", res, err)
	}
	box, err := st.MailboxByName(t.Context(), id, "INBOX/Sub")
	if err != nil || box.Messages != 121 || len(box.Keywords) != 200 {
		t.Errorf("%d messages, %d keywords, %v", box.Messages, len(box.Keywords), err)
	}
	im.Into = "a//b"
	if res, err := im.Run(t.Context(), dir, EML); res != nil || !errors.Is(err, store.ErrBadName) {
		t.Errorf("into a//b: %+v, %v", res, err)
	}
	var b bytes.Buffer
	if err := SendMailboxes(t.Context(), &b, st, id, "Inbox/Sub"); err != nil {
		t.Errorf("a name in other case: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("input/output error") }

func FuzzReceive(f *testing.F) {
	f.Add([]byte("{\"version\":1}\n{\"message\":{\"folder\":\"a\"}}\n\x00\x00\x00\x01x\x00\x00\x00\x00{\"end\":true}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := newStreamReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		_ = streamed{s}.walk(context.Background(), func(m *Message) error {
			_, _ = io.Copy(io.Discard, m.Body)
			return nil
		}, func(string, error) error { return nil })
	})
}
