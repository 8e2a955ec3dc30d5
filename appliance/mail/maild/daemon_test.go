package maild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/queue"
	"pillarbox/appliance/mail/smtpd"
	"pillarbox/appliance/mail/trace"
)

// TestShutdownAtOnce has a client within a message, who gets an hour here, and a
// dead host for mail on its way out: their times run side by side, or init would
// not wait for the store.
func TestShutdownAtOnce(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	r := start(t, t.TempDir(), "", func(c *Config) { c.goodbye = time.Hour })
	r.setUp()
	host := dead.Addr().String()
	if _, err := r.ChangeSettings(t.Context(), mailapi.SettingsChange{SmartHost: &host}); err != nil {
		t.Fatal(err)
	}
	if err := r.submit("x@elsewhere.example", "x"); err != nil {
		t.Fatal(err)
	}
	out, err := dead.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c, err := smtp.Dial(r.addr["smtp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := errors.Join(c.Mail("x@elsewhere.example"), c.Rcpt("ann@example.org")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Data(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.stop() }()
	if err := out.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("mail on its way out waits for the clients")
	}
	c.Close() // as if its time were over
	<-stopped
}

// TestLogins checks what the SMTP server hears of a login.
func TestLogins(t *testing.T) {
	fault := errors.New("disk on fire")
	for from, want := range map[error]error{
		nil:                       nil,
		account.ErrBadCredentials: smtpd.ErrBadCredentials,
		account.ErrThrottled:      smtpd.ErrThrottled,
		account.ErrBusy:           smtpd.ErrBusy,
		fault:                     fault,
	} {
		check := logins(func(context.Context, string, string, netip.Addr) (*account.User, error) {
			return &account.User{Address: "ann@example.org"}, from
		})
		p, err := check(t.Context(), "ann", "secret", netip.Addr{})
		if !errors.Is(err, want) || (p.Address != "") != (want == nil) {
			t.Errorf("%v: got %+v, %v, want %v", from, p, err, want)
		}
	}
}

// TestTooMuch has an address behind more aliases than are followed.
func TestTooMuch(t *testing.T) {
	r := start(t, t.TempDir(), "")
	r.setUp()
	last := "ann@example.org"
	for i := range 20 {
		next := fmt.Sprintf("a%d@example.org", i)
		if _, err := r.AddAlias(t.Context(), mailapi.Alias{Address: next, Target: last}); err != nil {
			t.Fatal(err)
		}
		last = next
	}
	c, err := smtp.Dial(r.addr["smtp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("x@elsewhere.example"); err != nil {
		t.Fatal(err)
	}
	var reply *textproto.Error
	if err := c.Rcpt(last); !errors.As(err, &reply) || reply.Code != 550 || !strings.Contains(reply.Msg, "too many") {
		t.Errorf("got %v", err)
	}
}

// TestQueueEvents checks what administrators hear of mail that was given up.
func TestQueueEvents(t *testing.T) {
	d := &Daemon{events: &events{log: slog.New(slog.DiscardHandler)}}
	for _, e := range []queue.Event{
		{Kind: trace.Sent, Sender: "ann@example.org"},
		{Kind: trace.Deferred, Sender: "ann@example.org"},
		{Kind: trace.Bounced, Sender: "ann@example.org", Recipient: "x@elsewhere.example", Reply: "550 no"},
		{Kind: trace.Failed, Recipient: "x@elsewhere.example", Reply: "550 no"}, // a bounce
		{Kind: trace.Failed, Sender: "gone@example.org", Recipient: "x@elsewhere.example", Reply: "550 no"},
	} {
		d.queueEvent(e)
	}
	var texts []string
	for _, e := range d.events.latest(10) {
		texts = append(texts, e.Text)
	}
	want := []string{
		"mail from <gone@example.org> to <x@elsewhere.example> could not be delivered: 550 no; its sender was not told",
		"mail from <ann@example.org> to <x@elsewhere.example> could not be delivered: 550 no",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("%q", texts)
	}
}
