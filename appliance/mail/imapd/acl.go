package imapd

import (
	"context"
	"strings"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// Access control lists (RFC 4314). Identifiers are addresses of people on this
// box, and "anyone". Who has the mailbox selected has new rights from the next
// SELECT on, and loses others at once.

// mailboxArg takes a mailbox name that must be there.
func (c *conn) mailboxArg() (name string, ok bool) {
	c.dec.SP()
	return c.dec.Mailbox()
}

// cmdSetACL answers SETACL and DELETEACL (RFC 4314 sections 3.1 and 3.2).
func (c *conn) cmdSetACL(ctx context.Context, cl *call) error {
	name, ok := c.mailboxArg()
	c.dec.SP()
	who := c.dec.AString()
	op, letters := session.GrantSet, ""
	if cl.name == "SETACL" {
		c.dec.SP()
		letters = c.dec.AString()
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	if rest, plus := strings.CutPrefix(letters, "+"); plus {
		op, letters = session.GrantAdd, rest
	} else if rest, minus := strings.CutPrefix(letters, "-"); minus {
		op, letters = session.GrantRemove, rest
	}
	rights, known := session.ParseRights(letters)
	if !known {
		return bad("Unknown right")
	}
	if !ok {
		return store.ErrNotFound
	}
	if strings.ContainsFunc(who, func(r rune) bool { return r < ' ' || r == 0x7f }) || who == "" {
		return bad("Bad identifier")
	}
	return c.user.SetGrant(ctx, name, who, op, rights)
}

// cmdGetACL answers GETACL (RFC 4314 section 3.3).
func (c *conn) cmdGetACL(ctx context.Context, _ *call) error {
	name, ok := c.mailboxArg()
	if err := c.dec.End(); err != nil {
		return err
	}
	if !ok {
		return store.ErrNotFound
	}
	list, err := c.user.Grants(ctx, name)
	if err != nil {
		return err
	}
	c.enc.Raw("* ACL ").Mailbox(name)
	for _, g := range list {
		c.enc.SP().AString(g.Identifier).SP().Raw(g.Rights.Shown())
	}
	c.enc.End()
	return nil
}

// cmdListRights answers LISTRIGHTS (RFC 4314 section 3.4): each right can be
// given by itself.
func (c *conn) cmdListRights(ctx context.Context, _ *call) error {
	name, ok := c.mailboxArg()
	c.dec.SP()
	who := c.dec.AString()
	if err := c.dec.End(); err != nil {
		return err
	}
	if !ok {
		return store.ErrNotFound
	}
	always, optional, err := c.user.CanGrant(ctx, name, who)
	if err != nil {
		return err
	}
	c.enc.Raw("* LISTRIGHTS ").Mailbox(name).SP().AString(who).SP()
	if always == 0 {
		c.enc.Raw(`""`)
	} else {
		c.enc.Raw(always.String())
	}
	for _, r := range optional.String() {
		c.enc.SP().Byte(byte(r))
	}
	c.enc.End()
	return nil
}

// cmdMyRights answers MYRIGHTS (RFC 4314 section 3.5).
func (c *conn) cmdMyRights(ctx context.Context, _ *call) error {
	name, ok := c.mailboxArg()
	if err := c.dec.End(); err != nil {
		return err
	}
	if !ok {
		return store.ErrNotFound
	}
	rights, err := c.user.MyRights(ctx, name)
	if err != nil {
		return err
	}
	c.writeMyRights(name, rights)
	return nil
}

func (c *conn) writeMyRights(name string, rights session.Rights) {
	c.enc.Raw("* MYRIGHTS ").Mailbox(name).SP()
	if rights == 0 {
		c.enc.Raw(`""`).End()
		return
	}
	c.enc.Raw(rights.Shown()).End()
}
