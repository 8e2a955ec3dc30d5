package store

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

// defaultMailboxes are what a new account has besides INBOX.
var defaultMailboxes = [...]struct{ name, use string }{
	{"Drafts", `\Drafts`}, {"Sent", `\Sent`}, {"Junk", `\Junk`}, {"Trash", `\Trash`}, {"Archive", `\Archive`},
}

// CreateAccount makes an account with INBOX and the special-use mailboxes
// Drafts, Sent, Junk, Trash and Archive, all subscribed, together with docs.
func (s *Store) CreateAccount(ctx context.Context, q Quota, docs func(AccountID) []DocOp) (AccountID, error) {
	id := AccountID(s.lastAcct.Add(1))
	o := createAccountOp{ID: id, LimitBytes: q.LimitBytes, LimitMessages: q.LimitMessages, At: s.now()}
	if docs != nil {
		o.Docs = docs(id)
	}
	if _, err := s.submit(ctx, o); err != nil {
		return 0, err
	}
	return id, nil
}

type createAccountOp struct {
	ID                        AccountID
	LimitBytes, LimitMessages int64
	Docs                      []DocOp
	At                        time.Time
}

func (o createAccountOp) apply(st *stage) (any, error) {
	if err := st.applyDocs(o.Docs, o.At); err != nil {
		return nil, err
	}
	st.global.LastAccount = max(st.global.LastAccount, o.ID)
	st.global.Accounts++
	st.accounts[o.ID] = &account{
		accountRec: accountRec{Quota: Quota{LimitBytes: o.LimitBytes, LimitMessages: o.LimitMessages}, Created: o.At},
		names:      map[string]MailboxID{}, uses: map[string]MailboxID{}, owned: true,
	}
	log := st.beginLog(o.ID, o.At)
	if _, err := st.newMailbox(o.ID, inbox, "", log); err != nil {
		return nil, err
	}
	st.put(keySubscription(o.ID, inbox), []byte{recordVersion})
	for _, m := range defaultMailboxes {
		if _, err := st.newMailbox(o.ID, m.name, m.use, log); err != nil {
			return nil, err
		}
		st.put(keySubscription(o.ID, m.name), []byte{recordVersion})
	}
	return nil, log.end()
}

// DeleteAccount removes an account with all its mail, together with docs. The
// account and its mailboxes are gone at once; their rows and bodies are cleared
// away in the background, and nothing of it can be restored.
func (s *Store) DeleteAccount(ctx context.Context, id AccountID, docs []DocOp) error {
	_, err := s.submit(ctx, deleteAccountOp{ID: id, Docs: docs, At: s.now()})
	if err == nil {
		s.keeper.kick()
	}
	return err
}

type deleteAccountOp struct {
	ID   AccountID
	Docs []DocOp
	At   time.Time
}

func (o deleteAccountOp) apply(st *stage) (any, error) {
	if err := st.applyDocs(o.Docs, o.At); err != nil {
		return nil, err
	}
	a, err := st.directory(o.ID)
	if err != nil {
		return nil, &AccountError{o.ID, err}
	}
	// Names and subscriptions go with the account's other rows: those of
	// thousands of mailboxes would not fit the transaction.
	for _, id := range slices.Sorted(maps.Values(a.names)) {
		m, err := st.mailbox(id)
		if err != nil {
			return nil, err
		}
		st.doom(id, m, doomedRec{Account: o.ID})
		st.event(Event{Kind: EventMailbox, Account: o.ID, Mailbox: id})
	}
	st.put(keyDoomedAccount(o.ID), []byte{recordVersion})
	st.global.Accounts--
	a.gone = true
	return nil, nil
}

// Accounts calls fn with the accounts and their quotas, by id.
func (s *Store) Accounts(ctx context.Context, fn func(AccountID, Quota) error) error {
	v := s.view()
	defer v.close()
	type row struct {
		id AccountID
		q  Quota
	}
	var page []row
	return v.rows(scanOptions{prefix: []byte{tableAccount}}, func(k, val []byte) error {
		a, err := decodeAccount(val)
		if err != nil {
			return damaged("account", id64(k, 0), err)
		}
		page = append(page, row{AccountID(id64(k, 0)), a.Quota})
		return ctx.Err()
	}, func() error {
		for _, r := range page {
			if err := fn(r.id, r.q); err != nil {
				return err
			}
		}
		page = page[:0]
		return nil
	})
}

// Quota reads use and limits.
func (s *Store) Quota(ctx context.Context, id AccountID) (Quota, error) {
	v := s.view()
	defer v.close()
	a, err := v.account(id)
	return a.Quota, err
}

// SetQuota sets the limits (LimitBytes, LimitMessages).
func (s *Store) SetQuota(ctx context.Context, id AccountID, q Quota) error {
	_, err := s.submit(ctx, setQuotaOp{id, q.LimitBytes, q.LimitMessages})
	return err
}

type setQuotaOp struct {
	ID                        AccountID
	LimitBytes, LimitMessages int64
}

func (o setQuotaOp) apply(st *stage) (any, error) {
	a, err := st.account(o.ID)
	if err != nil {
		return nil, err
	}
	a.Quota.LimitBytes, a.Quota.LimitMessages = o.LimitBytes, o.LimitMessages
	return nil, nil
}

// CheckQuota reports ErrOverQuota where a message of size bytes would not fit now.
func (s *Store) CheckQuota(ctx context.Context, id AccountID, size int64) error {
	q, err := s.Quota(ctx, id)
	if err != nil {
		return &AccountError{id, err}
	}
	if !q.fits(size, 1) {
		return &AccountError{id, ErrOverQuota}
	}
	return nil
}

// fits tells whether so many more bytes and messages stay within the limits.
func (q Quota) fits(bytes, messages int64) bool {
	return (q.LimitBytes == 0 || q.Bytes+bytes <= q.LimitBytes) &&
		(q.LimitMessages == 0 || q.Messages+messages <= q.LimitMessages)
}

// changeLog collects what an op does to one account, under one mod-sequence.
type changeLog struct {
	st      *stage
	id      AccountID
	modseq  ModSeq
	rec     logRec
	touched bool
}

// beginLog begins the log of an op in an account that is on the stage.
func (s *stage) beginLog(id AccountID, at time.Time) *changeLog {
	a := s.accounts[id]
	return &changeLog{st: s, id: id, modseq: a.ModSeq + 1, rec: logRec{At: at}}
}

// add notes one number; numbers of one kind and mailbox must come ascending.
func (l *changeLog) add(kind logKind, box MailboxID, n uint64) {
	l.touched = true
	for i := range l.rec.Items {
		it := &l.rec.Items[i]
		if it.Kind == kind && it.Mailbox == box {
			it.Set = it.Set.insert(n)
			return
		}
	}
	it := logItem{Kind: kind, Mailbox: box}
	if n > 0 {
		it.Set = ranges{{n, n}}
	}
	l.rec.Items = append(l.rec.Items, it)
}

// end writes the log row, where anything happened.
func (l *changeLog) end() error {
	if !l.touched {
		return nil
	}
	l.st.accounts[l.id].ModSeq = l.modseq
	l.st.put(keyLog(l.id, l.modseq), l.rec.encode())
	return nil
}

// boxName is the value of a name row.
func boxName(id MailboxID) []byte {
	return binary.AppendUvarint([]byte{recordVersion}, uint64(id))
}
