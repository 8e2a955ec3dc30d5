package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Mailboxes lists an account's mailboxes by name, subscribed names without a
// mailbox included (NonExistent).
func (s *Store) Mailboxes(ctx context.Context, id AccountID) ([]Mailbox, error) {
	v := s.view()
	defer v.close()
	if _, err := v.account(id); err != nil {
		return nil, err
	}
	subs, err := v.subscriptions(id)
	if err != nil {
		return nil, err
	}
	var out []Mailbox
	ids := map[string]MailboxID{}
	err = v.scan(scanOptions{prefix: key(tableName, uint64(id))}, func(k, val []byte) error {
		r := readRecord(val)
		ids[string(k[keyPrefixAccount:])] = MailboxID(r.uint())
		return damaged("mailbox name", string(k[keyPrefixAccount:]), r.end())
	})
	if err != nil {
		return nil, err
	}
	for name, box := range ids {
		m, err := v.mailbox(box)
		if err != nil {
			return nil, err
		}
		b := m.public(box)
		b.Subscribed = subs[name]
		delete(subs, name)
		out = append(out, b)
	}
	for name := range subs {
		out = append(out, Mailbox{Account: id, Name: name, Subscribed: true, NonExistent: true})
	}
	slices.SortFunc(out, func(a, b Mailbox) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (v *view) subscriptions(id AccountID) (map[string]bool, error) {
	subs := map[string]bool{}
	err := v.scan(scanOptions{prefix: key(tableSubscription, uint64(id)), keysOnly: true}, func(k, _ []byte) error {
		subs[string(k[keyPrefixAccount:])] = true
		return nil
	})
	return subs, err
}

// mailboxFull reads a mailbox with its subscription.
func (v *view) mailboxFull(id MailboxID) (Mailbox, mailboxRec, error) {
	m, err := v.mailbox(id)
	if err != nil {
		return Mailbox{}, m, err
	}
	b := m.public(id)
	err = v.get(keySubscription(m.Account, m.Name), func([]byte) error { return nil })
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Mailbox{}, m, err
	}
	b.Subscribed = err == nil
	return b, m, nil
}

// MailboxByName finds one; ErrNotFound.
func (s *Store) MailboxByName(ctx context.Context, id AccountID, name string) (Mailbox, error) {
	name, err := cleanName(name)
	if err != nil {
		return Mailbox{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	v := s.view()
	defer v.close()
	var box MailboxID
	err = v.get(keyName(id, name), func(val []byte) error {
		r := readRecord(val)
		box = MailboxID(r.uint())
		return damaged("mailbox name", name, r.end())
	})
	if err != nil {
		return Mailbox{}, err
	}
	m, _, err := v.mailboxFull(box)
	return m, err
}

// Mailbox reads one by id; ErrNotFound.
func (s *Store) Mailbox(ctx context.Context, id MailboxID) (Mailbox, error) {
	v := s.view()
	defer v.close()
	m, _, err := v.mailboxFull(id)
	return m, err
}

// CreateMailbox makes a mailbox and its missing parents. ErrExists (also for
// a special use that another mailbox has), ErrBadName, ErrTooMany.
func (s *Store) CreateMailbox(ctx context.Context, id AccountID, name, specialUse string) (Mailbox, error) {
	name, err := cleanName(name)
	if err != nil {
		return Mailbox{}, err
	}
	if specialUse != "" && !validUse(specialUse) {
		return Mailbox{}, fmt.Errorf("%w: special use %q", ErrBadName, specialUse)
	}
	return submitFor[Mailbox](ctx, s, createMailboxOp{id, name, specialUse, s.now()})
}

type createMailboxOp struct {
	Account    AccountID
	Name       string
	SpecialUse string
	At         time.Time
}

func (o createMailboxOp) apply(st *stage) (any, error) {
	a, err := st.directory(o.Account)
	if err != nil {
		return nil, err
	}
	if a.names[o.Name] != 0 || o.SpecialUse != "" && a.uses[o.SpecialUse] != 0 {
		return nil, ErrExists
	}
	log := st.beginLog(o.Account, o.At)
	id, err := st.newMailbox(o.Account, o.Name, o.SpecialUse, log)
	if err != nil {
		return nil, err
	}
	sub, err := st.get(keySubscription(o.Account, o.Name))
	if err != nil {
		return nil, err
	}
	out := st.mailboxes[id].public(id)
	out.Subscribed = sub != nil
	return out, log.end()
}

// newMailbox makes a mailbox and its missing parents on the stage.
func (s *stage) newMailbox(acct AccountID, name, use string, log *changeLog) (MailboxID, error) {
	a, err := s.directory(acct)
	if err != nil {
		return 0, err
	}
	if p := parentName(name); p != "" && a.names[p] == 0 {
		if _, err := s.newMailbox(acct, p, "", log); err != nil {
			return 0, err
		}
	}
	if len(a.names) >= maxMailboxes {
		return 0, fmt.Errorf("%w: %d mailboxes", ErrTooMany, maxMailboxes)
	}
	s.global.LastMailbox++
	s.global.Mailboxes++
	id := s.global.LastMailbox
	// UIDVALIDITY is the time, or one more than the last where the clock
	// stands or went back: it rises over the whole store, and so for a name
	// that is deleted and made again (RFC 3501 section 2.3.1.1).
	s.global.LastUIDValidity = max(s.global.LastUIDValidity+1, uint32(max(0, log.rec.At.Unix())))
	s.mailboxes[id] = &mailbox{mailboxRec: mailboxRec{
		Account: acct, Name: name, SpecialUse: use, UIDValidity: s.global.LastUIDValidity, UIDNext: 1,
		HighestModSeq: log.modseq, CreatedModSeq: log.modseq, Created: log.rec.At,
	}}
	a.own()
	a.names[name] = id
	if use != "" {
		a.uses[use] = id
	}
	s.put(keyName(acct, name), boxName(id))
	log.add(logMailbox, id, 0)
	s.event(Event{Kind: EventMailbox, Account: acct, Mailbox: id, ModSeq: log.modseq})
	return id, nil
}

// RenameMailbox renames a mailbox with all below it; missing parents of the
// new name are made, and subscriptions go with the names. ErrNotFound,
// ErrExists, ErrBadName. Renaming INBOX moves its messages into a new mailbox
// and leaves it and what is below it (RFC 3501 section 6.3.5).
func (s *Store) RenameMailbox(ctx context.Context, id AccountID, from, to string) error {
	from, err := cleanName(from)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if to, err = cleanName(to); err != nil {
		return err
	}
	if from == inbox {
		return s.renameInbox(ctx, id, to)
	}
	_, err = s.submit(ctx, renameOp{id, from, to, s.now()})
	return err
}

func (s *Store) renameInbox(ctx context.Context, id AccountID, to string) error {
	in, err := s.MailboxByName(ctx, id, inbox)
	if err != nil {
		return err
	}
	box, err := s.CreateMailbox(ctx, id, to, "")
	if err != nil {
		return err
	}
	var uids []UID
	_, err = s.Entries(ctx, in.ID, 1, 0, func(e Entry) error { uids = append(uids, e.UID); return nil })
	if err != nil {
		return err
	}
	_, err = s.Move(ctx, in.ID, uids, box.ID, FlagMask{})
	return err
}

type renameOp struct {
	Account  AccountID
	From, To string
	At       time.Time
}

func (o renameOp) apply(st *stage) (any, error) {
	a, err := st.directory(o.Account)
	if err != nil {
		return nil, err
	}
	if a.names[o.From] == 0 {
		return nil, ErrNotFound
	}
	if a.names[o.To] != 0 {
		return nil, ErrExists
	}
	if below(o.To, o.From) {
		return nil, fmt.Errorf("%w: below itself", ErrBadName)
	}
	var moved []string
	for name := range a.names {
		if name == o.From || below(name, o.From) {
			moved = append(moved, name)
		}
	}
	slices.Sort(moved)
	log := st.beginLog(o.Account, o.At)
	if p := parentName(o.To); p != "" && a.names[p] == 0 {
		if _, err := st.newMailbox(o.Account, p, "", log); err != nil {
			return nil, err
		}
	}
	a.own()
	for _, name := range moved {
		to, err := cleanName(o.To + name[len(o.From):])
		if err != nil {
			return nil, err
		}
		if a.names[to] != 0 {
			return nil, ErrExists
		}
		id := a.names[name]
		m, err := st.mailbox(id)
		if err != nil {
			return nil, err
		}
		m.Name = to
		m.HighestModSeq = log.modseq
		delete(a.names, name)
		a.names[to] = id
		st.del(keyName(o.Account, name))
		st.put(keyName(o.Account, to), boxName(id))
		sub, err := st.get(keySubscription(o.Account, name))
		if err != nil {
			return nil, err
		}
		if sub != nil {
			st.del(keySubscription(o.Account, name))
			st.put(keySubscription(o.Account, to), sub)
		}
		log.add(logMailbox, id, 0)
		st.event(Event{Kind: EventMailbox, Account: o.Account, Mailbox: id, ModSeq: log.modseq})
	}
	return nil, log.end()
}

// DeleteMailbox removes a mailbox with its messages, which stay restorable.
// One with children is refused and stays as it is: ErrHasChildren (RFC 9051
// section 6.3.5 leaves that to the server and has the response code
// HASCHILDREN for it). ErrInbox, ErrNotFound. A subscription stays.
func (s *Store) DeleteMailbox(ctx context.Context, id AccountID, name string) error {
	name, err := cleanName(name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if _, err = s.submit(ctx, deleteMailboxOp{id, name, s.now()}); err != nil {
		return err
	}
	s.keeper.kick()
	return nil
}

type deleteMailboxOp struct {
	Account AccountID
	Name    string
	At      time.Time
}

func (o deleteMailboxOp) apply(st *stage) (any, error) {
	a, err := st.directory(o.Account)
	if err != nil {
		return nil, err
	}
	id := a.names[o.Name]
	if id == 0 {
		return nil, ErrNotFound
	}
	if o.Name == inbox {
		return nil, ErrInbox
	}
	for name := range a.names {
		if below(name, o.Name) {
			return nil, ErrHasChildren
		}
	}
	m, err := st.mailbox(id)
	if err != nil {
		return nil, err
	}
	log := st.beginLog(o.Account, o.At)
	a.own()
	delete(a.names, o.Name)
	if m.SpecialUse != "" {
		delete(a.uses, m.SpecialUse)
	}
	a.Quota.Bytes -= m.Size
	a.Quota.Messages -= int64(m.Messages)
	st.del(keyName(o.Account, o.Name))
	st.doom(id, m, doomedRec{m.Account, m.Name, m.Keywords})
	log.add(logMailboxGone, id, 0)
	st.event(Event{Kind: EventMailbox, Account: o.Account, Mailbox: id, ModSeq: log.modseq})
	return nil, log.end()
}

// doom makes a mailbox disappear; the keeper clears its messages away by what
// the record left tells it.
func (s *stage) doom(id MailboxID, m *mailbox, left doomedRec) {
	m.gone = true
	s.global.Mailboxes--
	s.global.Messages -= int64(m.Messages)
	s.global.Bytes -= m.Size
	s.put(keyDoomedMailbox(id), left.encode())
}

// Subscribe sets or clears a subscription, also for names that do not exist.
func (s *Store) Subscribe(ctx context.Context, id AccountID, name string, on bool) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	_, err = s.submit(ctx, subscribeOp{id, name, on, s.now()})
	return err
}

type subscribeOp struct {
	Account AccountID
	Name    string
	On      bool
	At      time.Time
}

func (o subscribeOp) apply(st *stage) (any, error) {
	a, err := st.directory(o.Account)
	if err != nil {
		return nil, err
	}
	k := keySubscription(o.Account, o.Name)
	old, err := st.get(k)
	if err != nil {
		return nil, err
	}
	if (old != nil) == o.On {
		return nil, nil
	}
	if o.On {
		st.put(k, []byte{recordVersion})
	} else {
		st.del(k)
	}
	id := a.names[o.Name]
	if id == 0 {
		st.event(Event{Kind: EventMailbox, Account: o.Account})
		return nil, nil
	}
	log := st.beginLog(o.Account, o.At)
	log.add(logMailbox, id, 0)
	st.event(Event{Kind: EventMailbox, Account: o.Account, Mailbox: id, ModSeq: log.modseq})
	return nil, log.end()
}

// SetSpecialUse changes a mailbox's special use; "" takes it away. A use that
// another mailbox of the account has moves over. ErrBadName, ErrNotFound.
func (s *Store) SetSpecialUse(ctx context.Context, id MailboxID, use string) error {
	if use != "" && !validUse(use) {
		return fmt.Errorf("%w: special use %q", ErrBadName, use)
	}
	_, err := s.submit(ctx, specialUseOp{id, use, s.now()})
	return err
}

type specialUseOp struct {
	Mailbox MailboxID
	Use     string
	At      time.Time
}

func (o specialUseOp) apply(st *stage) (any, error) {
	m, err := st.mailbox(o.Mailbox)
	if err != nil {
		return nil, err
	}
	if m.SpecialUse == o.Use {
		return nil, nil
	}
	a, err := st.directory(m.Account)
	if err != nil {
		return nil, err
	}
	log := st.beginLog(m.Account, o.At)
	a.own()
	if m.SpecialUse != "" {
		delete(a.uses, m.SpecialUse)
	}
	if other := a.uses[o.Use]; o.Use != "" && other != 0 {
		om, err := st.mailbox(other)
		if err != nil {
			return nil, err
		}
		om.SpecialUse = ""
		log.add(logMailbox, other, 0)
		st.event(Event{Kind: EventMailbox, Account: m.Account, Mailbox: other, ModSeq: log.modseq})
	}
	if o.Use != "" {
		a.uses[o.Use] = o.Mailbox
	}
	m.SpecialUse = o.Use
	log.add(logMailbox, o.Mailbox, 0)
	st.event(Event{Kind: EventMailbox, Account: m.Account, Mailbox: o.Mailbox, ModSeq: log.modseq})
	return nil, log.end()
}
