package imapd

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// Quota (RFC 9208). Each account is one quota root; a person's own is named
// "", that of somebody whose mailboxes they share by the owner's address. An
// account without a limit is none: a QUOTA response has one resource at least
// (RFC 9208 section 7, quota-list).

// cmdGetQuota answers GETQUOTA (RFC 9208 section 4.1.1).
func (c *conn) cmdGetQuota(ctx context.Context, _ *call) error {
	c.dec.SP()
	root := c.dec.AString()
	if err := c.dec.End(); err != nil {
		return err
	}
	q, err := c.srv.cfg.Store.Quota(ctx, c.user.Account)
	if err != nil {
		return err
	}
	if root != "" || !limited(q) {
		// The use of another's account is told with their mailboxes only.
		return no(imap.ResponseCodeNonExistent, "No such quota root")
	}
	c.writeQuota(root, q)
	return nil
}

// cmdGetQuotaRoot answers GETQUOTAROOT (RFC 9208 section 4.1.2).
func (c *conn) cmdGetQuotaRoot(ctx context.Context, _ *call) error {
	c.dec.SP()
	name, ok := c.dec.Mailbox()
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
	q, err := c.srv.cfg.Store.Quota(ctx, box.Account)
	if err != nil {
		return err
	}
	c.enc.Raw("* QUOTAROOT ").Mailbox(name)
	if !limited(q) {
		c.enc.End()
		return nil
	}
	root := c.user.QuotaRoot(box)
	c.enc.SP().AString(root).End()
	c.writeQuota(root, q)
	return nil
}

// cmdSetQuota answers SETQUOTA (RFC 9208 section 4.1.3): limits are set by
// the administrator, not by IMAP.
func (c *conn) cmdSetQuota(_ context.Context, _ *call) error {
	c.dec.SP()
	c.dec.AString()
	c.dec.SP()
	c.dec.List(true, func() {
		c.dec.Atom()
		c.dec.SP()
		c.dec.Number64()
	})
	if err := c.dec.End(); err != nil {
		return err
	}
	return no(imap.ResponseCodeNoPerm, "Quotas are set by the administrator")
}

// writeQuota writes a QUOTA response; resources without a limit are not in it.
func (c *conn) writeQuota(root string, q store.Quota) {
	c.enc.Raw("* QUOTA ").AString(root).Raw(" (")
	if q.LimitBytes > 0 {
		// RFC 9208 section 5.1: in units of 1024 octets
		c.enc.Raw("STORAGE ").Num(kib(q.Bytes)).SP().Num(kib(q.LimitBytes))
	}
	if q.LimitMessages > 0 {
		if q.LimitBytes > 0 {
			c.enc.SP()
		}
		c.enc.Raw("MESSAGE ").Num(uint64(max(q.Messages, 0))).SP().Num(uint64(q.LimitMessages))
	}
	c.enc.Byte(')').End()
}

func limited(q store.Quota) bool { return q.LimitBytes > 0 || q.LimitMessages > 0 }

func kib(n int64) uint64 { return uint64(max(n, 0)+1023) / 1024 }
