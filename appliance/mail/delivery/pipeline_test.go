package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/mail/queue"
	"pillarbox/appliance/mail/route"
	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// directory is people by their addresses; what it does not know is elsewhere.
type directory map[string]Resolution

func (d directory) Resolve(_ context.Context, addr string) (Resolution, error) {
	r, ok := d[addr]
	r.Hosted, r.Known = ok, ok
	return r, nil
}

func (directory) SenderAllowed(context.Context, string, string) (bool, error) { return true, nil }

// pipeline is one over a real store.
func pipeline(s *store.Store, d directory) *Pipeline {
	return New(Config{
		Store: s, Directory: d, NewIndexer: func() Indexer { return mimeindex.NewIndexer() },
		Hostname: func() string { return "mail.example.org" },
	})
}

// send takes a message from ann for recipients, as far as it goes.
func send(t *testing.T, p *Pipeline, sender string, recipients ...string) (Receipt, error) {
	t.Helper()
	e := &Envelope{User: "ann@example.org", Sender: parse(t, sender)}
	if err := p.Begin(t.Context(), e); err != nil {
		return Receipt{}, err
	}
	for _, to := range recipients {
		if err := p.AddRecipient(t.Context(), e, parse(t, to)); err != nil {
			return Receipt{}, err
		}
	}
	return p.Accept(t.Context(), e, strings.NewReader("Subject: x\r\n\r\n"+strings.Repeat("hello\r\n", 200)))
}

func parse(t *testing.T, s string) address.Address {
	t.Helper()
	if s == "" { // the null sender
		return address.Address{}
	}
	a, err := address.Parse(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

func account(t *testing.T, s *store.Store, q store.Quota) store.AccountID {
	t.Helper()
	id, err := s.CreateAccount(context.Background(), q, nil)
	if err != nil {
		t.Error(err)
	}
	return id
}

// wantCode checks the reply that an error stands for; 0 is none.
func wantCode(t *testing.T, err error, code int) {
	t.Helper()
	var e *Error
	if code == 0 && err == nil || code != 0 && errors.As(err, &e) && e.Code == code {
		return
	}
	t.Errorf("got %v, want code %d", err, code)
}

// nowhere is a router for mail that is not to leave.
type nowhere struct{ t *testing.T }

func (nowhere) Destination(string) route.Destination { return route.Destination{Key: "nowhere"} }

func (n nowhere) Route(_ context.Context, d route.Destination) (route.Route, error) {
	n.t.Errorf("a way to %s is looked for", d)
	return route.Route{}, errors.New("nowhere")
}

func (nowhere) Addresses(context.Context, route.Host) ([]netip.AddrPort, error) { return nil, nil }

// TestFullMailboxOfSeveral checks that a full mailbox gets no more mail by a
// group, that the sender hears of it, and what is taken where nobody has room.
func TestFullMailboxOfSeveral(t *testing.T) {
	s := storetest.New(t)
	ann := account(t, s, store.Quota{})
	bob, tom := account(t, s, store.Quota{LimitMessages: 1}), account(t, s, store.Quota{LimitBytes: 100})
	p := pipeline(s, directory{
		"ann@example.org":  {Mailboxes: []store.AccountID{ann}},
		"bob@example.org":  {Mailboxes: []store.AccountID{bob}},
		"all@example.org":  {Mailboxes: []store.AccountID{bob, ann, tom}},
		"full@example.org": {Mailboxes: []store.AccountID{bob, tom}},
	})
	events := make(chan queue.Event)
	q := queue.New(queue.Config{
		Store: s, Router: nowhere{t}, Bouncer: p, Hostname: p.cfg.Hostname, Events: func(e queue.Event) { events <- e },
	})
	late := &Envelope{User: "ann@example.org", Sender: parse(t, "ann@example.org")}
	wantCode(t, p.Begin(t.Context(), late), 0)
	if err := p.AddRecipient(t.Context(), late, parse(t, "full@example.org")); err != nil {
		t.Fatal(err) // there is room yet
	}
	for _, sender := range []string{"ann@example.org", "ann@example.org", ""} {
		_, err := send(t, p, sender, "all@example.org")
		wantCode(t, err, 0)
	}
	_, err := p.Accept(t.Context(), late, strings.NewReader("Subject: x\r\n\r\n"))
	wantCode(t, err, 452)
	check := func(want map[store.AccountID]int64) {
		for id, want := range want {
			if q, err := s.Quota(t.Context(), id); err != nil || q.Messages != want {
				t.Fatalf("account %d has %d messages, want %d: %v", id, q.Messages, want, err)
			}
		}
	}
	check(map[store.AccountID]int64{ann: 3, bob: 1, tom: 1})

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- q.Run(ctx) }()
	kinds := make(map[trace.Kind]int)
	for range 2 {
		e := <-events
		if kinds[e.Kind]++; e.Recipient != "all@example.org" || !strings.Contains(e.Reply, "of the 3 mailboxes behind this address, 2 are full") {
			t.Errorf("%+v", e)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if kinds[trace.Bounced] != 1 || kinds[trace.Failed] != 1 {
		t.Errorf("the queue did %v, want a bounce, and none of a bounce", kinds)
	}
	check(map[store.AccountID]int64{ann: 4, bob: 1, tom: 1})
}

// TestFullMailbox checks that one full mailbox keeps its own mail away, and
// nobody else's.
func TestFullMailbox(t *testing.T) {
	s := storetest.New(t)
	ann, bob := account(t, s, store.Quota{}), account(t, s, store.Quota{LimitMessages: 1})
	// tom's has room for a little, so that only the message itself shows that it is too large.
	tom := account(t, s, store.Quota{LimitBytes: 100})
	p := pipeline(s, directory{
		"ann@example.org": {Mailboxes: []store.AccountID{ann}},
		"bob@example.org": {Mailboxes: []store.AccountID{bob}},
		"tom@example.org": {Mailboxes: []store.AccountID{tom}},
		"all@example.org": {Mailboxes: []store.AccountID{bob, ann}},
		"two@example.org": {Mailboxes: []store.AccountID{bob}, Forward: []string{"x@elsewhere.example"}},
		"one@example.org": {Mailboxes: []store.AccountID{bob}},
	})
	for _, step := range []struct {
		to   []string
		code int
	}{
		{[]string{"bob@example.org"}, 0},
		{[]string{"bob@example.org"}, 452},
		{[]string{"one@example.org"}, 452},
		{[]string{"all@example.org"}, 0},
		{[]string{"two@example.org"}, 0},
		{[]string{"tom@example.org"}, 452},
		{[]string{"ann@example.org", "tom@example.org"}, 0},
		{[]string{"tom@example.org", "x@elsewhere.example"}, 452}, // full by now
	} {
		_, err := send(t, p, "ann@example.org", step.to...)
		wantCode(t, err, step.code)
		if t.Failed() {
			t.Fatalf("to %v", step.to)
		}
	}
	for id, want := range map[store.AccountID]int64{ann: 2, bob: 1, tom: 1} {
		if q, err := s.Quota(t.Context(), id); err != nil || q.Messages != want {
			t.Errorf("account %d has %d messages, want %d: %v", id, q.Messages, want, err)
		}
	}
}

// TestMostCopies checks that as many copies as are taken at RCPT can be
// committed, and that more are refused there.
func TestMostCopies(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), store.Options{MinFree: 1})
	ids := make([]store.AccountID, store.MaxCopies)
	var making sync.WaitGroup
	for i := range ids {
		making.Go(func() { ids[i] = account(t, s, store.Quota{}) })
	}
	making.Wait()
	long := strings.Repeat(strings.Repeat("d", 60)+".", 4) + "example"
	elsewhere := make([]string, store.MaxCopies+1)
	for i := range elsewhere {
		elsewhere[i] = fmt.Sprintf("%0255d@%s", i, long)
	}
	p := pipeline(s, directory{
		"all@example.org":  {Mailboxes: ids},
		"far@example.org":  {Forward: elsewhere[1:]},
		"most@example.org": {Forward: elsewhere[2:]},
		"more@example.org": {Forward: elsewhere},
		"deep@example.org": {Mailboxes: ids[:1], TooMuch: true},
	})
	for _, to := range [][]string{{"all@example.org"}, {"far@example.org"}, elsewhere[1:]} {
		r, err := send(t, p, elsewhere[0], to...)
		wantCode(t, err, 0)
		m, err := trace.Lookup(t.Context(), s, r.ID)
		traced := 0
		for _, e := range m.Events {
			for _, target := range e.Targets {
				traced += len(target.Mailboxes) + len(target.Queued)
			}
		}
		if err != nil || traced != store.MaxCopies {
			t.Errorf("%d copies are in the trace: %v", traced, err)
		}
	}
	_, err := send(t, p, elsewhere[0], "more@example.org")
	wantCode(t, err, 550)
	_, err = send(t, p, elsewhere[0], "deep@example.org")
	wantCode(t, err, 550)
	_, err = send(t, p, elsewhere[0], "most@example.org", "x@elsewhere.example", "y@elsewhere.example")
	wantCode(t, err, 452)
}

// TestRecipientTwice checks that who is named twice gets one copy and counts once.
func TestRecipientTwice(t *testing.T) {
	s := storetest.New(t)
	p := pipeline(s, directory{"ann@example.org": {Mailboxes: []store.AccountID{account(t, s, store.Quota{})}}})
	to := []string{"ann@example.org", "ann@example.org"}
	for i := range 10 {
		to = append(to, fmt.Sprintf("x%d@elsewhere.example", i))
	}
	r, err := send(t, p, "ann@example.org", append(to, to...)...)
	if err != nil || r.Delivered != 1 || r.Queued != 10 {
		t.Errorf("%+v, %v", r, err)
	}
	m, err := trace.Lookup(t.Context(), s, r.ID)
	if err != nil || len(m.Events) != 1 || len(m.Events[0].Targets) != len(to)-1 {
		t.Errorf("in the trace: %+v, %v", m, err)
	}
}
