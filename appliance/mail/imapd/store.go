package imapd

import (
	"context"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/imapwire"
	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// errReadOnly answers a change in a mailbox that was opened to be read.
var errReadOnly = &imap.Error{Type: imap.StatusResponseTypeNo, Code: "READ-ONLY", Text: "Mailbox is selected read-only"}

// keywordLimit is the longest keyword taken.
const keywordLimit = 100

// flagList takes flags, in parentheses or, where bare is true, without.
// \Recent is refused: only the server sets it.
func flagList(d *imapwire.Decoder, bare bool) store.Flags {
	var f store.Flags
	one := func() {
		name := d.Flag()
		if d.Err() != nil {
			return
		}
		if strings.HasPrefix(name, `\`) {
			for _, s := range systemFlags {
				if strings.EqualFold(s.name, name) {
					f.System |= s.bit
					return
				}
			}
			d.Fail("Unknown system flag")
			return
		}
		if len(name) > keywordLimit {
			d.Fail("Keyword too long")
			return
		}
		for _, k := range f.Keywords {
			if strings.EqualFold(k, name) {
				return
			}
		}
		f.Keywords = append(f.Keywords, name)
	}
	if bare && d.Peek() != '(' {
		one()
		for d.AcceptSP() {
			one()
		}
		return f
	}
	d.List(true, one)
	return f
}

// cmdStore answers STORE and UID STORE (RFC 9051 sections 6.4.6 and 6.4.9),
// with UNCHANGEDSINCE (RFC 7162 section 3.1.3).
func (c *conn) cmdStore(ctx context.Context, cl *call) error {
	var change store.FlagChange
	silent := false
	c.dec.SP()
	set := c.dec.NumSet(cl.uid)
	c.dec.SP()
	if c.dec.Peek() == '(' {
		c.dec.List(false, func() {
			if c.dec.Keyword() != "UNCHANGEDSINCE" {
				c.dec.Fail("Unknown modifier")
				return
			}
			c.dec.SP()
			change.UnchangedSince, change.UseUnchangedSince = store.ModSeq(c.dec.Number64()), true
		})
		c.dec.SP()
	}
	switch {
	case c.dec.Accept('+'):
		change.Op = store.FlagsAdd
	case c.dec.Accept('-'):
		change.Op = store.FlagsRemove
	default:
		change.Op = store.FlagsSet
	}
	switch c.dec.ItemName() {
	case "FLAGS":
	case "FLAGS.SILENT":
		silent = true
	default:
		c.dec.Fail("FLAGS expected")
	}
	c.dec.SP()
	change.Flags = flagList(c.dec, true)
	if err := c.dec.End(); err != nil {
		return err
	}
	cl.noExpunge = !cl.uid
	if c.sel.ReadOnly {
		return errReadOnly
	}
	spans, err := c.sel.Resolve(set)
	if err != nil {
		return err
	}
	if change.UseUnchangedSince {
		c.enableCondstore()
	}
	modified, err := c.sel.ChangeFlags(ctx, spans, change, func(changed []session.Numbered, keywords bool) {
		if keywords {
			c.writeFlagsInUse()
		}
		for i := range changed {
			c.writeStored(cl, &changed[i], silent)
		}
	})
	if err != nil {
		return err
	}
	if len(modified) > 0 {
		cl.code = "MODIFIED " + c.setString(modified, cl.uid)
		cl.text = "Some messages have changed and were left alone"
	}
	return nil
}

// writeStored tells of a message whose flags were changed.
func (c *conn) writeStored(cl *call, m *session.Numbered, silent bool) {
	switch {
	case !silent:
		c.writeFlags(m, cl.uid)
	case c.on.condstore:
		// RFC 7162 section 3.1.3: the new mod-sequence is told even then.
		c.beginFetch(m)
		if !c.on.uidonly && (cl.uid || c.on.qresync) {
			c.enc.Raw("UID ").Num32(uint32(m.UID)).SP()
		}
		c.enc.Raw("MODSEQ (").Num(uint64(m.ModSeq)).Raw("))").End()
	}
}

// setString writes UIDs as a set: of UIDs, or of the messages' numbers.
func (c *conn) setString(uids []store.UID, asUID bool) string {
	if asUID {
		return imap.UIDSet(session.SpansOf(uids)).String()
	}
	var set imap.SeqSet
	for _, uid := range uids {
		if n := c.sel.Seq(uid); n != 0 {
			set.AddNum(n)
		}
	}
	return set.String()
}
