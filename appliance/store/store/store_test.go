package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a clock that tests set.
type clock struct{ ns atomic.Int64 }

func newClock(t time.Time) *clock {
	c := &clock{}
	c.ns.Store(t.UnixNano())
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.ns.Load()).UTC() }

func (c *clock) add(d time.Duration) { c.ns.Add(int64(d)) }

func open(t testing.TB, o Options) *Store {
	t.Helper()
	return openDir(t, t.TempDir(), o)
}

func openDir(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	o.Small = true
	s, err := Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeChecked(t, s) })
	return s
}

// closeChecked checks a store in full and closes it.
func closeChecked(t testing.TB, s *Store) {
	t.Helper()
	r, err := s.Check(context.Background(), CheckOptions{Bodies: true})
	if errors.Is(err, ErrClosed) {
		return
	}
	if err != nil {
		t.Errorf("check: %v", err)
	} else {
		for _, p := range r.Problems {
			t.Errorf("check: %s: %s", p.Where, p.What)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func newAccount(t testing.TB, s *Store) AccountID {
	t.Helper()
	id, err := s.CreateAccount(context.Background(), Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func message(n, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: a@example.org\r\nTo: b@example.org\r\nMessage-ID: <%d@example.org>\r\nSubject: number %d\r\n\r\n", n, n)
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for b.Len() < size {
		fmt.Fprintf(&b, "line %d of words %x\r\n", b.Len(), r.Uint32())
	}
	return b.Bytes()
}

func deliver(t testing.TB, s *Store, body []byte, places ...Placement) Receipt {
	t.Helper()
	r, err := tryDeliver(s, body, places...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryDeliver(s *Store, body []byte, places ...Placement) (Receipt, error) {
	ctx := context.Background()
	sp, err := s.Spool(ctx)
	if err != nil {
		return Receipt{}, err
	}
	defer sp.Abort()
	if _, err := sp.Write(body); err != nil {
		return Receipt{}, err
	}
	return s.Deliver(ctx, Delivery{Body: sp, Placements: places, Facts: Facts{
		Size: int64(len(body)), MessageID: fmt.Sprintf("%d@example.org", len(body)), Header: body[:bytes.Index(body, []byte("\r\n\r\n"))+4],
		Index: []byte("index"), Preview: "line",
	}})
}

func TestFirstSteps(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openDir(t, dir, Options{})
	acct := newAccount(t, s)
	boxes, err := s.Mailboxes(ctx, acct)
	if err != nil {
		t.Fatal(err)
	}
	if len(boxes) != 6 {
		t.Fatalf("mailboxes: %+v", boxes)
	}
	w := s.Watch(acct)
	defer w.Close()
	for _, size := range []int{100, 4 << 10, 300 << 10, 3 << 20} {
		body := message(size, size)
		r := deliver(t, s, body, Placement{Account: acct, Flags: Flags{Keywords: []string{"$Junk"}}})
		got, err := s.OpenBody(ctx, r.Blob)
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(got)
		if err != nil || !bytes.Equal(all, body) {
			t.Fatalf("size %d: body differs (%d bytes): %v", size, len(all), err)
		}
		if e := <-w.C; e.Kind != EventNew || len(e.Entries) != 1 {
			t.Fatalf("event %+v", e)
		}
		err = s.Facts(ctx, []BlobID{r.Blob}, WantHeader|WantIndex, func(i int, f *Facts) error {
			if f.Size != int64(len(body)) || !bytes.HasPrefix(body, f.Header) || len(f.Header) < 50 || string(f.Index) != "index" {
				t.Fatalf("facts %+v", f)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	in, err := s.MailboxByName(ctx, acct, "inbox")
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.ChangeFlags(ctx, in.ID, []UID{1, 2, 9}, FlagChange{Op: FlagsAdd, Flags: Flags{System: Seen | Deleted}})
	if err != nil || len(res.Changed) != 2 {
		t.Fatalf("flags: %+v %v", res, err)
	}
	trash, err := s.MailboxByName(ctx, acct, "Trash")
	if err != nil {
		t.Fatal(err)
	}
	cp, err := s.Move(ctx, in.ID, []UID{3}, trash.ID, FlagMask{})
	if err != nil || len(cp.To) != 1 {
		t.Fatalf("move: %+v %v", cp, err)
	}
	gone, seq, err := s.Expunge(ctx, in.ID, []UID{1, 2, 4}, true)
	if err != nil || len(gone) != 2 {
		t.Fatalf("expunge: %v %v", gone, err)
	}
	ch, err := s.ChangesSince(ctx, in.ID, in.HighestModSeq)
	if err != nil || fmt.Sprint(ch.Vanished) != "[1 2 3]" || ch.HighestModSeq != seq {
		t.Fatalf("changes: %+v %v", ch, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openDir(t, dir, Options{})
	box, err := s.Entries(ctx, in.ID, 1, 0, func(e Entry) error {
		if e.UID != 4 || len(e.Flags.Keywords) != 1 {
			t.Errorf("entry %+v", e)
		}
		return nil
	})
	if err != nil || box.Messages != 1 || box.UIDNext != 5 {
		t.Fatalf("%+v %v", box, err)
	}
}

func TestParallelDelivery(t *testing.T) {
	s := open(t, Options{})
	acct := newAccount(t, s)
	const sessions, each = 20, 30
	errs := make(chan error, sessions)
	start := time.Now()
	for i := range sessions {
		go func() {
			for j := range each {
				if _, err := tryDeliver(s, message(i*each+j, 4096), Placement{Account: acct}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range sessions {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d in %v", sessions*each, time.Since(start))
	q, err := s.Quota(context.Background(), acct)
	if err != nil || q.Messages != sessions*each {
		t.Fatalf("%+v %v", q, err)
	}
}
