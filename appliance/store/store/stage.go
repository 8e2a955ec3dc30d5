package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// op is one change of the store. It is a plain value that can be written down
// and applied again: it refers to nothing outside itself, times and body ids
// are decided before it is made, and all it needs to know besides it reads
// from the stage. Applied to the same state it does the same.
type op interface {
	// apply makes the change on the stage, or answers an error and leaves it
	// to be thrown away.
	apply(*stage) (any, error)
}

// stage is what one op changes, apart from all others until it is merged: an
// op that fails halfway leaves no trace. What it reads are its own changes,
// then those of the batch, then of the batch that is being synced, then Badger.
type stage struct {
	c         *committer
	writes    map[string][]byte // nil removes
	reads     map[string][]byte // of Badger, by readAhead; nil: no such row
	size      int64             // of writes, as a transaction counts them
	accounts  map[AccountID]*account
	mailboxes map[MailboxID]*mailbox
	global    globalRec
	events    []Event
}

// account is an account as the committer holds it.
type account struct {
	accountRec
	gone bool
	// names and uses are loaded when first needed and shared until changed.
	names map[string]MailboxID
	uses  map[string]MailboxID
	owned bool // names and uses belong to this copy
}

// mailbox is a mailbox as the committer holds it.
type mailbox struct {
	mailboxRec
	gone bool
}

func (c *committer) newStage() *stage {
	return &stage{c: c, writes: map[string][]byte{}, accounts: map[AccountID]*account{},
		mailboxes: map[MailboxID]*mailbox{}, global: c.global}
}

// put writes a row. The stage keeps both slices.
func (s *stage) put(k, val []byte) {
	s.size += entrySize(k, val)
	s.writes[string(k)] = val
}

// del removes a row.
func (s *stage) del(k []byte) {
	s.size += entrySize(k, nil)
	s.writes[string(k)] = nil
}

// entrySize is at least what Badger counts for an entry.
func entrySize(k, val []byte) int64 {
	if len(val) >= valueThreshold {
		return int64(len(k)) + 24
	}
	return int64(len(k)+len(val)) + 16
}

// get reads a row; nil, nil where there is none. The value must not be changed.
func (s *stage) get(k []byte) ([]byte, error) {
	if v, ok := s.writes[string(k)]; ok {
		return v, nil
	}
	for _, b := range []*batch{s.c.open, s.c.inflight} {
		if b != nil {
			if v, ok := b.writes[string(k)]; ok {
				return v, nil
			}
		}
	}
	if v, ok := s.reads[string(k)]; ok {
		return v, nil
	}
	var out []byte
	t := s.c.s.db.NewTransactionAt(newest, false)
	defer t.Discard()
	err := txnGet(t, k, func(val []byte) error {
		out = append([]byte{}, val...)
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return out, err
}

// aheadShare is how many rows are worth another processor.
const aheadShare = 256

// readAhead reads the rows of a table that get is about to be asked for, by the
// ids their keys end in, ascending: those of neighbours cost a fraction in one
// go, and of many all processors read a part. Where they lie far apart it does
// nothing.
func (s *stage) readAhead(prefix []byte, ids []uint64, keyOf func(uint64) []byte) error {
	n := len(ids)
	if n < 8 || ids[n-1]-ids[0] > 8*uint64(n) {
		return nil
	}
	keys, vals := make([][]byte, n), make([][]byte, n)
	for i, id := range ids {
		keys[i] = keyOf(id)
	}
	parts := max(1, min(runtime.GOMAXPROCS(0), n/aheadShare))
	errs := make([]error, parts)
	var all sync.WaitGroup
	for p := range parts {
		from, to := p*n/parts, (p+1)*n/parts
		all.Go(func() { errs[p] = s.readPart(prefix, keys[from:to], vals[from:to]) })
	}
	all.Wait()
	if s.reads == nil {
		s.reads = make(map[string][]byte, n)
	}
	for i, k := range keys {
		s.reads[string(k)] = vals[i]
	}
	return errors.Join(errs...)
}

// readPart reads the rows of ascending keys into vals, nil for those not there.
func (s *stage) readPart(prefix []byte, keys, vals [][]byte) error {
	t := s.c.s.db.NewTransactionAt(newest, false)
	defer t.Discard()
	at := 0
	return scanTxn(t, scanOptions{prefix: prefix, from: keys[0]}, func(k, val []byte) error {
		for at < len(keys) && bytes.Compare(keys[at], k) < 0 {
			at++
		}
		if at == len(keys) {
			return errStop
		}
		for ; at < len(keys) && bytes.Equal(keys[at], k); at++ { // an id may be there twice
			vals[at] = bytes.Clone(val)
		}
		return nil
	})
}

// scan calls fn with the rows of a prefix in key order; key and value are valid
// during the call. What fn changes meanwhile it does not see. It costs an
// iterator: for what happens seldom.
func (s *stage) scan(prefix []byte, fn func(k, val []byte) error) error {
	return s.scanRows(scanOptions{prefix: prefix}, fn)
}

// scanKeys is scan without values.
func (s *stage) scanKeys(prefix []byte, fn func(k []byte) error) error {
	return s.scanRows(scanOptions{prefix: prefix, keysOnly: true}, func(k, _ []byte) error { return fn(k) })
}

func (s *stage) scanRows(o scanOptions, fn func(k, val []byte) error) error {
	own := s.unwritten(o.prefix)
	keys := slices.Sorted(maps.Keys(own))
	stopped := false
	pass := func(k, val []byte) error {
		err := fn(k, val)
		stopped = err == errStop
		return err
	}
	// before passes the rows that Badger does not have yet, up to a key.
	before := func(k []byte) error {
		for len(keys) > 0 && keys[0] < string(k) {
			next := keys[0]
			keys = keys[1:]
			if own[next] == nil {
				continue
			}
			if err := pass([]byte(next), own[next]); err != nil {
				return err
			}
		}
		return nil
	}
	t := s.c.s.db.NewTransactionAt(newest, false)
	defer t.Discard()
	err := scanTxn(t, o, func(k, val []byte) error {
		if err := before(k); err != nil {
			return err
		}
		if len(keys) > 0 && keys[0] == string(k) {
			return nil // written anew: it comes in its turn
		}
		return pass(k, val)
	})
	if err != nil || stopped {
		return err
	}
	if err := before([]byte{0xff}); err != errStop { // no table has that number
		return err
	}
	return nil
}

// unwritten gives the rows of a prefix that were changed and are not, or may not
// be, in Badger yet; nil for one that is removed.
func (s *stage) unwritten(prefix []byte) map[string][]byte {
	rows := map[string][]byte{}
	over := func(w map[string][]byte) {
		for k, v := range w {
			if strings.HasPrefix(k, string(prefix)) {
				rows[k] = v
			}
		}
	}
	for _, b := range []*batch{s.c.inflight, s.c.open} {
		if b != nil {
			over(b.writes)
		}
	}
	over(s.writes)
	return rows
}

// peekAccount gives an account to read only; ErrNotFound.
func (s *stage) peekAccount(id AccountID) (*account, error) {
	a := s.accounts[id]
	if a == nil {
		a = s.c.accounts[id]
	}
	if a == nil {
		val, err := s.get(keyAccount(id))
		if err != nil {
			return nil, err
		}
		if val == nil {
			return nil, ErrNotFound
		}
		rec, err := decodeAccount(val)
		if err != nil {
			return nil, damaged("account", id, err)
		}
		a = &account{accountRec: rec}
		s.c.accounts[id] = a
	}
	if a.gone {
		return nil, ErrNotFound
	}
	return a, nil
}

// account gives an account to read and change; ErrNotFound.
func (s *stage) account(id AccountID) (*account, error) {
	a, err := s.peekAccount(id)
	if err != nil || s.accounts[id] == a {
		return a, err
	}
	own := *a
	own.owned = false
	s.accounts[id] = &own
	return &own, nil
}

// directory is account with its names loaded.
func (s *stage) directory(id AccountID) (*account, error) {
	a, err := s.account(id)
	if err != nil || a.names != nil {
		return a, err
	}
	a.names, a.uses, a.owned = map[string]MailboxID{}, map[string]MailboxID{}, true
	err = s.scan(key(tableName, uint64(id)), func(k, val []byte) error {
		r := readRecord(val)
		box := MailboxID(r.uint())
		if r.end() != nil {
			return damaged("mailbox name", string(k[keyPrefixAccount:]), r.err)
		}
		a.names[string(k[keyPrefixAccount:])] = box
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, box := range a.names {
		m, err := s.peekMailbox(box)
		if err != nil {
			return nil, err
		}
		if m.SpecialUse != "" {
			a.uses[m.SpecialUse] = box
		}
	}
	return a, nil
}

// own makes an account's names the stage's to change.
func (a *account) own() {
	if !a.owned {
		a.names, a.uses, a.owned = maps.Clone(a.names), maps.Clone(a.uses), true
	}
}

// peekMailbox gives a mailbox to read only.
func (s *stage) peekMailbox(id MailboxID) (*mailbox, error) {
	m := s.mailboxes[id]
	if m == nil {
		m = s.c.mailboxes[id]
	}
	if m == nil {
		val, err := s.get(keyMailbox(id))
		if err != nil {
			return nil, err
		}
		if val == nil {
			return nil, ErrNotFound
		}
		rec, err := decodeMailbox(val)
		if err != nil {
			return nil, damaged("mailbox", id, err)
		}
		m = &mailbox{mailboxRec: rec}
		s.c.mailboxes[id] = m
	}
	if m.gone {
		return nil, ErrNotFound
	}
	return m, nil
}

// mailbox gives a mailbox to read and change; ErrNotFound.
func (s *stage) mailbox(id MailboxID) (*mailbox, error) {
	m, err := s.peekMailbox(id)
	if err != nil || s.mailboxes[id] == m {
		return m, err
	}
	own := *m
	own.Keywords = slices.Clone(m.Keywords)
	s.mailboxes[id] = &own
	return &own, nil
}

// event tells listeners of a change once it is durable.
func (s *stage) event(e Event) { s.events = append(s.events, e) }

// batch is what one transaction will hold.
type batch struct {
	writes    map[string][]byte
	size      int64
	bulk      int64 // bytes of values, those in the value log included
	accounts  map[AccountID]bool
	mailboxes map[MailboxID]bool
	waiting   []waiting
	done      chan error
	ts        uint64
}

// waiting is an op that was applied and waits for its batch to be durable.
type waiting struct {
	reply  chan<- outcome
	value  any
	events []Event
}

func newBatch() *batch {
	return &batch{writes: map[string][]byte{}, accounts: map[AccountID]bool{}, mailboxes: map[MailboxID]bool{},
		done: make(chan error, 1)}
}

// rows counts the rows a stage writes, those of its counters included.
func (s *stage) rows() int64 { return int64(len(s.writes) + len(s.accounts) + len(s.mailboxes)) }

// bytes is at least what Badger counts for them.
func (s *stage) bytes() int64 {
	n := s.size + int64(len(s.accounts))*accountBytes
	for _, m := range s.mailboxes {
		n += m.bytes()
	}
	return n
}

// accountBytes is at least the size of an account's row.
const accountBytes = 160

// bytes is at least the size of a mailbox's row.
func (m *mailbox) bytes() int64 {
	if m.gone {
		return entrySize(keyMailbox(0), nil)
	}
	n := 200 + len(m.Name)
	for _, k := range m.Keywords {
		n += len(k.Name) + 8
	}
	return int64(n)
}

// rows counts the rows a batch will write.
func (b *batch) rows() int64 {
	return int64(len(b.writes)+len(b.accounts)+len(b.mailboxes)) + 1
}

// merge takes a stage into the open batch.
func (c *committer) merge(s *stage) {
	b := c.open
	for k, v := range s.writes {
		b.writes[k] = v
		b.bulk += int64(len(v))
	}
	b.size += s.bytes()
	for id, a := range s.accounts {
		c.accounts[id] = a
		b.accounts[id] = true
	}
	for id, m := range s.mailboxes {
		c.mailboxes[id] = m
		b.mailboxes[id] = true
	}
	c.global = s.global
}

// settle writes the counters a batch changed into it as rows.
func (c *committer) settle(b *batch) {
	for id := range b.accounts {
		a := c.accounts[id]
		if a.gone {
			b.writes[string(keyAccount(id))] = nil
			continue
		}
		b.writes[string(keyAccount(id))] = a.encode()
	}
	for id := range b.mailboxes {
		m := c.mailboxes[id]
		if m.gone {
			b.writes[string(keyMailbox(id))] = nil
			continue
		}
		b.writes[string(keyMailbox(id))] = m.encode()
	}
	b.writes[string(keyMeta(metaGlobal))] = c.global.encode()
}

// commit hands a batch to Badger, which reports to b.done.
func (c *committer) commit(b *batch) {
	c.settle(b)
	t := c.s.db.NewTransactionAt(b.ts-1, true)
	for k, v := range b.writes {
		var err error
		if v == nil {
			err = t.Delete([]byte(k))
		} else {
			err = t.SetEntry(badger.NewEntry([]byte(k), v))
		}
		if err != nil {
			t.Discard()
			b.done <- fmt.Errorf("store: commit: %w", err)
			return
		}
	}
	if err := t.CommitAt(b.ts, func(err error) { b.done <- err }); err != nil {
		b.done <- err
	}
}
