package imapd

import (
	"context"
	"strconv"

	"github.com/emersion/go-imap/v2"
)

// cmdReplace answers REPLACE and UID REPLACE (RFC 8508): a new message in the
// named mailbox, and the old one gone from the selected one.
func (c *conn) cmdReplace(ctx context.Context, cl *call) error {
	c.dec.SP()
	var set imap.NumSet
	if n := c.dec.SeqNumber(); cl.uid { // 0 is "*" in a set too
		set = imap.UIDSetNum(imap.UID(n))
	} else {
		set = imap.SeqSetNum(n)
	}
	c.dec.SP()
	if err := c.dec.Err(); err != nil {
		return err
	}
	if c.sel.ReadOnly {
		return errReadOnly
	}
	spans, err := c.sel.Resolve(set)
	if err != nil {
		return err
	}
	uids := c.sel.UIDs(spans)
	if len(uids) != 1 {
		return no("", "No such message")
	}
	batch, target, err := c.appendTarget(ctx)
	if err != nil {
		return err
	}
	defer batch.Abort()
	switch ok, err := c.sel.Replace(ctx, batch, uids[0]); {
	case err != nil:
		return err
	case !ok:
		return no("", "The message is gone")
	}
	if err := c.appendOne(ctx, batch); err != nil {
		return err
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	placed, err := batch.Commit(ctx)
	if err != nil {
		return tryCreate(err)
	}
	modseq, err := c.sel.Expunge(ctx, uids[0])
	if err != nil {
		return err
	}
	c.enc.Raw("* OK [").Raw(appendUID(target, placed)).Raw("] Replacement is in place").End()
	if c.on.qresync {
		cl.code = "HIGHESTMODSEQ " + strconv.FormatUint(uint64(modseq), 10)
	}
	return nil
}
