package queue_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/mail/delivery"
	"pillarbox/appliance/mail/queue"
	"pillarbox/appliance/mail/route"
	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// directory has one person here.
type directory struct{ ann store.AccountID }

func (d directory) Resolve(_ context.Context, addr string) (delivery.Resolution, error) {
	local, domain, _ := strings.Cut(addr, "@")
	r := delivery.Resolution{Hosted: domain == "example.org"}
	if r.Hosted && local == "ann" {
		r.Known, r.Mailboxes = true, []store.AccountID{d.ann}
	}
	return r, nil
}

func (directory) SenderAllowed(context.Context, string, string) (bool, error) { return true, nil }

// sizer is an Indexer that knows the size alone.
type sizer struct{ f store.Facts }

func (s *sizer) Write(p []byte) (int, error) {
	s.f.Size += int64(len(p))
	return len(p), nil
}
func (s *sizer) Facts() (store.Facts, error) { return s.f, nil }

type resolver struct{}

func (resolver) LookupMX(_ context.Context, domain string) ([]route.MX, error) {
	if domain == "nowhere.example" {
		return nil, route.ErrNoDomain
	}
	return []route.MX{{Host: "mx.example.net"}}, nil
}

func (resolver) LookupAddr(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
}

// TestWithRealStoreAndDelivery submits a message to someone elsewhere and to a
// domain that does not exist: one copy arrives at the other server, one comes
// back as a bounce into the sender's inbox, and the trace knows it all. The
// store's own check follows at the end.
func TestWithRealStoreAndDelivery(t *testing.T) {
	ctx := context.Background()
	st := storetest.New(t)
	account, err := st.CreateAccount(ctx, store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	arrived := make(chan string, 10)
	go serveOne(l, arrived)

	var q *queue.Queue
	p := delivery.New(delivery.Config{
		Store: st, Directory: directory{account}, NewIndexer: func() delivery.Indexer { return &sizer{} },
		Hostname: func() string { return "box.example.org" }, Kick: func() { q.Kick() },
	})
	bounced := make(chan struct{})
	var once sync.Once
	q = queue.New(queue.Config{
		Store: st, Bouncer: p, Hostname: func() string { return "box.example.org" },
		Router: route.New(route.Config{Resolver: resolver{}}),
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		},
		Events: func(e queue.Event) {
			if e.Kind == trace.Bounced {
				once.Do(func() { close(bounced) })
			}
		},
	})
	runCtx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- q.Run(runCtx) }()

	e := &delivery.Envelope{Sender: mustParse(t, "ann@example.org"), User: "ann@example.org"}
	if err := p.Begin(ctx, e); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"bob@example.net", "carl@nowhere.example", "ann@example.org"} {
		if err := p.AddRecipient(ctx, e, mustParse(t, to)); err != nil {
			t.Fatal(err)
		}
	}
	body := "From: ann@example.org\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\nSubject: out\r\nMessage-ID: <1@example.org>\r\n\r\nhello\r\n" + strings.Repeat("0123456789\r\n", 100_000)
	if _, err := p.Accept(ctx, e, strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-arrived:
		if !strings.HasSuffix(got, body[strings.Index(body, "Message-ID"):]) || !strings.HasPrefix(got, "Received: ") {
			t.Errorf("arrived %d bytes: %.300q", len(got), got)
		}
	case <-time.After(2 * time.Minute):
		t.Error("nothing arrived")
	}
	select {
	case <-bounced:
	case <-time.After(2 * time.Minute):
		t.Error("nothing bounced")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := q.List(ctx, 0, func(it queue.Item) error { t.Errorf("left in the queue: %+v", it); return nil }); err != nil {
		t.Error(err)
	}
	inbox, err := st.MailboxByName(ctx, account, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	var last store.BlobID
	if _, err := st.Entries(ctx, inbox.ID, 1, 0, func(e store.Entry) error { last = e.Blob; return nil }); err != nil {
		t.Fatal(err)
	}
	if inbox.Messages != 2 {
		t.Errorf("%d messages in the inbox, want the copy and the bounce", inbox.Messages)
	}
	b, err := st.OpenBody(ctx, last)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	text, err := io.ReadAll(b)
	if err != nil || !bytes.HasPrefix(text, []byte("Return-Path: <>\r\n")) || !bytes.Contains(text, []byte("Final-Recipient: rfc822; carl@nowhere.example")) {
		t.Errorf("%v %s", err, text)
	}
	m, err := trace.Lookup(ctx, st, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[trace.Kind]int{}
	for _, ev := range m.Events {
		kinds[ev.Kind]++
	}
	if kinds[trace.Accepted] != 1 || kinds[trace.Sent] != 1 || kinds[trace.Bounced] != 1 || len(m.Events) != 3 {
		t.Errorf("trace %+v", m.Events)
	}
}

func mustParse(t *testing.T, s string) address.Address {
	t.Helper()
	a, err := address.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// serveOne is a server that takes all mail of a few connections.
func serveOne(l net.Listener, arrived chan<- string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		br := bufio.NewReader(conn)
		say := func(s string) { _, _ = io.WriteString(conn, s+"\r\n") }
		say("220 mx.example.net")
		for {
			line, err := br.ReadString('\n')
			if errors.Is(err, io.EOF) || err != nil {
				break
			}
			switch {
			case strings.HasPrefix(line, "EHLO"):
				say("250-mx.example.net\r\n250-PIPELINING\r\n250 SIZE")
			case strings.HasPrefix(line, "DATA"):
				say("354 go")
				var b strings.Builder
				for line != ".\r\n" {
					if line, err = br.ReadString('\n'); err != nil {
						return
					}
					b.WriteString(line)
				}
				arrived <- strings.TrimSuffix(b.String(), ".\r\n")
				say("250 2.0.0 taken")
			default:
				say("250 ok")
			}
		}
		conn.Close()
	}
}
