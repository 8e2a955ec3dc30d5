package imapd

import (
	"context"
	"errors"
	"os"
	"sync"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// sync tells the client what changed in the selected mailbox.
func (c *conn) sync(ctx context.Context, expunge bool) error {
	up, err := c.sel.Sync(ctx, expunge)
	if err != nil {
		return err
	}
	c.contextsLose(&up)
	c.writeUpdate(up)
	if err := c.contextsFollow(ctx); err != nil {
		return err
	}
	if c.notify != nil && c.notify.fetch != nil && len(up.New) > 0 {
		if err := c.fetchNew(ctx, up.New); err != nil {
			return err
		}
	}
	return c.enc.Err()
}

// fetchNew tells of new messages what NOTIFY asked for (RFC 5465 section 5.1).
func (c *conn) fetchNew(ctx context.Context, es []store.Entry) error {
	ms := make([]session.Numbered, 0, len(es))
	for _, e := range es {
		if seq := c.sel.Seq(e.UID); seq != 0 {
			ms = append(ms, session.Numbered{Seq: seq, Entry: e})
		}
	}
	want := *c.notify.fetch
	want.uid = want.uid || c.on.qresync && !c.on.uidonly
	want.modseq = want.modseq || want.flags && c.on.condstore
	return newFetcher(c, &want).batch(ctx, ms)
}

func (c *conn) writeUpdate(up session.Update) {
	c.writeExpunged(up.Expunged, up.ExpungedUIDs)
	if up.Exists {
		c.enc.Raw("* ").Num32(c.sel.Len()).Raw(" EXISTS").End()
		c.writeRecent()
	}
	if up.Keywords {
		c.writeFlagsInUse()
	}
	if c.notify != nil && c.notify.selected && c.notify.events&session.FlagChange == 0 {
		return
	}
	// NOTIFY demands the UID (RFC 5465 section 5.1).
	uid := c.notify != nil && c.notify.selected
	for i := range up.Flags {
		c.writeFlags(&up.Flags[i], uid)
	}
}

// writeRecent tells the number of recent messages, which IMAP4rev2 no longer has.
func (c *conn) writeRecent() {
	if !c.on.rev2 {
		c.enc.Raw("* ").Num32(c.sel.RecentCount()).Raw(" RECENT").End()
	}
}

// writeExpunged tells which messages went: VANISHED where the client enabled
// it (RFC 7162 section 3.2.10, RFC 9586 section 3.2), else EXPUNGE for each.
func (c *conn) writeExpunged(numbers []uint32, uids []store.UID) {
	if len(uids) == 0 {
		return
	}
	if c.on.qresync || c.on.uidonly {
		c.enc.Raw("* VANISHED ").Set(len(uids), func(i int) uint32 { return uint32(uids[i]) }).End()
		return
	}
	for _, n := range numbers {
		c.enc.Raw("* ").Num32(n).Raw(" EXPUNGE").End()
	}
}

// beginFetch begins a FETCH response, or with UIDONLY an UIDFETCH response
// (RFC 9586 section 3.3), up to the opening parenthesis.
func (c *conn) beginFetch(m *session.Numbered) {
	if c.on.uidonly {
		c.enc.Raw("* ").Num32(uint32(m.UID)).Raw(" UIDFETCH (")
		return
	}
	c.enc.Raw("* ").Num32(m.Seq).Raw(" FETCH (")
}

// tellKeywords tells of keywords that came into use, before a message has one:
// clients hold flags they were not told of for an error (RFC 9051 section 7.3.5).
func (c *conn) tellKeywords(m *session.Numbered) {
	if len(m.Flags.Keywords) > 0 && c.sel.Learn(m.Flags.Keywords) {
		c.writeFlagsInUse()
	}
}

// writeFlags tells a message's flags. uid adds its UID, which QRESYNC demands
// always (RFC 7162 section 3.2.4); CONDSTORE adds its mod-sequence.
func (c *conn) writeFlags(m *session.Numbered, uid bool) {
	c.tellKeywords(m)
	c.beginFetch(m)
	if !c.on.uidonly && (uid || c.on.qresync) {
		c.enc.Raw("UID ").Num32(uint32(m.UID)).SP()
	}
	c.enc.Raw("FLAGS ")
	c.writeFlagList(m)
	if c.on.condstore {
		c.enc.Raw(" MODSEQ (").Num(uint64(m.ModSeq)).Byte(')')
	}
	c.enc.Byte(')').End()
}

func (c *conn) writeFlagList(m *session.Numbered) {
	c.enc.Byte('(')
	first := true
	sep := func() {
		if !first {
			c.enc.SP()
		}
		first = false
	}
	for _, f := range systemFlags {
		if m.Flags.System&f.bit != 0 {
			sep()
			c.enc.Raw(f.name)
		}
	}
	if !c.on.rev2 && c.sel.Recent(m.UID) {
		sep()
		c.enc.Raw(`\Recent`)
	}
	for _, k := range m.Flags.Keywords {
		sep()
		c.enc.Raw(k)
	}
	c.enc.Byte(')')
}

// systemFlags in the order they are written.
var systemFlags = [...]struct {
	bit  store.SystemFlags
	name string
}{
	{store.Answered, `\Answered`},
	{store.Flagged, `\Flagged`},
	{store.Deleted, `\Deleted`},
	{store.Seen, `\Seen`},
	{store.Draft, `\Draft`},
}

// writeFlagsInUse tells the flags of the mailbox, and which of them can be kept.
func (c *conn) writeFlagsInUse() {
	keywords := c.sel.Keywords()
	list := func() {
		for i, f := range systemFlags {
			if i > 0 {
				c.enc.SP()
			}
			c.enc.Raw(f.name)
		}
		for _, k := range keywords {
			c.enc.SP().Raw(k)
		}
	}
	c.enc.Raw("* FLAGS (")
	list()
	c.enc.Byte(')').End()
	c.enc.Raw("* OK [PERMANENTFLAGS (")
	if !c.sel.ReadOnly {
		r := c.sel.Rights
		first := true
		for _, f := range systemFlags {
			if r.Has(flagRight(f.bit)) {
				if !first {
					c.enc.SP()
				}
				first = false
				c.enc.Raw(f.name)
			}
		}
		if r.Has(session.RightWrite) {
			for _, k := range keywords {
				c.enc.SP().Raw(k)
			}
			c.enc.Raw(` \*`)
		}
	}
	c.enc.Raw(")] Flags that are kept").End()
}

// flagRight is the right a flag's change needs (RFC 4314 section 4).
func flagRight(f store.SystemFlags) session.Rights {
	switch f {
	case store.Seen:
		return session.RightSeen
	case store.Deleted:
		return session.RightTrash
	}
	return session.RightWrite
}

// announcing runs wait, which blocks for input, and announces what NOTIFY
// asked for as it happens until it returns.
func (c *conn) announcing(wait func() error) error {
	if c.notify == nil || c.dec.Buffered() > 0 {
		return wait()
	}
	// SELECTED NONE asks for silence (RFC 5465 section 5).
	return c.announceWhile(wait, c.notify.selected && c.notify.events != 0, !c.notify.delayed)
}

// announceWhile runs wait and announces changes meanwhile: those of the
// selected mailbox, where selected says so, and what NOTIFY asked for. Nobody
// else writes meanwhile.
func (c *conn) announceWhile(wait func() error, selected, expunge bool) error {
	var events, others <-chan store.Event
	if c.sel != nil && selected {
		events = c.sel.Events()
	}
	if c.notify != nil {
		others = c.notify.C()
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		if failed = c.announceUntil(stop, events, others, expunge); failed != nil {
			c.roused.Store(true)
			c.endWait()
		}
	})
	err := wait()
	close(stop)
	wg.Wait()
	if failed != nil && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		return failed
	}
	return err
}

// announceUntil announces changes until stop is closed. Its error ends the connection.
func (c *conn) announceUntil(stop <-chan struct{}, events, others <-chan store.Event, expunge bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.logPanic(p)
			err = errPanic
		}
	}()
	for err == nil {
		select {
		case <-stop:
			return nil
		case <-c.revoked:
			return errRevoked
		case e, ok := <-events:
			if !ok {
				events = nil
			} else if c.sel.Note(e) {
				err = c.announce(func(ctx context.Context) error { return c.sync(ctx, expunge) })
			}
		case e, ok := <-others:
			if !ok {
				others = nil
				break
			}
			c.notify.Note(e)
			if len(others) == 0 { // many changes are told as one
				err = c.announce(c.tellNews)
			}
		}
	}
	return err
}

// announce writes something and sends it.
func (c *conn) announce(write func(context.Context) error) error {
	if err := write(c.context()); err != nil {
		return err
	}
	return c.flush()
}
