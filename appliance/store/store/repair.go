package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// repair applies the ops that mend what the check found. Each looks at the
// store as it is when it is applied, since the store has gone on meanwhile; a
// problem that mended itself counts as repaired. Counters come last.
func (c *checker) repair() error {
	boxes, accts, global := map[MailboxID]bool{}, map[AccountID]bool{}, false
	var count []mending
	for _, m := range c.mend {
		if r, ok := m.op.(recountOp); ok {
			boxes[r.Mailbox], accts[r.Account] = true, true
			count = append(count, m)
			continue
		}
		global = true
		if _, err := c.s.submit(c.ctx, m.op); err != nil {
			if errors.Is(err, ErrClosed) || errors.Is(err, ErrReadOnly) || c.ctx.Err() != nil {
				return err
			}
			c.s.log.Error("repair", "where", m.where, "error", err)
			continue
		}
		c.repaired(m)
		if e, ok := m.op.(mendEntryOp); ok {
			boxes[e.Mailbox] = true
		}
	}
	if len(count) == 0 && !global {
		return nil
	}
	delete(boxes, 0)
	for id := range boxes {
		if b := c.boxes[id]; b != nil && !b.doomed {
			accts[b.rec.Account] = true
		}
		if _, err := c.s.submit(c.ctx, recountOp{Mailbox: id}); err != nil {
			return err
		}
	}
	delete(accts, 0)
	for id := range accts {
		if _, err := c.s.submit(c.ctx, recountOp{Account: id}); err != nil {
			return err
		}
	}
	if _, err := c.s.submit(c.ctx, recountOp{}); err != nil {
		return err
	}
	for _, m := range count {
		c.repaired(m)
	}
	c.s.keeper.kick()
	return nil
}

// owner is who holds a body, read from a reference's key.
type owner struct {
	kind byte
	key  []byte
}

func refOwner(k []byte) (o owner, ok bool) {
	if len(k) < keyPrefixAccount+1 {
		return o, false
	}
	o.kind = k[keyPrefixAccount]
	rest := k[keyPrefixAccount+1:]
	u64 := func(i int) uint64 { return binary.BigEndian.Uint64(rest[8*i:]) }
	switch {
	case o.kind == refEmail && len(rest) == 16:
		o.key = keyEmail(AccountID(u64(0)), EmailID(u64(1)))
	case o.kind == refQueue && len(rest) == 8:
		o.key = keyQueue(QueueID(u64(0)))
	case o.kind == refExpunged && len(rest) == 28:
		o.key = append([]byte{tableExpunged}, rest...)
	default:
		return o, false
	}
	return o, true
}

// blob reads the body from the owner's record.
func (o owner) blob(val []byte) (BlobID, error) {
	switch o.kind {
	case refEmail:
		e, err := decodeEmail(val)
		return e.Blob, err
	case refQueue:
		q, err := decodeQueue(0, val)
		return q.Blob, err
	default:
		x, err := decodeExpunged(val)
		return x.Blob, err
	}
}

func (o owner) String() string {
	switch o.kind {
	case refEmail:
		return fmt.Sprintf("email %d of account %d", id64(o.key, 1), id64(o.key, 0))
	case refQueue:
		return fmt.Sprintf("queue entry %d", id64(o.key, 0))
	default:
		return fmt.Sprintf("expunged message %d of mailbox %d", tail32(o.key), id64(o.key, 2))
	}
}

// recountOp counts a mailbox, an account or (with neither) the store again.
type recountOp struct {
	Mailbox MailboxID
	Account AccountID
}

func (o recountOp) apply(st *stage) (any, error) {
	switch {
	case o.Mailbox != 0:
		return nil, o.mailbox(st)
	case o.Account != 0:
		return nil, o.account(st)
	}
	return nil, o.store(st)
}

func (o recountOp) mailbox(st *stage) error {
	m, err := st.mailbox(o.Mailbox)
	if err == ErrNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	m.Messages, m.Unseen, m.Deleted, m.Size, m.FirstUnseen = 0, 0, 0, 0, 0
	for i := range m.Keywords {
		m.Keywords[i].Count = 0
	}
	err = st.scan(key(tableEntry, uint64(o.Mailbox)), func(k, val []byte) error {
		e, err := decodeEntry(val)
		if err != nil {
			return nil // listed; it cannot be counted
		}
		uid := UID(tail32(k))
		m.count(&e, uid, 1)
		m.UIDNext = max(m.UIDNext, uid+1)
		m.HighestModSeq = max(m.HighestModSeq, e.ModSeq)
		return nil
	})
	return err
}

func (o recountOp) account(st *stage) error {
	a, err := st.directory(o.Account)
	if err == ErrNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	a.Quota.Bytes, a.Quota.Messages = 0, 0
	seq := a.ModSeq
	for _, id := range a.names {
		m, err := st.peekMailbox(id)
		if err != nil {
			return err
		}
		a.Quota.Bytes += m.Size
		a.Quota.Messages += int64(m.Messages)
		a.ModSeq = max(a.ModSeq, m.HighestModSeq)
	}
	err = st.scan(key(tableEmail, uint64(o.Account)), func(k, val []byte) error {
		a.LastEmail = max(a.LastEmail, EmailID(id64(k, 1)))
		if e, err := decodeEmail(val); err == nil {
			a.LastThread = max(a.LastThread, e.Thread)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = st.scanKeys(key(tableLog, uint64(o.Account)), func(k []byte) error {
		a.ModSeq = max(a.ModSeq, ModSeq(id64(k, 1)))
		return nil
	})
	if a.ModSeq > seq {
		a.LogFloor = a.ModSeq // nobody knows whether the log has all up to there
	}
	return err
}

func (o recountOp) store(st *stage) error {
	g := &st.global
	g.Accounts, g.Mailboxes, g.Messages, g.Bytes, g.Blobs, g.Queued = 0, 0, 0, 0, 0, 0
	// Accounts and mailboxes of the open batch are not rows yet: those on the
	// way count as they stand.
	seenA, seenM := map[AccountID]bool{}, map[MailboxID]bool{}
	for id, a := range st.c.accounts {
		seenA[id] = true
		if !a.gone {
			g.Accounts++
		}
	}
	for id, m := range st.c.mailboxes {
		seenM[id] = true
		if !m.gone {
			g.addMailbox(&m.mailboxRec)
		}
	}
	err := st.scanKeys([]byte{tableAccount}, func(k []byte) error {
		id := AccountID(id64(k, 0))
		g.LastAccount = max(g.LastAccount, id)
		if !seenA[id] {
			g.Accounts++
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = st.scan([]byte{tableMailbox}, func(k, val []byte) error {
		id := MailboxID(id64(k, 0))
		g.LastMailbox = max(g.LastMailbox, id)
		m, err := decodeMailbox(val)
		if err != nil || seenM[id] {
			return nil
		}
		g.addMailbox(&m)
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range []struct {
		table byte
		add   func(id uint64)
	}{
		{tableBlob, func(id uint64) { g.Blobs++; g.LastBlob = max(g.LastBlob, BlobID(id)) }},
		{tableQueue, func(id uint64) { g.Queued++; g.LastQueue = max(g.LastQueue, QueueID(id)) }},
	} {
		err := st.scanKeys([]byte{t.table}, func(k []byte) error {
			t.add(id64(k, 0))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return st.scan([]byte{tableDoc}, func(_, val []byte) error {
		if d, err := decodeDoc(val); err == nil {
			g.LastRev = max(g.LastRev, d.Rev)
		}
		return nil
	})
}

func (g *globalRec) addMailbox(m *mailboxRec) {
	g.Mailboxes++
	g.Messages += int64(m.Messages)
	g.Bytes += m.Size
	g.LastUIDValidity = max(g.LastUIDValidity, m.UIDValidity)
}

// mendNameOp makes the name row of a mailbox, or drops one that names none.
type mendNameOp struct {
	Mailbox MailboxID
	Account AccountID
	Name    string
}

func (o mendNameOp) apply(st *stage) (any, error) {
	if o.Mailbox == 0 {
		val, err := st.get(keyName(o.Account, o.Name))
		if err != nil || val == nil {
			return nil, err
		}
		r := readRecord(val)
		id := MailboxID(r.uint())
		if m, err := st.peekMailbox(id); err == nil && m.Account == o.Account && m.Name == o.Name {
			return nil, nil
		}
		st.del(keyName(o.Account, o.Name))
		return nil, st.forgetNames(o.Account)
	}
	m, err := st.mailbox(o.Mailbox)
	if err != nil {
		return nil, err
	}
	// Where another mailbox has the name, this one gets a new one beside it.
	name := m.Name
	for n := 2; ; n++ {
		val, err := st.get(keyName(m.Account, name))
		if err != nil {
			return nil, err
		}
		if val == nil || string(val) == string(boxName(o.Mailbox)) {
			break
		}
		name = fmt.Sprintf("%s (%d)", m.Name, n)
	}
	m.Name = name
	st.put(keyName(m.Account, name), boxName(o.Mailbox))
	return nil, st.forgetNames(m.Account)
}

// forgetNames makes an account's names be read again.
func (s *stage) forgetNames(id AccountID) error {
	a, err := s.account(id)
	if err != nil {
		return err
	}
	a.names, a.uses, a.owned = nil, nil, false
	return nil
}

// mendLogOp has an account's change log begin behind a mod-sequence. Rows before
// it are cleared away when they have become old.
type mendLogOp struct {
	Account AccountID
	ModSeq  ModSeq
}

func (o mendLogOp) apply(st *stage) (any, error) {
	a, err := st.account(o.Account)
	if err == ErrNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a.LogFloor = max(a.LogFloor, o.ModSeq)
	st.del(keyLog(o.Account, o.ModSeq))
	return nil, nil
}

// mendIndexOp has the full-text index of an account that is gone cleared away.
type mendIndexOp struct{ Account AccountID }

func (o mendIndexOp) apply(st *stage) (any, error) {
	if _, err := st.peekAccount(o.Account); err != ErrNotFound {
		return nil, err
	}
	st.put(keyDoomedAccount(o.Account), []byte{recordVersion})
	return nil, nil
}

// mendEntryOp makes a message's email name it, and takes keywords from it
// that its mailbox does not know.
type mendEntryOp struct {
	Mailbox MailboxID
	UID     UID
}

func (o mendEntryOp) apply(st *stage) (any, error) {
	m, err := st.mailbox(o.Mailbox)
	if err != nil {
		return nil, err
	}
	e, err := st.entry(o.Mailbox, o.UID)
	if err != nil || e == nil {
		return nil, err
	}
	kw := slices.DeleteFunc(slices.Clone(e.Keywords), func(p byte) bool {
		return int(p) >= len(m.Keywords) || m.Keywords[p].Name == ""
	})
	if len(kw) != len(e.Keywords) {
		e.Keywords = kw
		st.put(keyEntry(o.Mailbox, o.UID), e.encode())
	}
	rec, err := st.email(m.Account, e.Email)
	if errors.Is(err, ErrNotFound) || errors.Is(err, errRecord) {
		rec = emailRec{Blob: e.Blob, Thread: e.Thread}
		st.put(keyRefEmail(e.Blob, m.Account, e.Email), []byte{recordVersion})
	} else if err != nil {
		return nil, err
	}
	if at := (place(o)); !slices.Contains(rec.Places, at) {
		rec.Places = append(rec.Places, at)
	}
	st.put(keyEmail(m.Account, e.Email), rec.encode())
	return nil, nil
}

// mendEmailOp takes from an email the places where it is not, and drops it
// where it is nowhere.
type mendEmailOp struct {
	Account AccountID
	Email   EmailID
}

func (o mendEmailOp) apply(st *stage) (any, error) {
	rec, err := st.email(o.Account, o.Email)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var places []place
	for _, p := range rec.Places {
		e, err := st.entry(p.Mailbox, p.UID)
		if err != nil && !errors.Is(err, errRecord) {
			return nil, err
		}
		if e != nil && e.Email == o.Email {
			places = append(places, p)
		}
	}
	rec.Places = places
	if len(places) > 0 {
		st.put(keyEmail(o.Account, o.Email), rec.encode())
		return nil, nil
	}
	st.del(keyEmail(o.Account, o.Email))
	st.unref(rec.Blob, keyRefEmail(rec.Blob, o.Account, o.Email))
	return nil, nil
}

// mendRefOp makes an index row again, as long as the row it stands for is there.
type mendRefOp struct{ Ref, Owner []byte }

func (o mendRefOp) apply(st *stage) (any, error) {
	val, err := st.get(o.Owner)
	if err != nil || val == nil {
		return nil, err
	}
	st.put(o.Ref, []byte{recordVersion})
	return nil, nil
}

// dropRefOp drops a reference nobody stands behind. Nobody but the repair
// itself makes an owner again under the same id: then the reference stays.
type dropRefOp struct{ Ref []byte }

func (o dropRefOp) apply(st *stage) (any, error) {
	if owner, ok := refOwner(o.Ref); ok {
		val, err := st.get(owner.key)
		if err != nil {
			return nil, err
		}
		if val != nil {
			if at, err := owner.blob(val); err != nil || at == BlobID(id64(o.Ref, 0)) {
				return nil, err
			}
		}
	}
	st.unref(BlobID(id64(o.Ref, 0)), o.Ref)
	return nil, nil
}

// mendLooseOp has a body without references looked at by the keeper.
type mendLooseOp struct{ Blob BlobID }

func (o mendLooseOp) apply(st *stage) (any, error) {
	st.put(keyLoose(o.Blob), []byte{recordVersion})
	return nil, nil
}

// mendStrayOp drops rows of a body that has no record.
type mendStrayOp struct{ Blob BlobID }

func (o mendStrayOp) apply(st *stage) (any, error) {
	for _, owner := range [][]byte{keyBlob(o.Blob), keyPending(o.Blob)} {
		if v, err := st.get(owner); v != nil || err != nil {
			return nil, err
		}
	}
	st.del(keyFacts(o.Blob))
	return nil, st.dropChunks(o.Blob)
}

// mendDueOp makes the time row of a queue entry again and drops others of it.
type mendDueOp struct{ ID QueueID }

func (o mendDueOp) apply(st *stage) (any, error) {
	err := st.scanKeys([]byte{tableDue}, func(k []byte) error {
		if QueueID(id64(k, 1)) == o.ID {
			st.del(k)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	val, err := st.get(keyQueue(o.ID))
	if err != nil || val == nil {
		return nil, err
	}
	q, err := decodeQueue(o.ID, val)
	if err != nil {
		return nil, damaged("queue entry", o.ID, err)
	}
	st.put(keyDue(q.Due, o.ID), []byte{recordVersion})
	return nil, nil
}
