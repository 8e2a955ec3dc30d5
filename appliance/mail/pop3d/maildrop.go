package pop3d

import (
	"context"
	"fmt"
	"strconv"

	"pillarbox/appliance/store/store"
)

// message is one of the snapshot, numbered by its place.
type message struct {
	size    int64
	uid     store.UID
	deleted bool
}

// maildrop is INBOX as it was at login.
type maildrop struct {
	mailbox  store.MailboxID
	validity uint32
	messages []message

	fetched, removed int
	bytes            int64
}

func openMaildrop(ctx context.Context, st Store, id store.AccountID) (*maildrop, error) {
	inbox, err := st.MailboxByName(ctx, id, "INBOX")
	if err != nil {
		return nil, err
	}
	d := &maildrop{mailbox: inbox.ID, messages: make([]message, 0, inbox.Messages)}
	now, err := st.Entries(ctx, inbox.ID, 1, 0, func(e store.Entry) error {
		d.messages = append(d.messages, message{size: e.Size, uid: e.UID})
		return nil
	})
	d.validity = now.UIDValidity
	return d, err
}

// find gives the message with a number and that number; nil where there is
// none or it is marked as deleted.
func (d *maildrop) find(arg string) (*message, int) {
	n, _ := number(arg)
	if n < 1 || n > len(d.messages) || d.messages[n-1].deleted {
		return nil, 0
	}
	return &d.messages[n-1], n
}

// total counts what is not marked as deleted.
func (d *maildrop) total() (count int, size int64) {
	for i := range d.messages {
		if m := &d.messages[i]; !m.deleted {
			count++
			size += m.size
		}
	}
	return count, size
}

// marked lists what is marked as deleted.
func (d *maildrop) marked() []store.UID {
	var uids []store.UID
	for i := range d.messages {
		if d.messages[i].deleted {
			uids = append(uids, d.messages[i].uid)
		}
	}
	return uids
}

const noMessage = "No such message"

func (s *session) stat(string) error {
	count, size := s.drop.total()
	return s.answer("+OK %d %d", count, size)
}

func (s *session) list(arg string) error {
	if arg != "" {
		m, n := s.drop.find(arg)
		if m == nil {
			return s.wrong(noMessage)
		}
		return s.answer("+OK %d %d", n, m.size)
	}
	count, size := s.drop.total()
	if err := s.ok("%d messages (%d octets)", count, size); err != nil {
		return err
	}
	return s.each(func(line []byte, m *message) []byte { return strconv.AppendInt(line, m.size, 10) })
}

func (s *session) uidl(arg string) error {
	if arg != "" {
		m, n := s.drop.find(arg)
		if m == nil {
			return s.wrong(noMessage)
		}
		return s.answer("+OK %d %s", n, s.drop.appendID(nil, m))
	}
	if err := s.ok(""); err != nil {
		return err
	}
	return s.each(s.drop.appendID)
}

// appendID appends a message's unique id (RFC 1939 section 7, UIDL).
func (d *maildrop) appendID(line []byte, m *message) []byte {
	line = strconv.AppendUint(line, uint64(d.validity), 10)
	line = append(line, '.')
	return strconv.AppendUint(line, uint64(m.uid), 10)
}

// each sends a line for every message that is not marked as deleted.
func (s *session) each(value func([]byte, *message) []byte) error {
	var line []byte
	for i := range s.drop.messages {
		m := &s.drop.messages[i]
		if m.deleted {
			continue
		}
		line = append(strconv.AppendInt(line[:0], int64(i+1), 10), ' ')
		line = append(value(line, m), '\r', '\n')
		if _, err := s.out.Write(line); err != nil {
			return err
		}
	}
	return s.answer(".")
}

func (s *session) dele(arg string) error {
	m, _ := s.drop.find(arg)
	if m == nil {
		return s.wrong(noMessage)
	}
	m.deleted = true
	return s.ok("Marked")
}

func (s *session) rset(string) error {
	for i := range s.drop.messages {
		s.drop.messages[i].deleted = false
	}
	count, size := s.drop.total()
	return s.ok("%d messages (%d octets)", count, size)
}

// update is the UPDATE state: what is marked is removed now, and the client
// told only then (RFC 1939 section 6).
func (s *session) update() error {
	if s.drop != nil {
		if uids := s.drop.marked(); len(uids) > 0 {
			gone, _, err := s.server.cfg.Store.Expunge(s.ctx, s.drop.mailbox, uids, false)
			s.drop.removed = len(gone)
			if err != nil {
				s.log.Error("POP3: cannot remove messages", "user", s.user.Address, "removed", len(gone), "of", len(uids), "error", err)
				return s.fail("SYS/TEMP", "Some deleted messages not removed")
			}
		}
	}
	return s.ok("Bye")
}

// open opens a message, nil where it has been expunged since login.
func (s *session) open(m *message) (store.Body, error) {
	st := s.server.cfg.Store
	entries, err := st.EntriesOf(s.ctx, s.drop.mailbox, []store.UID{m.uid})
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	body, err := st.OpenBody(s.ctx, entries[0].Blob)
	if err != nil {
		return nil, fmt.Errorf("message with UID %d: %w", m.uid, err)
	}
	return body, nil
}
