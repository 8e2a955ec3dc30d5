package imapd

import (
	"context"
	"strconv"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// resync is what a client that knows an older state of the mailbox tells of it
// (RFC 7162 section 3.2.5).
type resync struct {
	uidValidity uint32
	modseq      uint64
	known       imap.UIDSet // nil: all
	numbers     bool        // numbers of messages were told with it
}

// cmdSelect answers SELECT and EXAMINE (RFC 9051 sections 6.3.2 and 6.3.3).
func (c *conn) cmdSelect(ctx context.Context, cl *call) error {
	readOnly := cl.name == "EXAMINE"
	c.dec.SP()
	name, ok := c.dec.Mailbox()
	condstore, qresync := false, (*resync)(nil)
	if c.dec.AcceptSP() {
		c.dec.List(false, func() {
			switch c.dec.Keyword() {
			case "CONDSTORE":
				condstore = true
			case "QRESYNC":
				qresync = c.qresyncParam()
			default:
				c.dec.Fail("Unknown parameter")
			}
		})
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	if qresync != nil && !c.on.qresync {
		return bad("QRESYNC is not enabled")
	}
	if qresync != nil && qresync.numbers && c.on.uidonly {
		return errUIDRequired
	}
	// A failed SELECT too leaves no mailbox selected.
	cl.noSync = true
	closed := c.sel != nil
	c.unselect()
	if closed {
		c.enc.Raw("* OK [CLOSED] Previous mailbox is closed").End()
	}
	if !ok {
		return store.ErrNotFound
	}
	sel, err := c.user.Select(ctx, name, readOnly)
	if err != nil {
		return err
	}
	c.sel = sel
	c.on.condstore = c.on.condstore || condstore
	box := sel.Mailbox()
	c.writeFlagsInUse()
	c.enc.Raw("* ").Num32(sel.Len()).Raw(" EXISTS").End()
	c.writeRecent()
	if seq := sel.Seq(box.FirstUnseen); box.FirstUnseen != 0 && seq != 0 && !c.on.rev2 && !c.on.uidonly {
		c.enc.Raw("* OK [UNSEEN ").Num32(seq).Raw("] First unseen message").End()
	}
	c.enc.Raw("* OK [UIDVALIDITY ").Num32(box.UIDValidity).Raw("] UIDs are valid").End()
	c.enc.Raw("* OK [UIDNEXT ").Num32(uint32(box.UIDNext)).Raw("] Next UID").End()
	c.enc.Raw("* OK [HIGHESTMODSEQ ").Num(uint64(box.HighestModSeq)).Raw("] Highest mod-sequence").End()
	c.enc.Raw("* OK [MAILBOXID (").Raw(mailboxID(box.ID)).Raw(")] Mailbox id").End() // RFC 8474 section 4.2
	if c.on.rev2 {
		c.writeName(name) // RFC 9051 section 6.3.2
	}
	if qresync != nil && qresync.uidValidity == box.UIDValidity {
		if err := c.resync(ctx, qresync); err != nil {
			c.unselect()
			return err
		}
	}
	cl.code, cl.text = "READ-WRITE", "Selected"
	if sel.ReadOnly {
		cl.code, cl.text = "READ-ONLY", "Selected read-only"
	}
	return nil
}

// writeName tells a mailbox's name as it is in LIST, and the one that was given
// where its Unicode form is another (RFC 9051 section 6.3.9.7).
func (c *conn) writeName(given string) {
	name := norm.NFC.String(given)
	c.enc.Raw(`* LIST () "/" `).Mailbox(name)
	if name != given {
		c.enc.Raw(` ("OLDNAME" (`).Mailbox(given).Raw("))")
	}
	c.enc.End()
}

// qresyncParam parses what follows QRESYNC (RFC 7162 section 7, select-param).
func (c *conn) qresyncParam() *resync {
	q := &resync{}
	c.dec.SP()
	c.dec.Expect('(')
	q.uidValidity = c.dec.Number()
	c.dec.SP()
	q.modseq = c.dec.Number64()
	if q.uidValidity == 0 || q.modseq == 0 {
		c.dec.Fail("UIDVALIDITY and mod-sequence are not 0")
	}
	if c.dec.AcceptSP() {
		if c.dec.IsSet() {
			q.known = c.dec.UIDSet()
			for _, r := range q.known {
				if r.Stop == 0 {
					c.dec.Fail("Known UIDs cannot hold *") // RFC 7162 section 7
				}
			}
			c.dec.AcceptSP()
		}
		if c.dec.Peek() == '(' {
			// Pairs of numbers and UIDs would only save telling of messages that
			// vanished before the change log begins; there all are told.
			q.numbers = true
			c.dec.Expect('(')
			c.dec.SeqSet()
			c.dec.SP()
			c.dec.UIDSet()
			c.dec.Expect(')')
		}
	}
	c.dec.Expect(')')
	return q
}

// resync tells what happened since the state the client knows
// (RFC 7162 section 3.2.5.2): first what vanished, then what changed.
func (c *conn) resync(ctx context.Context, q *resync) error {
	ch, err := c.sel.Since(ctx, store.ModSeq(q.modseq), session.Spans(q.known), q.known == nil)
	if err != nil {
		return err
	}
	c.writeVanishedEarlier(ch.Vanished)
	for i := range ch.Changed {
		c.writeFlags(&ch.Changed[i], true)
	}
	return c.enc.Err()
}

func (c *conn) writeVanishedEarlier(gone session.Spans) {
	if len(gone) > 0 {
		c.enc.Raw("* VANISHED (EARLIER) ").UIDSet(imap.UIDSet(gone)).End()
	}
}

// cmdUnselect answers UNSELECT (RFC 9051 section 6.4.2).
func (c *conn) cmdUnselect(_ context.Context, _ *call) error {
	if err := c.dec.End(); err != nil {
		return err
	}
	c.unselect()
	return nil
}

// cmdClose answers CLOSE (RFC 9051 section 6.4.1): deleted messages go without
// a word, unless the mailbox is read-only.
func (c *conn) cmdClose(ctx context.Context, cl *call) error {
	if err := c.dec.End(); err != nil {
		return err
	}
	cl.noSync = true
	sel := c.sel
	defer c.unselect()
	if sel.ReadOnly || !sel.Rights.Has(session.RightExpunge) {
		return nil
	}
	modseq, err := sel.ExpungeDeleted(ctx, nil)
	if err == nil && modseq != 0 && c.on.qresync {
		// RFC 7162 section 3.2.8
		cl.code = "HIGHESTMODSEQ " + strconv.FormatUint(uint64(modseq), 10)
	}
	return err
}
