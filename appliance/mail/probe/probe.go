// Package probe sends the box a test message and reads it back: the only proof
// that mail works is mail.
//
// A test message takes the way of every other: by SMTP to the box's own port,
// through the checks, into a mailbox with one durable commit. Then the mailbox
// is read, the text compared with what was sent, and all of it removed.
//
// Nobody sees it. The mailbox is that of an account made for this one message,
// which has no person and is deleted with it: no quota, no mailbox list and no
// search ever shows it. Its address is a secret that leads somewhere only while
// the test runs, below a domain that never exists (RFC 6761 section 6.4), so
// that nobody else can write to it; and the message leaves no trace record.
//
// On disk, in store.TableSetting under the key "probe", is the number of the
// account (8 octets, big-endian) while there is one: what a crash leaves behind
// is deleted with the next test.
package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/store/store"
)

const (
	// within bounds a test: a busy disk takes seconds to sync. One that has not
	// come through by then counts as hung.
	within = time.Minute

	// cleanWithin bounds what is removed after a test that failed.
	cleanWithin = 10 * time.Second

	docKey = "probe"
	domain = "probe.invalid"
)

// Store is the part of the mail store that a test needs.
type Store interface {
	CreateAccount(ctx context.Context, q store.Quota, docs func(store.AccountID) []store.DocOp) (store.AccountID, error)
	DeleteAccount(ctx context.Context, id store.AccountID, docs []store.DocOp) error
	MailboxByName(ctx context.Context, id store.AccountID, name string) (store.Mailbox, error)
	Entries(ctx context.Context, id store.MailboxID, lo, hi store.UID, fn func(store.Entry) error) (store.Mailbox, error)
	OpenBody(ctx context.Context, id store.BlobID) (store.Body, error)
	Doc(ctx context.Context, t store.Table, k string) (store.Doc, error)
	UpdateDocs(ctx context.Context, ops ...store.DocOp) error
}

// Probe sends test messages, one at a time. It is safe for concurrent use.
type Probe struct {
	store Store
	// dial connects to the box's own SMTP port.
	dial func(ctx context.Context) (net.Conn, error)

	one sync.Mutex // held by a test

	mu      sync.Mutex
	address string // of the present test
	account store.AccountID
}

// New makes a Probe.
func New(s Store, dial func(ctx context.Context) (net.Conn, error)) *Probe {
	return &Probe{store: s, dial: dial}
}

// Mailbox is the account that address leads to; ok is false for all addresses
// but that of a test that runs.
func (p *Probe) Mailbox(address string) (id store.AccountID, ok bool) {
	if !strings.HasSuffix(address, "@"+domain) {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.account, p.address != "" && address == p.address
}

func (p *Probe) lead(address string, id store.AccountID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.address, p.account = address, id
}

// Run sends one message and tells how it fared. It always returns within
// little more than a minute.
func (p *Probe) Run(ctx context.Context) mailapi.ProbeResult {
	if !p.one.TryLock() {
		return mailapi.ProbeResult{Step: "begin", Failure: "the test before has not ended"}
	}
	defer p.one.Unlock()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	begin := time.Now()
	step, err := p.run(ctx)
	r := mailapi.ProbeResult{Seconds: time.Since(begin).Seconds()}
	if err != nil {
		r.Step, r.Failure = step, err.Error()
		// An answer in the protocol, or a store that says why not: it lives.
		var reply *textproto.Error
		r.Refused = errors.As(err, &reply) || errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrReadOnly)
	}
	return r
}

func (p *Probe) run(ctx context.Context) (step string, err error) {
	if err := p.clean(ctx); err != nil {
		return "clean up", err
	}
	id, err := p.store.CreateAccount(ctx, store.Quota{}, func(id store.AccountID) []store.DocOp {
		return []store.DocOp{{Table: store.TableSetting, Key: docKey, Value: binary.BigEndian.AppendUint64(nil, uint64(id))}}
	})
	if err != nil {
		return "make a mailbox", err
	}
	defer func() {
		p.lead("", 0)
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
		defer cancel()
		if cleanErr := p.clean(c); err == nil && cleanErr != nil {
			step, err = "remove the message", cleanErr
		}
	}()
	secret := strings.ToLower(rand.Text())
	address := secret + "@" + domain
	p.lead(address, id)
	text := "The box tests itself. " + secret
	if err := p.send(ctx, address, text); err != nil {
		return "hand in the message", err
	}
	if err := p.read(ctx, id, text); err != nil {
		return "read the message", err
	}
	return "", nil
}

// clean deletes the account of a test that ended.
func (p *Probe) clean(ctx context.Context) error {
	d, err := p.store.Doc(ctx, store.TableSetting, docKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	gone := store.DocOp{Table: store.TableSetting, Key: docKey}
	if len(d.Value) != 8 {
		return p.store.UpdateDocs(ctx, gone)
	}
	err = p.store.DeleteAccount(ctx, store.AccountID(binary.BigEndian.Uint64(d.Value)), []store.DocOp{gone})
	if errors.Is(err, store.ErrNotFound) {
		return p.store.UpdateDocs(ctx, gone) // a backup was restored without it
	}
	return err
}

// send hands the message in as a server elsewhere would. The null reverse-path
// keeps it from ever being answered.
func (p *Probe) send(ctx context.Context, to, text string) error {
	conn, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	c, err := smtp.NewClient(conn, domain)
	if err != nil {
		return err
	}
	if err := c.Hello("localhost"); err != nil {
		return err
	}
	if err := c.Mail(""); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	now := time.Now()
	_, err = fmt.Fprintf(w, "From: <%s>\r\nTo: <%s>\r\nSubject: test of the box\r\nDate: %s\r\nMessage-ID: <%s>\r\nAuto-Submitted: auto-generated\r\n\r\n%s\r\n",
		to, to, now.Format(time.RFC1123Z), to, text)
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	_ = c.Quit() // the message is accepted; how the session ends does not matter
	return nil
}

// read looks for the message in the mailbox and compares its end with text.
func (p *Probe) read(ctx context.Context, id store.AccountID, text string) error {
	m, err := p.store.MailboxByName(ctx, id, "INBOX")
	if err != nil {
		return err
	}
	var found []store.Entry
	_, err = p.store.Entries(ctx, m.ID, 1, ^store.UID(0), func(e store.Entry) error {
		found = append(found, e)
		return nil
	})
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("it was accepted, and %d messages are in its mailbox", len(found))
	}
	b, err := p.store.OpenBody(ctx, found[0].Blob)
	if err != nil {
		return err
	}
	defer b.Close()
	raw, err := io.ReadAll(b)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(raw, []byte("\r\n\r\n"+text+"\r\n")) {
		return errors.New("it is not as it was sent")
	}
	return nil
}
