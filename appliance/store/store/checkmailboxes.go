package store

import (
	"errors"
	"fmt"
)

func (c *checker) accountRows() error {
	return c.each([]byte{tableAccount}, false, func(k, val []byte) error {
		id := AccountID(id64(k, 0))
		where := fmt.Sprintf("account %d", id)
		a, err := decodeAccount(val)
		if err != nil {
			return c.unreadable(where, err)
		}
		c.out.Accounts++
		c.accounts[id] = &tally{rec: a}
		if id > c.global.LastAccount {
			c.problem(recountOp{}, where, "has an id that was not given yet")
		}
		return nil
	})
}

func (c *checker) mailboxRows() error {
	err := c.each([]byte{tableMailbox}, false, func(k, val []byte) error {
		id := MailboxID(id64(k, 0))
		where := fmt.Sprintf("mailbox %d", id)
		m, err := decodeMailbox(val)
		if err != nil {
			return c.unreadable(where, err)
		}
		c.out.Mailboxes++
		c.boxes[id] = &boxTally{rec: m}
		a := c.accounts[m.Account]
		switch {
		case a == nil:
			c.problem(nil, where, "belongs to account %d, which is not there", m.Account)
		case m.HighestModSeq > a.rec.ModSeq:
			c.problem(recountOp{Account: m.Account}, where, "has mod-sequence %d beyond its account's %d", m.HighestModSeq, a.rec.ModSeq)
		}
		if id > c.global.LastMailbox || m.UIDValidity > c.global.LastUIDValidity {
			c.problem(recountOp{}, where, "has an id or UIDVALIDITY that was not given yet")
		}
		back, err := c.nameOf(m.Account, m.Name)
		if err != nil {
			return err
		}
		if back != id {
			c.problem(mendNameOp{Mailbox: id}, where, "is not found by its name %q", m.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.each([]byte{tableDoomedMailbox}, false, func(k, val []byte) error {
		d, err := decodeDoomed(val)
		if err != nil {
			return c.unreadable(fmt.Sprintf("deleted mailbox %d", id64(k, 0)), err)
		}
		c.boxes[MailboxID(id64(k, 0))] = &boxTally{doomed: true, rec: mailboxRec{Account: d.Account, Keywords: d.Keywords, UIDNext: maxUID, HighestModSeq: 1 << 62}}
		return nil
	})
}

// nameOf finds the mailbox of a name, 0 where there is none.
func (c *checker) nameOf(a AccountID, name string) (id MailboxID, err error) {
	err = c.v.get(keyName(a, name), func(val []byte) error {
		r := readRecord(val)
		id = MailboxID(r.uint())
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return id, err
}

func (c *checker) nameRows() error {
	return c.each([]byte{tableName}, false, func(k, val []byte) error {
		a, name := AccountID(id64(k, 0)), string(k[keyPrefixAccount:])
		where := fmt.Sprintf("mailbox name %q of account %d", name, a)
		r := readRecord(val)
		id := MailboxID(r.uint())
		if err := r.end(); err != nil {
			return c.unreadable(where, err)
		}
		if c.accounts[a] == nil {
			if doomed, err := c.has(keyDoomedAccount(a)); err != nil || doomed {
				return err
			}
		}
		b := c.boxes[id]
		if b == nil || b.doomed || b.rec.Account != a || b.rec.Name != name {
			c.problem(mendNameOp{Account: a, Name: name}, where, "names mailbox %d, which does not have that name", id)
		}
		if p := parentName(name); p != "" {
			parent, err := c.nameOf(a, p)
			if err != nil {
				return err
			}
			if parent == 0 {
				c.problem(nil, where, "has no parent")
			}
		}
		return nil
	})
}
