package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/conntest"
	"pillarbox/appliance/mail/sessions"
	"pillarbox/appliance/store/store"
)

// fakeStore is an INBOX in memory.
type fakeStore struct {
	mu      sync.Mutex
	next    store.UID
	entries []store.Entry
	bodies  map[store.BlobID]string
	damaged map[store.BlobID]bool
	broken  error
}

func newFakeStore() *fakeStore {
	return &fakeStore{next: 1, bodies: make(map[store.BlobID]string), damaged: make(map[store.BlobID]bool)}
}

func (f *fakeStore) add(body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := store.BlobID(f.next)
	f.entries = append(f.entries, store.Entry{UID: f.next, Blob: id, Size: int64(len(body))})
	f.bodies[id] = body
	f.next++
}

func (f *fakeStore) uids() []store.UID {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []store.UID
	for _, e := range f.entries {
		out = append(out, e.UID)
	}
	return out
}

func (f *fakeStore) MailboxByName(_ context.Context, _ store.AccountID, name string) (store.Mailbox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name != "INBOX" {
		return store.Mailbox{}, store.ErrNotFound
	}
	return store.Mailbox{ID: 7, UIDValidity: 4711, Messages: uint32(len(f.entries))}, f.broken
}

func (f *fakeStore) Entries(ctx context.Context, _ store.MailboxID, _, _ store.UID, fn func(store.Entry) error) (store.Mailbox, error) {
	box, err := f.MailboxByName(ctx, 1, "INBOX")
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.entries {
		if err == nil {
			err = fn(e)
		}
	}
	return box, err
}

func (f *fakeStore) EntriesOf(_ context.Context, _ store.MailboxID, uids []store.UID) ([]store.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []store.Entry
	for _, e := range f.entries {
		if slices.Contains(uids, e.UID) {
			out = append(out, e)
		}
	}
	return out, f.broken
}

func (f *fakeStore) OpenBody(_ context.Context, id store.BlobID) (store.Body, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &fakeBody{Reader: bytes.NewReader([]byte(f.bodies[id])), damaged: f.damaged[id]}, nil
}

func (f *fakeStore) Expunge(_ context.Context, _ store.MailboxID, uids []store.UID, _ bool) ([]store.UID, store.ModSeq, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, 0, f.broken
	}
	var gone []store.UID
	f.entries = slices.DeleteFunc(f.entries, func(e store.Entry) bool {
		if !slices.Contains(uids, e.UID) {
			return false
		}
		gone = append(gone, e.UID)
		return true
	})
	return gone, 1, nil
}

// fakeBody is damaged behind its first 100,000 bytes, or from the start where shorter.
type fakeBody struct {
	*bytes.Reader
	damaged bool
}

func (b *fakeBody) Read(p []byte) (int, error) {
	if good := 100_000; b.damaged {
		at := int(b.Size()) - b.Len()
		if b.Size() < int64(good) || at >= good {
			return 0, store.ErrDamaged
		}
		p = p[:min(len(p), good-at)]
	}
	return b.Reader.Read(p)
}

func (b *fakeBody) Close() error { return nil }

// fakeAccounts knows ann, whose password is "secret word".
type fakeAccounts struct{ revoked chan struct{} }

func (f fakeAccounts) Authenticate(_ context.Context, login, password string, _ netip.Addr) (*account.User, error) {
	switch {
	case login == "throttled@example.org":
		return nil, &account.ThrottledError{Wait: time.Minute}
	case login == "busy@example.org":
		return nil, account.ErrBusy
	case login == "broken@example.org":
		return nil, errors.New("disk on fire")
	case !strings.EqualFold(login, "ann@example.org") || password != "secret word":
		return nil, account.ErrBadCredentials
	}
	return &account.User{Address: "ann@example.org", Account: 1, Revoked: f.revoked}, nil
}

// running is a server on a pipeListener.
type running struct {
	*Server
	listener *conntest.Listener
	served   chan error
}

func start(cfg Config) *running {
	r := &running{Server: New(cfg), listener: conntest.Listen(), served: make(chan error, 1)}
	go func() { r.served <- r.Serve(context.Background(), r.listener) }()
	return r
}

func (r *running) stop(t testing.TB) {
	t.Helper()
	if err := r.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-r.served; !errors.Is(err, sessions.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// dial connects; with implicit, over TLS from the start.
func (r *running) dial(t testing.TB, implicit bool) *client {
	t.Helper()
	if implicit {
		return newClient(r.listener.DialTLS(t, conntest.ServerTLS(t)))
	}
	return newClient(r.listener.Dial())
}

// client is the test's end of a connection.
type client struct {
	net.Conn
	in *bufio.Reader
}

func newClient(c net.Conn) *client { return &client{c, bufio.NewReader(c)} }

// send writes without waiting for the server to read.
func (c *client) send(s string) {
	go func() { _, _ = c.Write([]byte(s)) }() // a server that has closed shows in what is read
}

// line reads one, "<closed>" at the end.
func (c *client) line() string {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return line + "<closed>"
	}
	return strings.TrimSuffix(line, "\r\n")
}
