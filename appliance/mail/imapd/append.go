package imapd

import (
	"context"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/imapwire"
	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// maxAppend bounds the messages of one APPEND (RFC 3502): their facts are held
// until all are there.
const maxAppend = 1000

var errTooLarge = &imap.Error{
	Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeTooBig, Text: "Message is too large", // RFC 7889 section 3
}

// errEmpty answers a message without a byte: an empty literal gives a command up (RFC 3502 section 2).
var errEmpty = &imap.Error{Type: imap.StatusResponseTypeNo, Text: "Message is empty"}

// cmdAppend answers APPEND (RFC 9051 section 6.3.12), with several messages
// (RFC 3502), literal8 (RFC 3516), UTF8 (RFC 6855) and CATENATE (RFC 4469).
// Bodies go to disk as they come.
func (c *conn) cmdAppend(ctx context.Context, cl *call) error {
	c.dec.SP()
	batch, target, err := c.appendTarget(ctx)
	if err != nil {
		return err
	}
	defer batch.Abort()
	for n := 0; ; n++ {
		if n == maxAppend {
			return no(imap.ResponseCodeLimit, "Too many messages in one APPEND")
		}
		if err := c.appendOne(ctx, batch); err != nil {
			return err
		}
		if !c.dec.AcceptSP() {
			break
		}
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	placed, err := batch.Commit(ctx)
	if err != nil {
		return tryCreate(err)
	}
	cl.code = appendUID(target, placed)
	return nil
}

// appendTarget takes the mailbox of an APPEND. All that can be said without
// the message is said before it is sent.
func (c *conn) appendTarget(ctx context.Context) (*session.Append, session.Target, error) {
	name, ok := c.dec.Mailbox()
	c.dec.SP()
	if err := c.dec.Err(); err != nil {
		return nil, session.Target{}, err
	}
	if !ok {
		return nil, session.Target{}, tryCreate(store.ErrNotFound)
	}
	target, err := c.user.Target(ctx, name)
	if err != nil {
		return nil, target, tryCreate(err)
	}
	if err := c.srv.cfg.Store.Accepting(); err != nil {
		return nil, target, err
	}
	return c.user.NewAppend(target), target, nil
}

// appendUID is the response code that tells the new UIDs (RFC 4315 section 3).
func appendUID(target session.Target, uids []store.UID) string {
	return "APPENDUID " + strconv.FormatUint(uint64(target.UIDValidity), 10) + " " + imap.UIDSet(session.SpansOf(uids)).String()
}

// appendOne takes one message with its flags and date.
func (c *conn) appendOne(ctx context.Context, batch *session.Append) error {
	d := c.dec
	var flags store.Flags
	var date time.Time
	if d.Peek() == '(' {
		flags = flagList(d, false)
		d.SP()
	}
	if d.Peek() == '"' {
		date = d.DateTime()
		d.SP()
	}
	if err := d.Err(); err != nil {
		return err
	}
	m, err := batch.Begin(ctx, flags, date)
	if err != nil {
		return err
	}
	switch {
	case d.NextIs("UTF8 ("):
		// RFC 6855 section 4: the message is as good as any other.
		d.Keyword()
		d.SP()
		d.Expect('(')
		err = c.appendLiteral(ctx, batch, m, true)
		d.Expect(')')
	case d.NextIs("CATENATE ("):
		d.Keyword()
		d.SP()
		err = c.catenate(ctx, batch, m)
	default:
		err = c.appendLiteral(ctx, batch, m, true)
	}
	if err == nil {
		err = d.Err()
	}
	if err == nil && m.Size() == 0 {
		err = errEmpty
	}
	if err != nil {
		return err
	}
	return m.End()
}

// appendLiteral takes a literal as the whole message, or as the next piece of it.
func (c *conn) appendLiteral(ctx context.Context, batch *session.Append, m *session.Message, whole bool) error {
	lit := c.dec.Stream()
	if err := c.dec.Err(); err != nil {
		return err
	}
	if whole && lit.Size == 0 {
		return errEmpty
	}
	if err := c.appendFits(ctx, batch, m, lit); err != nil {
		return err
	}
	if _, err := m.ReadFrom(lit); err != nil {
		return err
	}
	c.dec.Resume()
	return c.dec.Err()
}

// appendFits refuses a message that cannot be kept before it is sent.
func (c *conn) appendFits(ctx context.Context, batch *session.Append, m *session.Message, lit *imapwire.Stream) error {
	if lit.Size > c.srv.cfg.AppendLimit()-m.Size() {
		return errTooLarge
	}
	return batch.Fits(ctx, lit.Size)
}
