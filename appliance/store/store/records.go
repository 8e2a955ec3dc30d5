package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// globalRec holds the store's own counters: what was allotted last, and the
// totals of Stats.
type globalRec struct {
	LastAccount     AccountID
	LastMailbox     MailboxID
	LastBlob        BlobID
	LastQueue       QueueID
	LastRev         uint64
	LastUIDValidity uint32
	Accounts        int64
	Mailboxes       int64
	Messages        int64
	Bytes           int64
	Blobs           int64
	Queued          int64
}

func (g *globalRec) encode() []byte {
	b := []byte{recordVersion}
	for _, v := range []uint64{uint64(g.LastAccount), uint64(g.LastMailbox), uint64(g.LastBlob),
		uint64(g.LastQueue), g.LastRev, uint64(g.LastUIDValidity)} {
		b = binary.AppendUvarint(b, v)
	}
	for _, v := range []int64{g.Accounts, g.Mailboxes, g.Messages, g.Bytes, g.Blobs, g.Queued} {
		b = binary.AppendVarint(b, v)
	}
	return b
}

func decodeGlobal(b []byte) (g globalRec, err error) {
	r := readRecord(b)
	g.LastAccount = AccountID(r.uint())
	g.LastMailbox = MailboxID(r.uint())
	g.LastBlob = BlobID(r.uint())
	g.LastQueue = QueueID(r.uint())
	g.LastRev = r.uint()
	g.LastUIDValidity = uint32(r.uint())
	for _, p := range []*int64{&g.Accounts, &g.Mailboxes, &g.Messages, &g.Bytes, &g.Blobs, &g.Queued} {
		*p = r.int()
	}
	return g, r.end()
}

// accountRec is an account with its counters.
type accountRec struct {
	Quota      Quota
	ModSeq     ModSeq
	LogFloor   ModSeq // the change log is whole for everything after it
	LastEmail  EmailID
	LastThread ThreadID
	Created    time.Time
}

func (a *accountRec) encode() []byte {
	b := []byte{recordVersion}
	for _, v := range []int64{a.Quota.Bytes, a.Quota.LimitBytes, a.Quota.Messages, a.Quota.LimitMessages} {
		b = binary.AppendVarint(b, v)
	}
	for _, v := range []uint64{uint64(a.ModSeq), uint64(a.LogFloor), uint64(a.LastEmail), uint64(a.LastThread)} {
		b = binary.AppendUvarint(b, v)
	}
	return appendTime(b, a.Created)
}

func decodeAccount(b []byte) (a accountRec, err error) {
	r := readRecord(b)
	for _, p := range []*int64{&a.Quota.Bytes, &a.Quota.LimitBytes, &a.Quota.Messages, &a.Quota.LimitMessages} {
		*p = r.int()
	}
	a.ModSeq = ModSeq(r.uint())
	a.LogFloor = ModSeq(r.uint())
	a.LastEmail = EmailID(r.uint())
	a.LastThread = ThreadID(r.uint())
	a.Created = r.time()
	return a, r.end()
}

// keyword is one of a mailbox's keywords; entries name it by its place.
type keyword struct {
	Name  string // "" where the place is free
	Count uint32 // messages that have it
}

// mailboxRec is a mailbox with its counters.
type mailboxRec struct {
	Account       AccountID
	Name          string
	SpecialUse    string
	UIDValidity   uint32
	UIDNext       UID
	HighestModSeq ModSeq
	CreatedModSeq ModSeq
	Messages      uint32
	Unseen        uint32
	Deleted       uint32
	FirstUnseen   UID
	Size          int64
	Created       time.Time
	Keywords      []keyword
}

func (m *mailboxRec) encode() []byte {
	b := append(make([]byte, 0, 128), recordVersion)
	b = binary.AppendUvarint(b, uint64(m.Account))
	b = appendBytes(b, m.Name)
	b = appendBytes(b, m.SpecialUse)
	for _, v := range []uint64{uint64(m.UIDValidity), uint64(m.UIDNext), uint64(m.HighestModSeq), uint64(m.CreatedModSeq),
		uint64(m.Messages), uint64(m.Unseen), uint64(m.Deleted), uint64(m.FirstUnseen)} {
		b = binary.AppendUvarint(b, v)
	}
	b = binary.AppendVarint(b, m.Size)
	b = appendTime(b, m.Created)
	b = binary.AppendUvarint(b, uint64(len(m.Keywords)))
	for _, k := range m.Keywords {
		b = appendBytes(b, k.Name)
		b = binary.AppendUvarint(b, uint64(k.Count))
	}
	return b
}

func decodeMailbox(b []byte) (m mailboxRec, err error) {
	r := readRecord(b)
	m.Account = AccountID(r.uint())
	m.Name = r.string()
	m.SpecialUse = r.string()
	m.UIDValidity = uint32(r.uint())
	m.UIDNext = UID(r.uint())
	m.HighestModSeq = ModSeq(r.uint())
	m.CreatedModSeq = ModSeq(r.uint())
	m.Messages = uint32(r.uint())
	m.Unseen = uint32(r.uint())
	m.Deleted = uint32(r.uint())
	m.FirstUnseen = UID(r.uint())
	m.Size = r.int()
	m.Created = r.time()
	if n := r.count(2); n > 0 {
		m.Keywords = make([]keyword, n)
		for i := range m.Keywords {
			m.Keywords[i] = keyword{Name: r.string(), Count: uint32(r.uint())}
		}
	}
	return m, r.end()
}

// public makes the Mailbox callers see; Subscribed is filled by the caller.
func (m *mailboxRec) public(id MailboxID) Mailbox {
	out := Mailbox{
		ID: id, Account: m.Account, Name: m.Name, SpecialUse: m.SpecialUse,
		UIDValidity: m.UIDValidity, UIDNext: m.UIDNext, HighestModSeq: m.HighestModSeq,
		Messages: m.Messages, Unseen: m.Unseen, DeletedCount: m.Deleted, Size: m.Size,
		FirstUnseen: m.FirstUnseen, Created: m.Created,
	}
	for _, k := range m.Keywords {
		if k.Count > 0 {
			out.Keywords = append(out.Keywords, k.Name)
		}
	}
	sortKeywords(out.Keywords)
	return out
}

// entryRec is an Entry as it is kept: keywords by their place in the
// mailbox's table, ascending.
type entryRec struct {
	ModSeq       ModSeq
	Email        EmailID
	Thread       ThreadID
	Blob         BlobID
	System       SystemFlags
	Keywords     []byte
	InternalDate time.Time
	SaveDate     time.Time
	Size         int64
}

func (e *entryRec) encode() []byte {
	b := append(make([]byte, 0, 48+len(e.Keywords)), recordVersion, byte(e.System))
	for _, v := range []uint64{uint64(e.ModSeq), uint64(e.Email), uint64(e.Thread), uint64(e.Blob), uint64(e.Size)} {
		b = binary.AppendUvarint(b, v)
	}
	b = appendBytes(b, e.Keywords)
	b = appendZoned(b, e.InternalDate)
	return appendTime(b, e.SaveDate)
}

// decodeEntry reads a record; Keywords lies in b.
func decodeEntry(b []byte) (e entryRec, err error) {
	r := readRecord(b)
	e.System = SystemFlags(r.byte())
	e.ModSeq = ModSeq(r.uint())
	e.Email = EmailID(r.uint())
	e.Thread = ThreadID(r.uint())
	e.Blob = BlobID(r.uint())
	e.Size = int64(r.uint())
	e.Keywords = r.bytes()
	e.InternalDate = r.zoned()
	e.SaveDate = r.time()
	return e, r.end()
}

// public makes the Entry callers see, with the mailbox's table of keywords.
func (e *entryRec) public(uid UID, kw []keyword) Entry {
	out := Entry{
		UID: uid, ModSeq: e.ModSeq, Email: e.Email, Thread: e.Thread, Blob: e.Blob,
		Flags: Flags{System: e.System}, InternalDate: e.InternalDate, SaveDate: e.SaveDate, Size: e.Size,
	}
	if len(e.Keywords) > 0 {
		out.Flags.Keywords = keywordNames(e.Keywords, kw)
	}
	return out
}

// place is where an email stands.
type place struct {
	Mailbox MailboxID
	UID     UID
}

// emailRec is a message of an account over all its mailboxes. One that has no
// place left has no record.
type emailRec struct {
	Blob   BlobID
	Thread ThreadID
	Places []place
}

func (e *emailRec) encode() []byte {
	b := append(make([]byte, 0, 32), recordVersion)
	b = binary.AppendUvarint(b, uint64(e.Blob))
	b = binary.AppendUvarint(b, uint64(e.Thread))
	b = binary.AppendUvarint(b, uint64(len(e.Places)))
	for _, p := range e.Places {
		b = binary.AppendUvarint(b, uint64(p.Mailbox))
		b = binary.AppendUvarint(b, uint64(p.UID))
	}
	return b
}

func decodeEmail(b []byte) (e emailRec, err error) {
	r := readRecord(b)
	e.Blob = BlobID(r.uint())
	e.Thread = ThreadID(r.uint())
	n := r.count(2)
	e.Places = make([]place, 0, n)
	for range n {
		e.Places = append(e.Places, place{MailboxID(r.uint()), UID(r.uint())})
	}
	return e, r.end()
}

// remove takes a place away and tells whether it was there.
func (e *emailRec) remove(p place) bool {
	i := slices.Index(e.Places, p)
	if i < 0 {
		return false
	}
	e.Places = slices.Delete(e.Places, i, i+1)
	return true
}

// expungedRec is an expunged message that can still be restored.
type expungedRec struct {
	Name         string // of its mailbox when it went
	Email        EmailID
	Thread       ThreadID
	Blob         BlobID
	Flags        Flags
	InternalDate time.Time
	SaveDate     time.Time
	Size         int64
}

func (x *expungedRec) encode() []byte {
	b := append(make([]byte, 0, 64), recordVersion, byte(x.Flags.System))
	b = appendBytes(b, x.Name)
	for _, v := range []uint64{uint64(x.Email), uint64(x.Thread), uint64(x.Blob), uint64(x.Size)} {
		b = binary.AppendUvarint(b, v)
	}
	b = binary.AppendUvarint(b, uint64(len(x.Flags.Keywords)))
	for _, k := range x.Flags.Keywords {
		b = appendBytes(b, k)
	}
	b = appendZoned(b, x.InternalDate)
	return appendTime(b, x.SaveDate)
}

func decodeExpunged(b []byte) (x expungedRec, err error) {
	r := readRecord(b)
	x.Flags.System = SystemFlags(r.byte())
	x.Name = r.string()
	x.Email = EmailID(r.uint())
	x.Thread = ThreadID(r.uint())
	x.Blob = BlobID(r.uint())
	x.Size = int64(r.uint())
	for range r.count(1) {
		x.Flags.Keywords = append(x.Flags.Keywords, r.string())
	}
	x.InternalDate = r.zoned()
	x.SaveDate = r.time()
	return x, r.end()
}

// doomedRec is a deleted mailbox whose messages are still being cleared away.
type doomedRec struct {
	Account AccountID
	// Name and Keywords are for what is to stay restorable, not there where the
	// account was deleted.
	Name     string
	Keywords []keyword
}

func (d *doomedRec) encode() []byte {
	b := binary.AppendUvarint([]byte{recordVersion}, uint64(d.Account))
	b = appendBytes(b, d.Name)
	b = binary.AppendUvarint(b, uint64(len(d.Keywords)))
	for _, k := range d.Keywords {
		b = appendBytes(b, k.Name)
	}
	return b
}

func decodeDoomed(b []byte) (d doomedRec, err error) {
	r := readRecord(b)
	d.Account = AccountID(r.uint())
	d.Name = r.string()
	for range r.count(1) {
		d.Keywords = append(d.Keywords, keyword{Name: r.string()})
	}
	return d, r.end()
}

// threadRec says which conversation a message id belongs to.
type threadRec struct {
	Thread  ThreadID
	Subject uint64 // hash of the base subject, 0 for none
}

func (t threadRec) encode() []byte {
	b := binary.AppendUvarint([]byte{recordVersion}, uint64(t.Thread))
	return binary.AppendUvarint(b, t.Subject)
}

func decodeThread(b []byte) (t threadRec, err error) {
	r := readRecord(b)
	t.Thread = ThreadID(r.uint())
	t.Subject = r.uint()
	return t, r.end()
}

func (q *QueueEntry) encode() []byte {
	b := append(make([]byte, 0, 128+len(q.Data)), recordVersion)
	b = binary.AppendUvarint(b, uint64(q.Blob))
	b = binary.AppendVarint(b, q.Size)
	b = appendBytes(b, q.Sender)
	b = appendBytes(b, q.Recipient)
	b = appendMilli(b, q.Created)
	b = appendMilli(b, q.Due)
	b = binary.AppendVarint(b, int64(q.Attempts))
	return appendBytes(b, q.Data)
}

func decodeQueue(id QueueID, b []byte) (q QueueEntry, err error) {
	r := readRecord(b)
	q.ID = id
	q.Blob = BlobID(r.uint())
	q.Size = r.int()
	q.Sender = r.string()
	q.Recipient = r.string()
	q.Created = r.milli()
	q.Due = r.milli()
	q.Attempts = int(r.int())
	q.Data = slices.Clone(r.bytes())
	return q, r.end()
}

// docRec is a document as it is kept.
type docRec struct {
	Rev     uint64
	Expires time.Time
	Value   []byte
}

func (d *docRec) encode() []byte {
	b := append(make([]byte, 0, 24+len(d.Value)), recordVersion)
	b = binary.AppendUvarint(b, d.Rev)
	b = appendMilli(b, d.Expires)
	return append(b, d.Value...)
}

// decodeDoc reads a document; Value lies in b.
func decodeDoc(b []byte) (d docRec, err error) {
	r := readRecord(b)
	d.Rev = r.uint()
	d.Expires = r.milli()
	d.Value = r.b
	return d, r.end()
}

// appendMilli appends a time to the millisecond; the zero time as 0.
func appendMilli(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixMilli())
}

func (r *reader) milli() time.Time {
	if v := r.int(); v != 0 {
		return time.UnixMilli(v).UTC()
	}
	return time.Time{}
}

// damaged names the record an error is about.
func damaged(what string, id any, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: %s %v: %w", what, id, err)
}
