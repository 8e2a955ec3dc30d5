package imapd

import (
	"context"

	"golang.org/x/text/unicode/norm"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// cmdCreate answers CREATE (RFC 9051 section 6.3.4), with a special use
// (RFC 6154 section 3).
func (c *conn) cmdCreate(ctx context.Context, cl *call) error {
	c.dec.SP()
	name, ok := c.dec.Mailbox()
	var uses []string
	if c.dec.AcceptSP() {
		c.dec.List(false, func() {
			if c.dec.Keyword() != "USE" {
				c.dec.Fail("Unknown parameter")
				return
			}
			c.dec.SP()
			c.dec.List(true, func() { uses = append(uses, c.dec.Flag()) })
		})
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	use, err := session.SpecialUse(uses)
	if err != nil {
		return err
	}
	if !ok {
		return store.ErrBadName
	}
	box, err := c.user.Create(ctx, name, use)
	if err != nil {
		return err
	}
	if c.on.rev2 && !norm.NFC.IsNormalString(name) {
		c.writeName(name) // RFC 9051 section 6.3.4
	}
	cl.code = "MAILBOXID (" + mailboxID(box.ID) + ")" // RFC 8474 section 4.1
	return nil
}

// cmdDelete answers DELETE (RFC 9051 section 6.3.5). The selected mailbox can be
// deleted too, as clients do; the session is then in none.
func (c *conn) cmdDelete(ctx context.Context, _ *call) error {
	c.dec.SP()
	name, ok := c.dec.Mailbox()
	if err := c.dec.End(); err != nil {
		return err
	}
	if !ok {
		return store.ErrNotFound
	}
	selected := false
	if c.sel != nil {
		box, err := c.user.Mailbox(ctx, name)
		selected = err == nil && c.isSelected(box.ID)
	}
	if err := c.user.Delete(ctx, name); err != nil {
		return err
	}
	if selected {
		c.unselect()
		c.enc.Raw("* OK [CLOSED] The mailbox is deleted").End()
	}
	return nil
}

// cmdRename answers RENAME (RFC 9051 section 6.3.6).
func (c *conn) cmdRename(ctx context.Context, _ *call) error {
	c.dec.SP()
	from, ok1 := c.dec.Mailbox()
	c.dec.SP()
	to, ok2 := c.dec.Mailbox()
	if err := c.dec.End(); err != nil {
		return err
	}
	if !ok1 {
		return store.ErrNotFound
	}
	if !ok2 {
		return store.ErrBadName
	}
	if err := c.user.Rename(ctx, from, to); err != nil {
		return err
	}
	if c.on.rev2 && !norm.NFC.IsNormalString(to) {
		c.writeName(to) // RFC 9051 section 6.3.6
	}
	return nil
}

// cmdSubscribe answers SUBSCRIBE and UNSUBSCRIBE (RFC 9051 sections 6.3.7 and 6.3.8).
func (c *conn) cmdSubscribe(ctx context.Context, cl *call) error {
	c.dec.SP()
	name, ok := c.dec.Mailbox()
	if err := c.dec.End(); err != nil {
		return err
	}
	if !ok {
		return store.ErrBadName
	}
	return c.user.Subscribe(ctx, name, cl.name == "SUBSCRIBE")
}

// cmdNamespace answers NAMESPACE (RFC 2342, RFC 9051 section 6.3.10).
func (c *conn) cmdNamespace(_ context.Context, _ *call) error {
	if err := c.dec.End(); err != nil {
		return err
	}
	c.enc.Raw(`* NAMESPACE (("" "/")) `)
	if p := c.user.SharedPrefix(); p != "" {
		c.enc.Raw("((").Mailbox(p).Raw(` "/"))`)
	} else {
		c.enc.Nil()
	}
	c.enc.Raw(" NIL").End()
	return nil
}
