package store

import (
	"bytes"

	"pillarbox/appliance/store/blob"
)

// RowKind says what a row of a snapshot is, for who restores a part of one.
type RowKind uint8

// The kinds of rows. RowOther are rows that follow from the others.
const (
	RowOther RowKind = iota
	RowDoc
	RowMailbox
	RowEntry
	RowBody
	RowFacts
	RowChunk
)

// KindOf tells what a row is by its key.
func KindOf(key []byte) RowKind {
	if len(key) == 0 {
		return RowOther
	}
	switch key[0] {
	case tableDoc:
		return RowDoc
	case tableMailbox:
		return RowMailbox
	case tableEntry:
		return RowEntry
	case tableBlob:
		return RowBody
	case tableFacts:
		return RowFacts
	case tableChunk:
		return RowChunk
	}
	return RowOther
}

// MailboxRow is a mailbox as it stands in a row.
type MailboxRow struct {
	Mailbox
	keywords []keyword
}

// ReadMailboxRow reads a mailbox from a row.
func ReadMailboxRow(key, value []byte) (*MailboxRow, error) {
	id := MailboxID(id64(key, 0))
	m, err := decodeMailbox(value)
	if err != nil {
		return nil, damaged("mailbox", id, err)
	}
	return &MailboxRow{m.public(id), m.Keywords}, nil
}

// MailboxOf is the mailbox of a row with a mailbox or an entry.
func MailboxOf(key []byte) MailboxID { return MailboxID(id64(key, 0)) }

// UIDOf is the UID of a row with an entry.
func UIDOf(key []byte) UID { return UID(tail32(key)) }

// Entry reads one of the mailbox's entries from a row.
func (m *MailboxRow) Entry(key, value []byte) (Entry, error) {
	e, err := decodeEntry(value)
	if err != nil {
		return Entry{}, damaged("entry", tail32(key), err)
	}
	return e.public(UID(tail32(key)), m.keywords), nil
}

// BodyOf is the body that a row of a body, of facts or of a chunk belongs to.
func BodyOf(key []byte) BlobID { return BlobID(id64(key, 0)) }

// ChunkOf is the number of the chunk that a row holds.
func ChunkOf(key []byte) int { return int(tail32(key)) }

// ReadFactsRow reads facts from a row. head is the beginning of the body,
// blob.HeadMax bytes of it where it is that long.
func ReadFactsRow(c *blob.Codec, value, head []byte) (Facts, error) {
	var f Facts
	h, err := decodeFacts(c, value, WantIndex, &f)
	if err != nil {
		return Facts{}, err
	}
	f.Index = bytes.Clone(f.Index)
	switch h.kind {
	case headerShared:
		f.Header = bytes.Clone(head[:min(h.size, len(head))])
	case headerOwn:
		if f.Header, err = c.Unpack(nil, h.row, h.size); err != nil {
			return Facts{}, asStoreError(err)
		}
	}
	return f, nil
}

// BodyKey is the key of a body's record.
func BodyKey(id BlobID) []byte { return keyBlob(id) }

// FactsKey is the key of a body's facts.
func FactsKey(id BlobID) []byte { return keyFacts(id) }
