package delivery

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/mail/queue"
	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
)

// Envelope is what is known of a message beside its content: who sends it to
// whom, and how it came. The caller fills in the exported fields before Begin;
// recipients are added by Pipeline.AddRecipient.
type Envelope struct {
	// ID names the message in replies, Received and the trace. Begin allots it.
	ID trace.ID
	// Arrived is when the transaction began. Begin sets it.
	Arrived time.Time

	// Sender is the reverse-path, null for notifications.
	Sender address.Address
	// User is the address of the person who is logged in, "" where nobody
	// is: then mail goes to hosted domains alone.
	User string
	// Size is the size in bytes the client announced, 0 where it did not (RFC 1870).
	Size int64
	// UTF8 is set where the client asked for SMTPUTF8 (RFC 6531).
	UTF8 bool
	// Client tells how the message comes in.
	Client Client

	recipients []recipient
	copies     int  // that all recipients together stand for
	internal   bool // made on the box: no quota, no sender check
}

// Client is the peer that hands in a message.
type Client struct {
	Addr netip.Addr
	// Hello is the argument of HELO or EHLO, as the client wrote it.
	Hello string
	// Extended is set after EHLO, as against HELO.
	Extended bool
	// TLS is nil on a plain connection.
	TLS *tls.ConnectionState
}

// recipient is an accepted recipient with all it stands for.
type recipient struct {
	addr      address.Address
	mailboxes []store.AccountID
	remote    []string
	untraced  bool
}

// Recipients is the number of recipients accepted so far.
func (e *Envelope) Recipients() int { return len(e.recipients) }

// has reports whether an address is among the recipients already.
func (e *Envelope) has(to address.Address) bool {
	return slices.ContainsFunc(e.recipients, func(r recipient) bool { return r.addr == to })
}

// returned is the queue's entry that tells the sender of a recipient's mailboxes
// that were full.
func (e *Envelope) returned(r recipient, full int, size int64) store.QueueEntry {
	text := "the mailbox is full"
	if copies := len(r.mailboxes) + len(r.remote); copies > 1 {
		text = fmt.Sprintf("of the %d mailboxes behind this address, %d are full and did not get the message", copies, full)
	}
	rec := queue.Record{Trace: e.ID, UTF8: e.UTF8, Undeliverable: true, Last: &queue.Failure{
		Time: e.Arrived, Status: [3]int{5, 2, 2}, Text: text, Permanent: true,
	}}
	return store.QueueEntry{
		Size: size, Sender: e.Sender.String(), Recipient: r.addr.String(), Created: e.Arrived, Due: e.Arrived, Data: rec.Encode(),
	}
}

// protocol is the "with" word of Received (RFC 3848, and RFC 6531 section 4.3
// for SMTPUTF8).
func (e *Envelope) protocol() string {
	p := "SMTP"
	switch {
	case e.UTF8:
		p = "UTF8SMTP"
	case e.Client.Extended:
		p = "ESMTP"
	default:
		return p
	}
	if e.Client.TLS != nil {
		p += "S"
	}
	if e.User != "" {
		p += "A"
	}
	return p
}

// local reports whether any copy goes to a mailbox here.
func (e *Envelope) local() bool {
	for _, r := range e.recipients {
		if len(r.mailboxes) > 0 {
			return true
		}
	}
	return false
}
