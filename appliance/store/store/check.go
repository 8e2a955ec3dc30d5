package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"pillarbox/appliance/store/blob"
)

const (
	// maxProblems bounds the problems a report lists, and those that one check
	// mends: a store with more wants a restore.
	maxProblems = 10000
	// progressEvery is how many rows pass between two calls of Progress.
	progressEvery = 4096
)

// CheckOptions says how deep a check goes.
type CheckOptions struct {
	Bodies bool // read every body and compare its hash
	Repair bool
	// Progress, where set, is called now and then with done and total rows.
	Progress func(done, total int64)
}

// CheckReport lists what a check found.
type CheckReport struct {
	Accounts, Mailboxes, Messages, Blobs, Queued int64
	Problems                                     []Problem
	// Unlisted is how many problems there are beyond those listed.
	Unlisted int64
}

// Problem is one thing wrong with the store.
type Problem struct {
	Where    string // the record, in words
	What     string
	Repaired bool
}

// Check verifies every reference, count and hash, on the store as of one
// moment while it goes on working. With Repair it then mends what can be
// mended: counters are counted again, references and indexes made again from
// the records they follow from, orphans dropped. What is lost (a body's bytes,
// a record that cannot be read) is listed and left as it is. Of a store with
// more than 10,000 problems each call lists and mends so many.
func (s *Store) Check(ctx context.Context, o CheckOptions) (*CheckReport, error) {
	if s.closing.RLock(); s.closed {
		s.closing.RUnlock()
		return nil, ErrClosed
	}
	s.closing.RUnlock()
	c := &checker{s: s, v: s.view(), ctx: ctx, o: o, accounts: map[AccountID]*tally{}, boxes: map[MailboxID]*boxTally{}}
	defer c.v.close()
	if err := c.run(); err != nil {
		return nil, err
	}
	if o.Repair {
		if err := c.repair(); err != nil {
			return nil, err
		}
	}
	return &c.out, nil
}

// mending is what mends a problem.
type mending struct {
	op    op
	where string
	place int // in the report's list, -1 where it is not in it
}

// checker is one check under way.
type checker struct {
	s    *Store
	v    *view
	ctx  context.Context
	o    CheckOptions
	out  CheckReport
	mend []mending

	done, total int64
	global      globalRec
	counted     globalRec
	accounts    map[AccountID]*tally
	boxes       map[MailboxID]*boxTally
}

// tally is what was counted of an account.
type tally struct {
	rec  accountRec
	used Quota
}

// boxTally is what was counted of a mailbox.
type boxTally struct {
	rec    mailboxRec
	doomed bool
	count  mailboxRec
	unseen UID
}

// problem notes something wrong and the op that mends it, nil where none can.
// Problems that nothing mends leave room for those that can be mended.
func (c *checker) problem(mend op, where, format string, args ...any) {
	place := len(c.out.Problems)
	if place < maxProblems {
		c.out.Problems = append(c.out.Problems, Problem{Where: where, What: fmt.Sprintf(format, args...)})
	} else {
		c.out.Unlisted++
		place = -1
	}
	if mend != nil && len(c.mend) < maxProblems {
		c.mend = append(c.mend, mending{mend, where, place})
	}
}

// repaired notes that a problem was mended.
func (c *checker) repaired(m mending) {
	if m.place >= 0 {
		c.out.Problems[m.place].Repaired = true
	}
}

func (c *checker) run() error {
	if err := c.tables(); err != nil {
		return err
	}
	if err := c.v.get(keyMeta(metaGlobal), func(val []byte) (err error) {
		c.global, err = decodeGlobal(val)
		return damaged("meta", metaGlobal, err)
	}); err != nil {
		for _, p := range c.out.Problems { // nothing can be counted, but this is why
			err = fmt.Errorf("%w; %s: %s", err, p.Where, p.What)
		}
		return fmt.Errorf("store: check: %w", err)
	}
	c.total = 3*c.global.Messages + 4*c.global.Blobs + 2*c.global.Mailboxes + 2*c.global.Queued
	for _, step := range []func() error{
		c.accountRows, c.mailboxRows, c.nameRows, c.entryRows, c.emailRows, c.expungedRows, c.logRows, c.threadRows,
		c.blobRows, c.strayBodies, c.refRows, c.queueRows, c.docRows, c.indexRows, c.counters,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	c.progress(0)
	return nil
}

func (c *checker) progress(rows int64) {
	before := c.done / progressEvery
	c.done += rows
	if c.o.Progress != nil && (rows == 0 || c.done/progressEvery != before) {
		c.o.Progress(c.done, max(c.done, c.total))
	}
}

// each calls fn with the rows of a table, holding nothing meanwhile.
func (c *checker) each(prefix []byte, keysOnly bool, fn func(k, val []byte) error) error {
	type row struct{ k, val []byte }
	var page []row
	return c.v.rows(scanOptions{prefix: prefix, keysOnly: keysOnly}, func(k, val []byte) error {
		page = append(page, row{bytes.Clone(k), bytes.Clone(val)})
		return nil
	}, func() error {
		for _, r := range page {
			if err := fn(r.k, r.val); err != nil {
				return err
			}
		}
		c.progress(int64(len(page)))
		page = page[:0]
		return c.ctx.Err()
	})
}

// has tells whether there is a row.
func (c *checker) has(k []byte) (bool, error) {
	err := c.v.get(k, func([]byte) error { return nil })
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// unreadable notes a record that does not decode; a newer program's is an error.
func (c *checker) unreadable(where string, err error) error {
	if errors.Is(err, ErrNewerStore) {
		return err
	}
	c.problem(nil, where, "cannot be read: %v", err)
	return nil
}

func (c *checker) entryRows() error {
	return c.each([]byte{tableEntry}, false, func(k, val []byte) error {
		id, uid := MailboxID(id64(k, 0)), UID(tail32(k))
		where := fmt.Sprintf("message %d of mailbox %d", uid, id)
		e, err := decodeEntry(val)
		if err != nil {
			return c.unreadable(where, err)
		}
		b := c.boxes[id]
		if b == nil {
			c.problem(nil, where, "its mailbox is not there")
			return nil
		}
		if uid >= b.rec.UIDNext {
			c.problem(recountOp{Mailbox: id}, where, "has a UID that was not given yet")
		}
		if e.ModSeq > b.rec.HighestModSeq {
			c.problem(recountOp{Mailbox: id}, where, "has mod-sequence %d beyond its mailbox's %d", e.ModSeq, b.rec.HighestModSeq)
		}
		if len(b.count.Keywords) == 0 {
			b.count.Keywords = make([]keyword, len(b.rec.Keywords))
		}
		for _, p := range e.Keywords {
			if b.doomed {
				break // it may not have kept their names
			}
			if int(p) >= len(b.rec.Keywords) || b.rec.Keywords[p].Name == "" {
				c.problem(mendEntryOp{id, uid}, where, "has keyword %d, which the mailbox does not know", p)
			}
		}
		b.count.count(&e, uid, 1)
		if e.System&Seen == 0 && b.unseen == 0 {
			b.unseen = uid
		}
		if !b.doomed {
			c.out.Messages++
		}
		rec, err := c.email(b.rec.Account, e.Email)
		switch {
		case errors.Is(err, ErrNotFound):
			c.problem(mendEntryOp{id, uid}, where, "its email %d is not there", e.Email)
		case errors.Is(err, errRecord):
			c.problem(mendEntryOp{id, uid}, where, "its email %d cannot be read", e.Email)
		case err != nil:
			return err
		case !slices.Contains(rec.Places, place{id, uid}):
			c.problem(mendEntryOp{id, uid}, where, "its email %d does not name it", e.Email)
		case rec.Blob != e.Blob || rec.Thread != e.Thread:
			c.problem(nil, where, "has body %d and thread %d, its email %d and %d", e.Blob, e.Thread, rec.Blob, rec.Thread)
		}
		m, err := c.meta(e.Blob)
		switch {
		case errors.Is(err, ErrNotFound):
			c.problem(nil, where, "its body %d is not there", e.Blob)
		case errors.Is(err, ErrDamaged):
			c.problem(nil, where, "its body %d cannot be read", e.Blob)
		case err != nil:
			return err
		case m.Size != e.Size:
			c.problem(nil, where, "has size %d, its body %d", e.Size, m.Size)
		}
		return nil
	})
}

func (c *checker) email(a AccountID, id EmailID) (rec emailRec, err error) {
	err = c.v.get(keyEmail(a, id), func(val []byte) (err error) {
		rec, err = decodeEmail(val)
		return err
	})
	return rec, err
}

func (c *checker) meta(id BlobID) (m blob.Meta, err error) {
	err = c.v.get(keyBlob(id), func(val []byte) (err error) {
		m, err = blob.ParseMeta(val)
		return asStoreError(err)
	})
	return m, err
}

func (c *checker) emailRows() error {
	return c.each([]byte{tableEmail}, false, func(k, val []byte) error {
		a, id := AccountID(id64(k, 0)), EmailID(id64(k, 1))
		where := fmt.Sprintf("email %d of account %d", id, a)
		rec, err := decodeEmail(val)
		if err != nil {
			return c.unreadable(where, err)
		}
		acct := c.accounts[a]
		if acct == nil {
			if doomed, err := c.has(keyDoomedAccount(a)); err != nil || doomed {
				return err
			}
			c.problem(nil, where, "its account is not there")
			return nil
		}
		if id > acct.rec.LastEmail || rec.Thread > acct.rec.LastThread {
			c.problem(recountOp{Account: a}, where, "has an id or thread that was not given yet")
		}
		if len(rec.Places) == 0 {
			c.problem(mendEmailOp{a, id}, where, "stands nowhere")
		}
		for _, p := range rec.Places {
			var at EmailID
			err := c.v.get(keyEntry(p.Mailbox, p.UID), func(val []byte) error {
				e, err := decodeEntry(val)
				at = e.Email
				return err
			})
			if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, errRecord) {
				return err
			}
			if err != nil || at != id {
				c.problem(mendEmailOp{a, id}, where, "is not where it should be, message %d of mailbox %d", p.UID, p.Mailbox)
			}
		}
		if ok, err := c.has(keyRefEmail(rec.Blob, a, id)); err != nil {
			return err
		} else if !ok {
			c.problem(mendRefOp{keyRefEmail(rec.Blob, a, id), keyEmail(a, id)}, where, "does not hold its body %d", rec.Blob)
		}
		return nil
	})
}

func (c *checker) expungedRows() error {
	return c.each([]byte{tableExpunged}, false, func(k, val []byte) error {
		where := fmt.Sprintf("expunged message %d of mailbox %d", tail32(k), id64(k, 2))
		x, err := decodeExpunged(val)
		if err != nil {
			return c.unreadable(where, err)
		}
		ref := keyRefExpunged(x.Blob, k)
		if ok, err := c.has(ref); err != nil {
			return err
		} else if !ok {
			c.problem(mendRefOp{ref, k}, where, "does not hold its body %d", x.Blob)
		}
		if ok, err := c.has(keyBlob(x.Blob)); err != nil {
			return err
		} else if !ok {
			c.problem(nil, where, "its body %d is not there", x.Blob)
		}
		return nil
	})
}

// logRows sees that each account's log is whole from its floor on: where a row
// is missing or cannot be read, the log begins anew behind it, and whoever asks
// for changes before reads all anew instead of missing some.
func (c *checker) logRows() error {
	last := map[AccountID]ModSeq{}
	for id, a := range c.accounts {
		last[id] = a.rec.LogFloor
	}
	err := c.each([]byte{tableLog}, false, func(k, val []byte) error {
		id, seq := AccountID(id64(k, 0)), ModSeq(id64(k, 1))
		where := fmt.Sprintf("change %d of account %d", seq, id)
		a := c.accounts[id]
		if a == nil || seq <= a.rec.LogFloor {
			return nil // about to be cleared away
		}
		if _, err := decodeLog(val); errors.Is(err, ErrNewerStore) {
			return err
		} else if err != nil {
			c.problem(mendLogOp{id, seq}, where, "cannot be read: %v", err)
		}
		if seq > a.rec.ModSeq {
			c.problem(recountOp{Account: id}, where, "is beyond the account's mod-sequence %d", a.rec.ModSeq)
		}
		if seq != last[id]+1 {
			c.problem(mendLogOp{id, seq - 1}, where, "the change before it is missing")
		}
		last[id] = seq
		return nil
	})
	if err != nil {
		return err
	}
	for id, a := range c.accounts {
		if last[id] < a.rec.ModSeq {
			c.problem(mendLogOp{id, a.rec.ModSeq}, fmt.Sprintf("change %d of account %d", a.rec.ModSeq, id), "is missing")
		}
	}
	return nil
}

func (c *checker) threadRows() error {
	return c.each([]byte{tableThread}, false, func(k, val []byte) error {
		if _, err := decodeThread(val); err != nil {
			return c.unreadable(fmt.Sprintf("thread %x of account %d", id64(k, 1), id64(k, 0)), err)
		}
		return nil
	})
}

func (c *checker) queueRows() error {
	err := c.each([]byte{tableQueue}, false, func(k, val []byte) error {
		id := QueueID(id64(k, 0))
		where := fmt.Sprintf("queue entry %d", id)
		q, err := decodeQueue(id, val)
		if err != nil {
			return c.unreadable(where, err)
		}
		c.out.Queued++
		if id > c.global.LastQueue {
			c.problem(recountOp{}, where, "has an id that was not given yet")
		}
		for _, need := range []struct {
			k    []byte
			what string
			mend op
		}{
			{keyDue(q.Due, id), "is not listed by its time", mendDueOp{id}},
			{keyRefQueue(q.Blob, id), "does not hold its body", mendRefOp{keyRefQueue(q.Blob, id), keyQueue(id)}},
			{keyBlob(q.Blob), "its body is not there", nil},
		} {
			if ok, err := c.has(need.k); err != nil {
				return err
			} else if !ok {
				c.problem(need.mend, where, "%s", need.what)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.each([]byte{tableDue}, true, func(k, _ []byte) error {
		id := QueueID(id64(k, 1))
		var due uint64
		err := c.v.get(keyQueue(id), func(val []byte) error {
			q, err := decodeQueue(id, val)
			due = dueStamp(q.Due)
			return err
		})
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, errRecord) {
			return err
		}
		if err != nil || due != id64(k, 0) {
			c.problem(mendDueOp{id}, fmt.Sprintf("queue time of entry %d", id), "is not the entry's")
		}
		return nil
	})
}

func (c *checker) docRows() error {
	err := c.each([]byte{tableDoc}, false, func(k, val []byte) error {
		where := fmt.Sprintf("document %d/%q", k[1], k[2:])
		d, err := decodeDoc(val)
		if err != nil {
			return c.unreadable(where, err)
		}
		if d.Rev > c.global.LastRev {
			c.problem(recountOp{}, where, "has a revision that was not given yet")
		}
		if d.Expires.IsZero() {
			return nil
		}
		expiry := keyDocExpiry(d.Expires, Table(k[1]), string(k[2:]))
		if ok, err := c.has(expiry); err != nil {
			return err
		} else if !ok {
			c.problem(mendRefOp{expiry, k}, where, "is not listed by its time")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.each([]byte{tableDocExpiry}, true, func(k, _ []byte) error {
		if len(k) < keyPrefixAccount+1 {
			return nil
		}
		if ok, err := c.has(append([]byte{tableDoc}, k[keyPrefixAccount:]...)); err != nil || ok {
			return err
		}
		c.problem(dropRowsOp{[][]byte{k}}, fmt.Sprintf("time of document %q", k[keyPrefixAccount+1:]), "the document is not there")
		return nil
	})
}

// indexRows sees that each index has an account. What is in it is not looked
// at: the index checks itself when read, and is made anew where it is damaged.
func (c *checker) indexRows() error {
	var last AccountID
	return c.each([]byte{tableIndex}, true, func(k, _ []byte) error {
		id := AccountID(id64(k, 0))
		if id == last || c.accounts[id] != nil {
			return nil
		}
		last = id
		if ok, err := c.has(keyDoomedAccount(id)); err != nil || ok {
			return err
		}
		c.problem(mendIndexOp{id}, fmt.Sprintf("full-text index of account %d", id), "the account is not there")
		return nil
	})
}

// counters compares what was counted with what is kept.
func (c *checker) counters() error {
	for id, b := range c.boxes {
		if b.doomed {
			continue
		}
		if a := c.accounts[b.rec.Account]; a != nil {
			a.used.Bytes += b.count.Size
			a.used.Messages += int64(b.count.Messages)
		}
		c.counted.Bytes += b.count.Size
		r, n := &b.rec, &b.count
		where := fmt.Sprintf("mailbox %d (%q of account %d)", id, r.Name, r.Account)
		if r.Messages != n.Messages || r.Unseen != n.Unseen || r.Deleted != n.Deleted || r.Size != n.Size {
			c.problem(recountOp{Mailbox: id}, where, "counts %d messages, %d unseen, %d deleted, %d bytes; there are %d, %d, %d, %d",
				r.Messages, r.Unseen, r.Deleted, r.Size, n.Messages, n.Unseen, n.Deleted, n.Size)
		}
		if r.FirstUnseen != 0 && r.FirstUnseen != b.unseen {
			c.problem(recountOp{Mailbox: id}, where, "says message %d is the first unseen, it is %d", r.FirstUnseen, b.unseen)
		}
		for i, k := range r.Keywords {
			var there uint32
			if i < len(n.Keywords) {
				there = n.Keywords[i].Count
			}
			if k.Count != there {
				c.problem(recountOp{Mailbox: id}, where, "counts %d messages with keyword %q, there are %d", k.Count, k.Name, there)
			}
		}
	}
	for id, a := range c.accounts {
		if a.used.Bytes != a.rec.Quota.Bytes || a.used.Messages != a.rec.Quota.Messages {
			c.problem(recountOp{Account: id}, fmt.Sprintf("account %d", id), "counts %d bytes in %d messages, there are %d in %d",
				a.rec.Quota.Bytes, a.rec.Quota.Messages, a.used.Bytes, a.used.Messages)
		}
	}
	for _, n := range []struct {
		what           string
		kept, counted_ int64
	}{
		{"accounts", c.global.Accounts, c.out.Accounts},
		{"mailboxes", c.global.Mailboxes, c.out.Mailboxes},
		{"messages", c.global.Messages, c.out.Messages},
		{"bytes", c.global.Bytes, c.counted.Bytes},
		{"bodies", c.global.Blobs, c.out.Blobs},
		{"queue entries", c.global.Queued, c.out.Queued},
	} {
		if n.kept != n.counted_ {
			c.problem(recountOp{}, "store", "counts %d %s, there are %d", n.kept, n.what, n.counted_)
		}
	}
	return nil
}
