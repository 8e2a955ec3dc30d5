package backup

import (
	"bytes"
	"context"
	"errors"
	"io"

	"pillarbox/appliance/store/store"
)

// extract is what the backups of a chain tell of one account's mailboxes and
// messages, bodies aside.
type extract struct {
	find      func(store.Table, store.Doc) (store.AccountID, bool)
	account   store.AccountID          // the one found last
	accounts  map[store.AccountID]bool // all that were found
	mailboxes map[store.MailboxID]*keptRow
	entries   map[store.MailboxID]map[store.UID]*keptRow
}

// keptRow is a row as the newest backup that has it has it.
type keptRow struct {
	key, value []byte
	live       bool // still there when the last backup was made
}

func newExtract(find func(store.Table, store.Doc) (store.AccountID, bool)) *extract {
	return &extract{find: find, accounts: map[store.AccountID]bool{}, mailboxes: map[store.MailboxID]*keptRow{},
		entries: map[store.MailboxID]map[store.UID]*keptRow{}}
}

// read takes in a backup up to its bodies. Backups come oldest first; of the
// last increment the keys tell what is live.
func (x *extract) read(ctx context.Context, r *Reader, last bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, k, v, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case s == Bodies:
			r.back()
			return nil
		case s == Rows:
			x.take(k, v)
		case last:
			x.keep(k)
		}
	}
}

// take keeps a row if it may be the account's. Documents come first, and a
// mailbox before its entries; one whose entries changed has changed itself.
// Rows that cannot be read are passed over here: they are in no message's way.
func (x *extract) take(k, v []byte) {
	id := store.MailboxOf(k)
	switch store.KindOf(k) {
	case store.RowDoc:
		t, d, err := store.ReadDocRow(k, v)
		if err != nil {
			return
		}
		if a, ok := x.find(t, d); ok {
			x.account = a
			x.accounts[a] = true
		}
	case store.RowMailbox:
		m, err := store.ReadMailboxRow(k, v)
		if err == nil && x.accounts[m.Account] {
			x.mailboxes[id] = &keptRow{key: bytes.Clone(k), value: bytes.Clone(v)}
		}
	case store.RowEntry:
		if x.mailboxes[id] == nil {
			return
		}
		if x.entries[id] == nil {
			x.entries[id] = map[store.UID]*keptRow{}
		}
		x.entries[id][store.UIDOf(k)] = &keptRow{key: bytes.Clone(k), value: bytes.Clone(v)}
	}
}

// keep marks a row as live.
func (x *extract) keep(k []byte) {
	id := store.MailboxOf(k)
	switch store.KindOf(k) {
	case store.RowMailbox:
		if row := x.mailboxes[id]; row != nil {
			row.live = true
		}
	case store.RowEntry:
		if row := x.entries[id][store.UIDOf(k)]; row != nil {
			row.live = true
		}
	}
}
