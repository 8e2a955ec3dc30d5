package pop3d

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/conntest"
	"pillarbox/appliance/mail/sessions"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// one lets everybody in to one account.
type one store.AccountID

func (o one) Authenticate(context.Context, string, string, netip.Addr) (*account.User, error) {
	return &account.User{Address: "ann@example.org", Account: store.AccountID(o)}, nil
}

// box is a real store with an account and a server on it.
type box struct {
	*running
	store   *store.Store
	account store.AccountID
	inbox   store.MailboxID
}

func newBox(t *testing.T) *box {
	t.Helper()
	st := storetest.New(t)
	id, err := st.CreateAccount(t.Context(), store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := st.MailboxByName(t.Context(), id, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	b := &box{store: st, account: id, inbox: inbox.ID}
	b.running = start(Config{Store: st, Accounts: one(id), AllowPlaintext: func() bool { return true }})
	t.Cleanup(func() {
		if err := b.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return b
}

func (b *box) deliver(t *testing.T, text string) {
	t.Helper()
	body, err := b.store.Spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer body.Abort()
	if _, err := body.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	_, err = b.store.Deliver(t.Context(), store.Delivery{Body: body, Facts: store.Facts{Size: int64(len(text))},
		Placements: []store.Placement{{Account: b.account}}})
	if err != nil {
		t.Fatal(err)
	}
}

// login gives a client that has logged in.
func (b *box) login(t *testing.T) *client {
	t.Helper()
	c := b.dial(t, false)
	t.Cleanup(func() { c.Close() })
	c.line()
	c.do(t, "USER ann@example.org", "+OK")
	c.do(t, "PASS x", "+OK")
	return c
}

// do sends a command and reads the first line of the answer.
func (c *client) do(t *testing.T, command, want string) {
	t.Helper()
	c.send(command + "\r\n")
	if got := c.line(); !strings.HasPrefix(got, want) {
		t.Errorf("%s: got %s, want %s", command, got, want)
	}
}

// text reads an answer of many lines and takes the dots out.
func (c *client) text(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ".\r\n" {
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

func TestRealStore(t *testing.T) {
	b := newBox(t)
	large := "Subject: large\r\n\r\n" + strings.Repeat(".line of some length, with dots...\r\n", 100_000)
	b.deliver(t, "Subject: first\r\n\r\nbody\r\n")
	b.deliver(t, large)
	b.deliver(t, "Subject: third\r\n\r\n\r\n")

	first, second := b.login(t), b.login(t)
	first.do(t, "LIST 2", fmt.Sprintf("+OK 2 %d", len(large)))
	first.do(t, "RETR 2", fmt.Sprintf("+OK %d octets", len(large)))
	if got := first.text(t); got != large {
		t.Errorf("RETR: got %d bytes, want %d", len(got), len(large))
	}
	// Somebody expunges in between, then both sessions delete, one of them the same.
	if _, _, err := b.store.Expunge(t.Context(), b.inbox, []store.UID{1}, false); err != nil {
		t.Fatal(err)
	}
	b.deliver(t, "Subject: fourth\r\n\r\n")
	first.do(t, "RETR 1", "-ERR [SYS/TEMP]")
	first.do(t, "DELE 1", "+OK")
	first.do(t, "DELE 2", "+OK")
	second.do(t, "DELE 2", "+OK")
	second.do(t, "DELE 3", "+OK")
	var wg sync.WaitGroup
	for _, c := range []*client{first, second} {
		wg.Go(func() { c.do(t, "QUIT", "+OK") })
	}
	wg.Wait()
	third := b.login(t)
	third.do(t, "STAT", "+OK 1 19")
	inbox, err := b.store.Mailbox(t.Context(), b.inbox)
	if err != nil {
		t.Fatal(err)
	}
	third.do(t, "UIDL 1", fmt.Sprintf("+OK 1 %d.4", inbox.UIDValidity))
	third.do(t, "QUIT", "+OK")
}

func TestTooManySessions(t *testing.T) {
	b := newBox(t)
	for range maxSessions {
		b.login(t)
	}
	c := b.dial(t, false)
	defer c.Close()
	c.line()
	c.do(t, "USER ann@example.org", "+OK")
	c.do(t, "PASS x", "-ERR [IN-USE]")
}

// TestErrorsInARow: a client that now and then asks for what it has deleted is
// no prober, and keeps its session with all it has marked.
func TestErrorsInARow(t *testing.T) {
	b := newBox(t)
	b.deliver(t, "Subject: x\r\n\r\n")
	c := b.login(t)
	c.do(t, "DELE 1", "+OK")
	for range 2 * hardErrors {
		c.do(t, "LIST 1", "-ERR")
		c.do(t, "NOOP", "+OK")
	}
	c.do(t, "QUIT", "+OK")
	b.login(t).do(t, "STAT", "+OK 0 0")
}

// faulty is a store of which one method panics.
type faulty struct{ Store }

func (faulty) OpenBody(context.Context, store.BlobID) (store.Body, error) { panic("broken on purpose") }

// TestPanic: a fault ends its own session alone, which counts no more.
func TestPanic(t *testing.T) {
	b := newBox(t)
	b.running = start(Config{Store: faulty{b.store}, Accounts: one(b.account), AllowPlaintext: func() bool { return true }})
	b.deliver(t, "Subject: x\r\n\r\n")
	other := b.login(t)
	for range 2 * maxSessions {
		c := b.login(t)
		c.send("RETR 1\r\n")
		if got := c.line(); got != "<closed>" {
			t.Fatal(got)
		}
	}
	other.do(t, "NOOP", "+OK")
}

// TestShutdownCuts has a client that does not read its answer.
func TestShutdownCuts(t *testing.T) {
	b := newBox(t)
	b.deliver(t, "Subject: x\r\n\r\n"+strings.Repeat("line\r\n", 100_000))
	idle, stuck := b.login(t), b.login(t)
	if _, err := stuck.Write([]byte("RETR 1\r\n")); err != nil {
		t.Fatal(err)
	}
	stuck.line()
	done := make(chan string)
	go func() { done <- idle.line() + idle.line() }()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Shutdown(ctx) }()
	if got := <-done; !strings.HasPrefix(got, "-ERR [SYS/TEMP]") || !strings.HasSuffix(got, "<closed>") {
		t.Errorf("idle client was told %q", got)
	}
	cancel() // its time is over
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := b.Serve(t.Context(), conntest.Listen()); !errors.Is(err, sessions.ErrClosed) {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// TestCutDoesNotWait checks that a client behind TLS that reads nothing does not
// hold up who cuts it, here while the answer to a wrong password is held back.
func TestCutDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Accounts: fakeAccounts{}, TLS: conntest.ServerTLS(t)})
		c := r.dial(t, true)
		defer c.Close()
		c.line()
		c.send("USER ann@example.org\r\n")
		c.line()
		c.send("PASS guess\r\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), failureDelay/2)
		defer cancel()
		begun := time.Now()
		if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		if took := time.Since(begun); took != failureDelay/2 {
			t.Errorf("shutdown took %v", took)
		}
		<-r.served
	})
}

// TestGoodbye checks that the end of a session is told by TLS as well: a client
// takes anything else for an attack.
func TestGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Accounts: fakeAccounts{}, TLS: conntest.ServerTLS(t)})
		defer r.stop(t)
		c := r.dial(t, true)
		defer c.Close()
		c.line()
		c.send("QUIT\r\n")
		if rest, err := io.ReadAll(c.in); err != nil {
			t.Errorf("after %q: %v", rest, err)
		}
	})
}

// FuzzServer sends bytes to a server with a mailbox, logged in or not, and
// wants it to end the session by itself with nothing lost but by DELE and QUIT.
func FuzzServer(f *testing.F) {
	f.Add(true, []byte("STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nRSET\r\nQUIT\r\n"))
	f.Add(false, []byte("CAPA\r\nAUTH PLAIN\r\n*\r\nSTLS\r\n\x16\x03\x01\x00\x05"))
	f.Add(false, []byte("UTF8\r\nAUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQgd29yZA==\r\nRETR 2\r\nQUIT\n"))
	f.Fuzz(func(t *testing.T, loggedIn bool, input []byte) {
		synctest.Test(t, func(t *testing.T) {
			st := newFakeStore()
			st.add("Subject: gr\u00fc\u00dfe\r\nTo: \u4e00 <\u4e00@example.org>,\r\n\r\n.one\n..two\r")
			st.add(strings.Repeat(".", 5000) + "\n\n.")
			r := start(Config{Store: st, Accounts: fakeAccounts{}, TLS: conntest.ServerTLS(t), AllowPlaintext: func() bool { return true }})
			defer r.stop(t)
			near := r.listener.Dial()
			go func() { // errors of writing mean that the server has had enough
				if loggedIn {
					_, _ = io.WriteString(near, "USER ann@example.org\r\nPASS secret word\r\n")
				}
				_, _ = near.Write(input)
			}()
			answers, err := io.ReadAll(near) // until the server closes, by the idle timer at last
			if err != nil || !bytes.HasPrefix(answers, []byte("+OK ")) {
				t.Errorf("answers %.100q, %v", answers, err)
			}
			near.Close()
			deletes := bytes.Contains(bytes.ToUpper(input), []byte("DELE"))
			if left := len(st.uids()); left != 2 && !deletes {
				t.Errorf("%d messages left without DELE", left)
			}
		})
	})
}

// FuzzDowngrade wants ASCII whatever the header, and lines that are fields.
func FuzzDowngrade(f *testing.F) {
	f.Add([]byte("Subject: gr\u00fc\u00dfe\r\n aus K\u00f6ln\r\nTo: \u4e00 <\u4e00@example.org>\r\n"))
	f.Add([]byte("Content-Type: text/plain; name=\"\u00fc\"\nX\u00fc: y\n\u00fc"))
	f.Fuzz(func(t *testing.T, header []byte) {
		if !hasUTF8(header) {
			return
		}
		if out := downgrade(header); !isASCII(out) {
			t.Errorf("%q became %q", header, out)
		}
	})
}
