package store

import (
	"errors"
	"math"
)

const (
	// skippedUIDs is how many UIDs of a mailbox a restore leaves out: more than
	// come in between the last backup and the loss of a store, few enough that
	// a mailbox can be restored four thousand times.
	skippedUIDs = 1 << 20
	// skippedIDs is the same for ids of 64 bits.
	skippedIDs = 1 << 32
	// skippedValidities is the same for UIDVALIDITY, which is the time or ahead
	// of it by as many mailboxes as were made at once.
	skippedValidities = 1 << 16
)

// skipIDs moves all counters ahead, see Loader.Close.
func (l *Loader) skipIDs() error {
	if err := errors.Join(l.flush(), l.wait()); err != nil {
		return err
	}
	t := l.s.db.NewTransactionAt(l.ts-1, false)
	defer t.Discard()
	err := scanTxn(t, scanOptions{prefix: keyMeta(metaGlobal)}, func(k, val []byte) error {
		g, err := decodeGlobal(val)
		if err != nil {
			return damaged("meta", metaGlobal, err)
		}
		g.LastAccount += skippedIDs
		g.LastMailbox += skippedIDs
		g.LastBlob += skippedIDs
		g.LastQueue += skippedIDs
		g.LastRev += skippedIDs
		g.LastUIDValidity = max(g.LastUIDValidity, uint32(max(0, l.s.now().Unix()))) + skippedValidities
		return l.Put(k, g.encode())
	})
	if err != nil {
		return err
	}
	state := map[AccountID]ModSeq{}
	err = scanTxn(t, scanOptions{prefix: []byte{tableAccount}}, func(k, val []byte) error {
		id := AccountID(id64(k, 0))
		a, err := decodeAccount(val)
		if err != nil {
			return damaged("account", id, err)
		}
		a.ModSeq += skippedIDs
		a.LogFloor = a.ModSeq
		a.LastEmail += skippedIDs
		a.LastThread += skippedIDs
		state[id] = a.ModSeq
		return l.Put(k, a.encode())
	})
	if err != nil {
		return err
	}
	return scanTxn(t, scanOptions{prefix: []byte{tableMailbox}}, func(k, val []byte) error {
		id := MailboxID(id64(k, 0))
		m, err := decodeMailbox(val)
		if err != nil {
			return damaged("mailbox", id, err)
		}
		if m.UIDNext < math.MaxUint32-2*skippedUIDs {
			m.UIDNext += skippedUIDs
		}
		if seq, ok := state[m.Account]; ok {
			m.HighestModSeq = seq
		}
		return l.Put(k, m.encode())
	})
}
