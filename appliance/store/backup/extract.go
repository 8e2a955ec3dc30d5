package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"pillarbox/appliance/store/blob"
	"pillarbox/appliance/store/store"
)

// Selection says which mail of a backup is meant.
type Selection struct {
	// Address is whose mail, as the backup names it (Options.Names).
	Address string
	// Mailbox is the one meant, with those below it; "" for all.
	Mailbox string
	// UID, where set, is the one message of Mailbox that is meant.
	UID store.UID
	// MessageID, where set, takes only messages with it, without angle brackets.
	MessageID string
}

// wants tells whether a mailbox is selected: with UID only the one named.
func (s *Selection) wants(name string) bool {
	box := s.Mailbox
	if clean, err := store.CleanName(box); err == nil {
		box = clean
	}
	return box == "" || name == box || s.UID == 0 && strings.HasPrefix(name, box+"/")
}

// isMessage tells whether a body is one of the messages selected.
func (s *Selection) isMessage(c *blob.Codec, b *body) bool {
	if s.MessageID == "" {
		return true
	}
	f, err := store.ReadFactsRow(c, b.facts, nil)
	return err == nil && f.MessageID == s.MessageID
}

// Extract writes what is selected of a full backup and its increments, in
// order, as one small backup to w, for RestorePart: the whole need not go to
// where the store is. ErrNotFound where there is nothing of it.
func Extract(ctx context.Context, w io.Writer, sel Selection, chain ...*Reader) (*Summary, error) {
	x, boxes, err := choose(ctx, sel, chain)
	if err != nil {
		return nil, err
	}
	codec, err := blob.NewCodec()
	if err != nil {
		return nil, err
	}
	defer codec.Close()
	last := chain[len(chain)-1].header
	s := &Summary{Header: Header{Format: formatVersion, ID: newID(), Created: last.Created, Program: last.Program, Extract: true}}
	err = seal(w, nil, s, func(out *sealer) error { return x.write(ctx, out, s, sel, boxes, codec, chain) })
	if err != nil {
		return nil, fmt.Errorf("backup: extract: %w", err)
	}
	return s, nil
}

func (x *extract) write(ctx context.Context, out *sealer, s *Summary, sel Selection, boxes []chosen, codec *blob.Codec, chain []*Reader) error {
	err := writeNames(ctx, func(_ context.Context, fn func(string, store.AccountID) error) error {
		return fn(sel.Address, x.account)
	}, out, s)
	if err != nil {
		return err
	}
	rows := rowWriter{out: out, kind: blockRows, values: true}
	wanted := map[store.BlobID]bool{}
	for _, b := range boxes {
		s.Rows++
		if err := rows.add(b.row.key, b.row.value); err != nil {
			return err
		}
		for _, row := range b.entries {
			e, err := b.box.Entry(row.key, row.value)
			if err != nil {
				continue // a damaged row of one message
			}
			wanted[e.Blob] = true
			s.Rows++
			if err := rows.add(row.key, row.value); err != nil {
				return err
			}
		}
	}
	if err := rows.flush(); err != nil {
		return err
	}
	bodies := rowWriter{out: out, kind: blockBodies, values: true}
	for _, c := range chain {
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			b, err := c.nextBody()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if !wanted[b.id] || !sel.isMessage(codec, b) {
				continue
			}
			delete(wanted, b.id)
			s.Bodies++
			err = bodies.add(store.BodyKey(b.id), b.row)
			if err == nil && b.facts != nil {
				err = bodies.add(store.FactsKey(b.id), b.facts)
			}
			if err == nil {
				err = b.rows(func(k, v []byte) error {
					s.BodyBytes += int64(len(v))
					return bodies.add(k, v)
				})
			}
			if err != nil {
				return err
			}
		}
	}
	if sel.MessageID != "" && s.Bodies == 0 {
		return errNoMessage
	}
	return bodies.flush()
}

var errNoMessage = fmt.Errorf("%w: no message with that Message-ID", ErrNotFound)

// chosen is a selected mailbox with the rows of its selected messages.
type chosen struct {
	box     *store.MailboxRow
	row     *keptRow
	entries []*keptRow
}

// choose reads the backups of a chain up to their bodies and finds what is selected.
func choose(ctx context.Context, sel Selection, chain []*Reader) (*extract, []chosen, error) {
	if err := checkChain(chain); err != nil {
		return nil, nil, err
	}
	x := &extract{address: sel.Address, accounts: map[store.AccountID]bool{}, mailboxes: map[store.MailboxID]*keptRow{},
		entries: map[store.MailboxID]map[store.UID]*keptRow{}}
	for i, c := range chain {
		if err := x.read(ctx, c, i > 0 && i == len(chain)-1); err != nil {
			return nil, nil, fmt.Errorf("backup %s: %w", c.header.ID, err)
		}
	}
	if x.account == 0 {
		return nil, nil, fmt.Errorf("%w: account %s", ErrNotFound, sel.Address)
	}
	live := func(row *keptRow) bool { return row.live || len(chain) == 1 }
	var out []chosen
	found := false
	for _, id := range slices.Sorted(maps.Keys(x.mailboxes)) {
		row := x.mailboxes[id]
		m, err := store.ReadMailboxRow(row.key, row.value)
		if err != nil || !live(row) || m.Account != x.account || !sel.wants(m.Name) {
			continue
		}
		b := chosen{box: m, row: row}
		for _, uid := range slices.Sorted(maps.Keys(x.entries[id])) {
			if e := x.entries[id][uid]; live(e) && (sel.UID == 0 || uid == sel.UID) {
				b.entries = append(b.entries, e)
			}
		}
		found = found || sel.UID == 0 || len(b.entries) > 0
		out = append(out, b)
	}
	if !found {
		return nil, nil, fmt.Errorf("%w: no such mailbox or message", ErrNotFound)
	}
	return x, out, nil
}

// extract is what the backups of a chain tell of one account's mailboxes and
// messages, bodies aside.
type extract struct {
	address   string
	account   store.AccountID          // that of the address in the newest backup that has it
	accounts  map[store.AccountID]bool // all it ever had
	mailboxes map[store.MailboxID]*keptRow
	entries   map[store.MailboxID]map[store.UID]*keptRow
}

// keptRow is a row as the newest backup that has it has it.
type keptRow struct {
	key, value []byte
	live       bool // still there when the last backup was made
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
		case s == Names:
			if n, size := binary.Uvarint(v); size > 0 && strings.EqualFold(string(k), x.address) {
				x.account = store.AccountID(n)
				x.accounts[x.account] = true
			}
		case s == Rows:
			x.take(k, v)
		case last:
			x.keep(k)
		}
	}
}

// take keeps a row if it may be the account's. A mailbox comes before its
// entries; one whose entries changed has changed itself. Rows that cannot be
// read are passed over here: they are in no message's way.
func (x *extract) take(k, v []byte) {
	id := store.MailboxOf(k)
	switch store.KindOf(k) {
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
