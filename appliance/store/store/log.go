package store

import (
	"encoding/binary"
	"time"
)

// logKind says what an item of the change log tells.
type logKind byte

// The kinds of log items. Numbers are on disk.
const (
	logUIDs           logKind = 1 // messages of Mailbox are new or changed
	logVanished       logKind = 2 // messages of Mailbox went
	logMailbox        logKind = 3 // Mailbox is new or changed
	logMailboxGone    logKind = 4 // Mailbox went
	logEmailCreated   logKind = 5
	logEmailUpdated   logKind = 6
	logEmailDestroyed logKind = 7
)

// logItem is one thing that happened.
type logItem struct {
	Kind    logKind
	Mailbox MailboxID // 0 for emails
	Set     ranges
}

// logRec is all that happened in an account under one mod-sequence.
type logRec struct {
	At    time.Time
	Items []logItem
}

func (l *logRec) encode() []byte {
	b := appendTime([]byte{recordVersion}, l.At)
	b = binary.AppendUvarint(b, uint64(len(l.Items)))
	for _, it := range l.Items {
		b = append(b, byte(it.Kind))
		b = binary.AppendUvarint(b, uint64(it.Mailbox))
		b = appendRanges(b, it.Set)
	}
	return b
}

func decodeLog(b []byte) (l logRec, err error) {
	r := readRecord(b)
	l.At = r.time()
	for range r.count(3) {
		l.Items = append(l.Items, logItem{Kind: logKind(r.byte()), Mailbox: MailboxID(r.uint()), Set: r.ranges()})
	}
	return l, r.end()
}
