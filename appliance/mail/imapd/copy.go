package imapd

import (
	"context"
	"errors"
	"strconv"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// tryCreate makes of a missing target mailbox what tells the client to create
// it (RFC 9051 section 7.1).
func tryCreate(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return no(imap.ResponseCodeTryCreate, "No such mailbox")
	}
	return err
}

// cmdCopy answers COPY and MOVE and their UID forms (RFC 9051 sections 6.4.7
// and 6.4.8): all messages or none, but for a MOVE too large for one commit.
func (c *conn) cmdCopy(ctx context.Context, cl *call) error {
	c.dec.SP()
	set := c.dec.NumSet(cl.uid)
	c.dec.SP()
	name, ok := c.dec.Mailbox()
	if err := c.dec.End(); err != nil {
		return err
	}
	move := cl.name == "MOVE"
	if move && c.sel.ReadOnly {
		return errReadOnly
	}
	spans, err := c.sel.Resolve(set)
	if err != nil {
		return err
	}
	if !ok {
		return tryCreate(store.ErrNotFound)
	}
	target, err := c.user.Target(ctx, name)
	if err != nil {
		return tryCreate(err)
	}
	res, err := c.sel.Copy(ctx, spans, target, move)
	if err != nil {
		if move && len(res.From) > 0 {
			// RFC 6851 section 3.3: some went before it failed.
			c.enc.Raw("* OK [").Raw(copyUID(res)).Raw("] Moved").End()
		}
		return tryCreate(err)
	}
	if len(res.From) == 0 {
		// "$" may hold nothing (RFC 9051 section 6.4.4.1).
		if !cl.uid && !imap.IsSearchRes(set) {
			return no(codeExpungeIssued, "The messages are gone")
		}
		cl.text = "No messages copied"
		return nil
	}
	code := copyUID(res)
	if move {
		// RFC 6851 section 4.3: told before the messages go.
		c.enc.Raw("* OK [").Raw(code).Raw("] Moved").End()
		if c.on.qresync && res.Expunged != 0 {
			cl.code = "HIGHESTMODSEQ " + strconv.FormatUint(uint64(res.Expunged), 10)
		}
		return nil
	}
	cl.code = code
	return nil
}

// copyUID is the response code that pairs old and new UIDs (RFC 4315 section 3).
// Both sets are in the order of the messages.
func copyUID(r store.CopyResult) string {
	b := append([]byte("COPYUID "), strconv.FormatUint(uint64(r.UIDValidity), 10)...)
	b = append(b, ' ')
	b = append(b, imap.UIDSet(session.SpansOf(r.From)).String()...)
	b = append(b, ' ')
	return string(append(b, imap.UIDSet(session.SpansOf(r.To)).String()...))
}

// cmdExpunge answers EXPUNGE (RFC 9051 section 6.4.3) and UID EXPUNGE (RFC 4315 section 2.1).
func (c *conn) cmdExpunge(ctx context.Context, cl *call) error {
	var spans session.Spans
	if cl.uid {
		c.dec.SP()
		set := c.dec.NumSet(true)
		if err := c.dec.End(); err != nil {
			return err
		}
		var err error
		if spans, err = c.sel.Resolve(set); err != nil {
			return err
		}
		if spans == nil {
			spans = session.Spans{}
		}
	} else if err := c.dec.End(); err != nil {
		return err
	}
	if c.sel.ReadOnly {
		return errReadOnly
	}
	if !c.sel.Rights.Has(session.RightExpunge) {
		return session.ErrNoRight
	}
	modseq, err := c.sel.ExpungeDeleted(ctx, spans)
	if err != nil {
		return err
	}
	if modseq != 0 && c.on.qresync {
		cl.code = "HIGHESTMODSEQ " + strconv.FormatUint(uint64(modseq), 10)
	}
	return nil
}
