package imapd

import (
	"context"

	"pillarbox/appliance/mail/imapd/imapwire"
	"pillarbox/appliance/store/store"
)

// statusItem is an item of STATUS (RFC 9051 section 6.3.11).
type statusItem uint16

const (
	statusMessages statusItem = 1 << iota
	statusRecent
	statusUIDNext
	statusUIDValidity
	statusUnseen
	statusDeleted
	statusSize
	statusAppendLimit
	statusDeletedStorage
	statusHighestModSeq
	statusMailboxID
)

// statusNames are the items in the order they are answered.
var statusNames = [...]struct {
	name string
	item statusItem
}{
	{"MESSAGES", statusMessages},
	{"RECENT", statusRecent},
	{"UIDNEXT", statusUIDNext},
	{"UIDVALIDITY", statusUIDValidity},
	{"UNSEEN", statusUnseen},
	{"DELETED", statusDeleted},                // RFC 9051
	{"SIZE", statusSize},                      // RFC 8438
	{"APPENDLIMIT", statusAppendLimit},        // RFC 7889
	{"DELETED-STORAGE", statusDeletedStorage}, // RFC 9208
	{"HIGHESTMODSEQ", statusHighestModSeq},    // RFC 7162
	{"MAILBOXID", statusMailboxID},            // RFC 8474
}

// statusItems takes a list of items.
func statusItems(d *imapwire.Decoder) statusItem {
	var items statusItem
	d.List(false, func() {
		name := d.Keyword()
		for _, s := range statusNames {
			if s.name == name {
				items |= s.item
				return
			}
		}
		d.Fail("Unknown STATUS item")
	})
	return items
}

// cmdStatus answers STATUS (RFC 9051 section 6.3.11).
func (c *conn) cmdStatus(ctx context.Context, _ *call) error {
	c.dec.SP()
	name, ok := c.dec.Mailbox()
	c.dec.SP()
	items := statusItems(c.dec)
	if err := c.dec.End(); err != nil {
		return err
	}
	if !ok {
		return store.ErrNotFound
	}
	box, err := c.user.Mailbox(ctx, name)
	if err != nil {
		return err
	}
	return c.writeStatus(ctx, name, box, items)
}

// writeStatus writes a STATUS response.
func (c *conn) writeStatus(ctx context.Context, name string, box store.Mailbox, items statusItem) error {
	if items&statusHighestModSeq != 0 {
		c.enableCondstore() // RFC 7162 section 3.1
	}
	var deletedSize int64
	if items&statusDeletedStorage != 0 && box.DeletedCount > 0 {
		var err error
		if deletedSize, err = c.user.DeletedSize(ctx, box.ID); err != nil {
			return err
		}
	}
	var recent uint32
	if items&statusRecent != 0 {
		if c.sel != nil && c.sel.Mailbox().ID == box.ID {
			recent = c.sel.RecentCount()
		} else {
			var err error
			if recent, err = c.user.RecentCount(ctx, box); err != nil {
				return err
			}
		}
	}
	c.enc.Raw("* STATUS ").Mailbox(name).Raw(" (")
	first := true
	for _, s := range statusNames {
		if items&s.item == 0 {
			continue
		}
		if !first {
			c.enc.SP()
		}
		first = false
		c.enc.Raw(s.name).SP()
		switch s.item {
		case statusMessages:
			c.enc.Num32(box.Messages)
		case statusRecent:
			c.enc.Num32(recent)
		case statusUIDNext:
			c.enc.Num32(uint32(box.UIDNext))
		case statusUIDValidity:
			c.enc.Num32(box.UIDValidity)
		case statusUnseen:
			c.enc.Num32(box.Unseen)
		case statusDeleted:
			c.enc.Num32(box.DeletedCount)
		case statusSize:
			c.enc.Num(uint64(max(box.Size, 0)))
		case statusAppendLimit:
			c.enc.Num(uint64(c.srv.cfg.AppendLimit()))
		case statusDeletedStorage:
			c.enc.Num(uint64(deletedSize))
		case statusHighestModSeq:
			c.enc.Num(uint64(box.HighestModSeq))
		case statusMailboxID:
			c.enc.Byte('(').Raw(mailboxID(box.ID)).Byte(')')
		}
	}
	c.enc.Byte(')').End()
	return nil
}
