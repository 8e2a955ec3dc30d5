package imapd

import (
	"context"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

const (
	// maxEventGroups bounds the groups of a NOTIFY: each is matched with each mailbox.
	maxEventGroups = 100
	// maxEventNames bounds the names of one group.
	maxEventNames = 1000
)

// notify is what a client asked for by NOTIFY (RFC 5465).
type notify struct {
	*session.Notifier
	selected bool           // the selected mailbox was asked about: its events are announced at once
	delayed  bool           // but for messages that went
	events   session.Events // of the selected mailbox
	fetch    *fetchWant     // of its new messages; nil: nothing
}

// eventNames are the events there are. Those of annotations and metadata are
// not: the store does not tell of them.
var eventNames = map[string]session.Events{
	"MESSAGENEW":         session.MessageNew,
	"MESSAGEEXPUNGE":     session.MessageExpunge,
	"FLAGCHANGE":         session.FlagChange,
	"MAILBOXNAME":        session.MailboxName,
	"SUBSCRIPTIONCHANGE": session.SubscriptionChange,
}

const badEvent = "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange)"

// notifyParser takes the event groups of a NOTIFY.
type notifyParser struct {
	c       *conn
	n       notify
	groups  []session.EventGroup
	unknown bool  // an event there is not
	err     error // what the grammar does not forbid
}

// cmdNotify answers NOTIFY (RFC 5465 section 3).
func (c *conn) cmdNotify(ctx context.Context, _ *call) error {
	p := notifyParser{c: c}
	status := false
	c.dec.SP()
	none := false
	switch c.dec.Keyword() {
	case "NONE":
		none = true
	case "SET":
		c.dec.SP()
		if c.dec.PeekKeyword() == "STATUS" {
			c.dec.Keyword()
			c.dec.SP()
			status = true
		}
		for {
			if p.group(); len(p.groups) > maxEventGroups {
				c.dec.Fail("Too many event groups")
			}
			if !c.dec.AcceptSP() {
				break
			}
		}
	default:
		c.dec.Fail("SET or NONE expected")
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	switch {
	case p.err != nil:
		return p.err
	case p.unknown:
		return no(badEvent, "An event is not supported")
	}
	c.endNotify()
	if none {
		return nil
	}
	n, err := c.user.Notify(ctx, p.groups)
	if err != nil {
		return err
	}
	p.n.Notifier = n
	c.notify = &p.n
	if status {
		for _, box := range n.Boxes() {
			if !c.isSelected(box.ID) {
				c.writeNews(box)
			}
		}
	}
	return nil
}

func (c *conn) endNotify() {
	if c.notify != nil {
		c.notify.Close()
		c.notify = nil
	}
}

func (c *conn) isSelected(id store.MailboxID) bool { return c.sel != nil && c.sel.Mailbox().ID == id }

// group takes one event group (RFC 5465 section 8).
func (p *notifyParser) group() {
	d := p.c.dec
	var g session.EventGroup
	selected := false
	d.Expect('(')
	switch d.Keyword() {
	case "SELECTED":
		selected = true
	case "SELECTED-DELAYED":
		selected, p.n.delayed = true, true
	case "INBOXES":
		g.Scope = session.ScopeInboxes
	case "PERSONAL":
		g.Scope = session.ScopePersonal
	case "SUBSCRIBED":
		g.Scope = session.ScopeSubscribed
	case "SUBTREE":
		g.Scope = session.ScopeSubtree
		p.names(&g)
	case "MAILBOXES":
		g.Scope = session.ScopeMailboxes
		p.names(&g)
	default:
		d.Fail("Unknown mailbox filter")
	}
	d.SP()
	var fetch *fetchWant
	if d.Peek() == '(' {
		d.List(false, func() {
			name := d.Keyword()
			e, known := eventNames[name]
			p.unknown = p.unknown || !known
			g.Events |= e
			if e == session.MessageNew && d.NextIs(" (") {
				d.SP()
				fetch = &fetchWant{}
				d.List(false, func() { p.c.fetchItem(fetch, false) })
			}
		})
	} else if d.Keyword() != "NONE" {
		d.Fail("Events expected")
	}
	d.Expect(')')
	message := g.Events & session.MessageEvents
	switch {
	// RFC 5465 section 5. Of other mailboxes a STATUS tells all there is, so that
	// clients that leave one out, as there are, are served as if they had not.
	case selected && message != 0 && message&(session.MessageNew|session.MessageExpunge) != session.MessageNew|session.MessageExpunge:
		p.err = bad("MessageNew and MessageExpunge go together")
	case fetch != nil && !selected:
		p.err = bad("Only the selected mailbox's new messages can be fetched")
	case selected && g.Events&^session.MessageEvents != 0:
		p.err = bad("Only message events of the selected mailbox can be asked for") // RFC 5465 section 6.1
	case selected && p.n.selected:
		p.err = bad("The selected mailbox is there twice")
	}
	if selected {
		p.n.selected, p.n.events, p.n.fetch = true, g.Events, fetch
		return
	}
	p.groups = append(p.groups, g)
}

// names takes one mailbox or a list of them. Names that do not exist are no error.
func (p *notifyParser) names(g *session.EventGroup) {
	d := p.c.dec
	one := func() {
		if name, ok := d.Mailbox(); ok {
			g.Names = append(g.Names, name)
		}
		if len(g.Names) > maxEventNames {
			d.Fail("Too many mailboxes")
		}
	}
	d.SP()
	if d.Peek() == '(' {
		d.List(false, one)
	} else {
		one()
	}
}

// tellNews tells what happened to mailboxes other than the selected one.
func (c *conn) tellNews(ctx context.Context) error {
	var but store.MailboxID
	if c.sel != nil {
		but = c.sel.Mailbox().ID
	}
	news, err := c.notify.News(ctx, but)
	if err != nil {
		return err
	}
	for _, n := range news.Names {
		c.writeNameChange(n)
	}
	for _, box := range news.Messages {
		c.writeNews(box)
	}
	return c.enc.Err()
}

// writeNews tells how a mailbox's messages stand (RFC 5465 sections 5.1 to 5.3).
func (c *conn) writeNews(box store.Mailbox) {
	c.enc.Raw("* STATUS ").Mailbox(box.Name).Raw(" (MESSAGES ").Num32(box.Messages).
		Raw(" UIDNEXT ").Num32(uint32(box.UIDNext)).Raw(" UIDVALIDITY ").Num32(box.UIDValidity).
		Raw(" UNSEEN ").Num32(box.Unseen).Raw(" HIGHESTMODSEQ ").Num(uint64(box.HighestModSeq)).Byte(')').End()
}

// writeNameChange tells of a name (RFC 5465 sections 5.4 and 5.5).
func (c *conn) writeNameChange(n session.NameChange) {
	c.enc.Raw("* LIST (")
	if n.Gone {
		c.enc.Raw(`\NonExistent`)
	}
	if n.Subscribed {
		if n.Gone {
			c.enc.SP()
		}
		c.enc.Raw(`\Subscribed`)
	}
	c.enc.Raw(`) "/" `).Mailbox(n.Name)
	if n.Old != "" {
		c.enc.Raw(` ("OLDNAME" (`).Mailbox(n.Old).Raw("))")
	}
	c.enc.End()
}
