package store

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// BenchmarkMailbox does to one large mailbox what clients do, and to an
// account with many mailboxes.
func BenchmarkMailbox(b *testing.B) {
	const messages, mailboxes = 100_000, 1000
	ctx := context.Background()
	s, err := Open(ctx, b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	acct := newAccount(b, s)
	body := message(1, 300)
	var batch []Delivery
	var box MailboxID
	var uids []UID
	for i := range messages {
		batch = append(batch, Delivery{Body: spooled(b, s, body), Placements: []Placement{{Account: acct}}})
		if len(batch) == 500 {
			rs, err := s.DeliverAll(ctx, batch)
			if err != nil {
				b.Fatal(err)
			}
			box, batch = rs[0].Placed[0].Mailbox, batch[:0]
		}
		uids = append(uids, UID(i+1))
	}
	var since ModSeq
	once := func(name string, fn func() error) {
		b.Run(fmt.Sprintf("%s%d", name, messages), func(b *testing.B) {
			start := time.Now()
			if err := fn(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(messages)/time.Since(start).Seconds(), "msg/s")
		})
	}
	list := func() error {
		m, err := s.Entries(ctx, box, 1, 0, func(Entry) error { return nil })
		since = m.HighestModSeq
		return err
	}
	once("List", list)
	once("Flags", func() error {
		_, err := s.ChangeFlags(ctx, box, uids, FlagChange{Op: FlagsAdd, Flags: Flags{System: Seen, Keywords: []string{"$Junk"}}})
		return err
	})
	once("Changes", func() error {
		c, err := s.ChangesSince(ctx, box, since)
		if err == nil && len(c.Changed) != messages {
			err = fmt.Errorf("%d changes", len(c.Changed))
		}
		return err
	})
	if err := list(); err != nil {
		b.Fatal(err)
	}
	trash, err := s.MailboxByName(ctx, acct, "Trash")
	if err != nil {
		b.Fatal(err)
	}
	once("Move", func() error { _, err := s.Move(ctx, box, uids, trash.ID, FlagMask{}); return err })
	once("Vanished", func() error {
		c, err := s.ChangesSince(ctx, box, since)
		if err == nil && len(c.Vanished) != messages {
			err = fmt.Errorf("%d vanished", len(c.Vanished))
		}
		return err
	})
	once("Expunge", func() error { _, _, err := s.Expunge(ctx, trash.ID, uids, false); return err })
	once("Pause", s.pause)
	b.Run(fmt.Sprintf("Create%d", mailboxes), func(b *testing.B) {
		for i := range mailboxes {
			if _, err := s.CreateMailbox(ctx, acct, fmt.Sprintf("Lists/%d/%d", i/50, i), ""); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(mailboxes)/b.Elapsed().Seconds(), "mailboxes/s")
	})
	b.Run(fmt.Sprintf("Mailboxes%d", mailboxes), func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Mailboxes(ctx, acct); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Rename", func(b *testing.B) {
		if err := s.RenameMailbox(ctx, acct, "Lists", "Listen"); err != nil {
			b.Fatal(err)
		}
	})
}
