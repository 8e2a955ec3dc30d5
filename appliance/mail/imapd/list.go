package imapd

import (
	"context"
	"errors"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/session"
)

// maxPatterns bounds the patterns of one LIST: each is matched with each name.
const maxPatterns = 100

// listWant is what a LIST is to return beside the names.
type listWant struct {
	status   statusItem
	myRights bool     // RFC 8440
	metadata []string // RFC 9590: entries
}

// cmdList answers LIST (RFC 9051 section 6.3.9), extended or not (RFC 5258,
// RFC 5819, RFC 6154).
func (c *conn) cmdList(ctx context.Context, _ *call) error {
	var o session.ListOptions
	var want listWant
	c.dec.SP()
	if c.dec.Peek() == '(' {
		o.Extended = true
		c.listSelection(&o)
		c.dec.SP()
	}
	ref, refOK := c.dec.Mailbox()
	o.Reference = ref
	c.dec.SP()
	if c.dec.Peek() == '(' {
		o.Extended = true
		c.dec.List(false, func() {
			if o.Patterns = append(o.Patterns, c.dec.ListMailbox()); len(o.Patterns) > maxPatterns {
				c.dec.Fail("Too many patterns")
			}
		})
	} else {
		o.Patterns = []string{c.dec.ListMailbox()}
	}
	if c.dec.AcceptSP() {
		o.Extended = true
		if c.dec.Keyword() != "RETURN" {
			c.dec.Fail("RETURN expected")
		}
		c.dec.SP()
		c.listReturn(&o, &want)
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	if o.SelectRecursiveMatch && !o.SelectSubscribed && !o.SelectSpecialUse {
		// RFC 5258 section 3: it selects nothing by itself
		return bad("RECURSIVEMATCH needs another selection")
	}
	if !o.Extended && o.Patterns[0] == "" {
		// RFC 9051 section 6.3.9: only the delimiter is asked for
		c.enc.Raw(`* LIST (\Noselect) "/" ""`).End()
		return nil
	}
	if !refOK {
		return nil
	}
	names, err := c.user.List(ctx, o)
	if err != nil {
		return err
	}
	for i := range names {
		c.writeList("LIST", &names[i], o.Extended || c.on.rev2)
		if want.myRights && names[i].Box.ID != 0 {
			if rights, err := c.user.MyRights(ctx, names[i].Mailbox); err == nil {
				c.writeMyRights(names[i].Mailbox, rights)
			}
		}
		if want.metadata != nil && names[i].Box.ID != 0 {
			if err := c.listMetadata(ctx, names[i].Mailbox, want.metadata); err != nil {
				return err
			}
		}
		if want.status != 0 && names[i].Box.ID != 0 {
			if names[i].Box.Account != c.user.Account {
				if _, err := c.user.Mailbox(ctx, names[i].Mailbox); err != nil {
					continue // seen, but not read (RFC 4314 section 4)
				}
			}
			if err := c.writeStatus(ctx, names[i].Mailbox, names[i].Box, want.status); err != nil {
				return err
			}
		}
	}
	return nil
}

// listMetadata writes the annotations of a mailbox in a LIST (RFC 9590 section 3).
func (c *conn) listMetadata(ctx context.Context, name string, entries []string) error {
	var found []session.Annotation
	err := c.user.Metadata(ctx, name, entries, 0, func(a session.Annotation) error {
		found = append(found, a)
		return nil
	})
	if errors.Is(err, session.ErrNoRight) {
		return nil
	}
	if err != nil {
		return err
	}
	c.enc.Raw("* METADATA ").Mailbox(name).Raw(" (")
	for i, a := range found {
		if i > 0 {
			c.enc.SP()
		}
		c.enc.AString(a.Entry).SP()
		writeMetadataValue(c, a.Value)
	}
	c.enc.Byte(')').End()
	return nil
}

// listSelection takes the selection options.
func (c *conn) listSelection(o *session.ListOptions) {
	c.dec.List(true, func() {
		switch c.dec.Keyword() {
		case "SUBSCRIBED":
			o.SelectSubscribed = true
		case "REMOTE":
			o.SelectRemote = true // there are no remote mailboxes to add
		case "RECURSIVEMATCH":
			o.SelectRecursiveMatch = true
		case "SPECIAL-USE":
			o.SelectSpecialUse = true
		default:
			c.dec.Fail("Unknown selection option")
		}
	})
}

// listReturn takes the return options.
func (c *conn) listReturn(o *session.ListOptions, want *listWant) {
	c.dec.List(true, func() {
		switch c.dec.Keyword() {
		case "SUBSCRIBED":
			o.ReturnSubscribed = true
		case "CHILDREN":
			o.ReturnChildren = true
		case "SPECIAL-USE":
			o.ReturnSpecialUse = true
		case "STATUS":
			c.dec.SP()
			want.status = statusItems(c.dec)
		case "MYRIGHTS":
			want.myRights = true
		case "METADATA":
			c.dec.SP()
			c.dec.List(false, func() {
				e := c.dec.AString()
				if !session.ValidEntry(e) || len(want.metadata) >= maxMetadataEntries {
					c.dec.Fail("Bad entry name")
				}
				want.metadata = append(want.metadata, e)
			})
		default:
			c.dec.Fail("Unknown return option")
		}
	})
}

// writeList writes a LIST or LSUB response. Clients that asked in the old form
// may know only the old word for a name without a mailbox.
func (c *conn) writeList(name string, l *session.Listed, extended bool) {
	c.enc.Raw("* ").Raw(name).Raw(" (")
	sep := false
	for _, a := range l.Attrs {
		if sep {
			c.enc.SP()
		}
		sep = true
		if a == imap.MailboxAttrNonExistent && !extended {
			c.enc.Raw(`\NonExistent \Noselect`)
			continue
		}
		c.enc.Raw(string(a))
	}
	c.enc.Raw(`) "/" `).Mailbox(l.Mailbox)
	if l.ChildInfo != nil {
		c.enc.Raw(` ("CHILDINFO" (`)
		if l.ChildInfo.Subscribed {
			c.enc.Raw(`"SUBSCRIBED"`)
		} else {
			c.enc.Raw(`"SPECIAL-USE"`)
		}
		c.enc.Raw("))")
	}
	c.enc.End()
}

// cmdLsub answers LSUB (RFC 3501 section 6.3.9).
func (c *conn) cmdLsub(ctx context.Context, _ *call) error {
	c.dec.SP()
	ref, ok := c.dec.Mailbox()
	c.dec.SP()
	pattern := c.dec.ListMailbox()
	if err := c.dec.End(); err != nil {
		return err
	}
	if pattern == "" {
		c.enc.Raw(`* LSUB (\Noselect) "/" ""`).End()
		return nil
	}
	if !ok {
		return nil
	}
	names, err := c.user.Subscribed(ctx, ref, pattern)
	if err != nil {
		return err
	}
	for i := range names {
		c.writeList("LSUB", &names[i], false)
	}
	return nil
}
