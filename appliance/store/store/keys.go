package store

import (
	"encoding/binary"
	"time"
)

// The first byte of each key: the tables of the layout in the package
// comment. Numbers are on disk: never change or reuse one.
const (
	tableMeta           byte = 0x01
	tableAccount        byte = 0x02
	tableMailbox        byte = 0x03
	tableName           byte = 0x04
	tableSubscription   byte = 0x05
	tableEntry          byte = 0x06
	tableEmail          byte = 0x07
	tableLog            byte = 0x08
	tableThread         byte = 0x09
	tableExpunged       byte = 0x0a
	tableBlob           byte = 0x0b
	tableFacts          byte = 0x0c
	tableChunk          byte = 0x0d
	tableRef            byte = 0x0e
	tablePending        byte = 0x0f
	tableLoose          byte = 0x10
	tableDoomedMailbox  byte = 0x11
	tableDoomedAccount  byte = 0x12
	tableQueue          byte = 0x13
	tableDue            byte = 0x14
	tableDoc            byte = 0x15
	tableDocExpiry      byte = 0x16
	tableIndex          byte = 0x17
	tableLast                = tableIndex
	metaFormat               = "format"
	metaGlobal               = "global"
	refEmail            byte = 1 // account, email
	refQueue            byte = 2 // queue id
	refExpunged         byte = 3 // account, time, mailbox, uid
	keyPrefixAccount         = 9
	keyPrefixAccountTwo      = 17
)

// key makes a key of a table and big-endian ids.
func key(table byte, ids ...uint64) []byte {
	k := make([]byte, 1, 1+8*len(ids)+4)
	k[0] = table
	for _, id := range ids {
		k = binary.BigEndian.AppendUint64(k, id)
	}
	return k
}

func keyMeta(name string) []byte { return append([]byte{tableMeta}, name...) }

func keyAccount(a AccountID) []byte { return key(tableAccount, uint64(a)) }

func keyMailbox(m MailboxID) []byte { return key(tableMailbox, uint64(m)) }

func keyName(a AccountID, name string) []byte { return append(key(tableName, uint64(a)), name...) }

func keySubscription(a AccountID, name string) []byte {
	return append(key(tableSubscription, uint64(a)), name...)
}

func keyEntry(m MailboxID, u UID) []byte {
	return binary.BigEndian.AppendUint32(key(tableEntry, uint64(m)), uint32(u))
}

func keyEmail(a AccountID, e EmailID) []byte { return key(tableEmail, uint64(a), uint64(e)) }

func keyLog(a AccountID, m ModSeq) []byte { return key(tableLog, uint64(a), uint64(m)) }

func keyThread(a AccountID, id uint64) []byte { return key(tableThread, uint64(a), id) }

// keyExpunged sorts an account's expunged messages by the second they went.
func keyExpunged(a AccountID, at int64, m MailboxID, u UID) []byte {
	return binary.BigEndian.AppendUint32(key(tableExpunged, uint64(a), uint64(at), uint64(m)), uint32(u))
}

func keyBlob(b BlobID) []byte { return key(tableBlob, uint64(b)) }

func keyFacts(b BlobID) []byte { return key(tableFacts, uint64(b)) }

func keyChunk(b BlobID, n int) []byte {
	return binary.BigEndian.AppendUint32(key(tableChunk, uint64(b)), uint32(n))
}

func keyPending(b BlobID) []byte { return key(tablePending, uint64(b)) }

func keyLoose(b BlobID) []byte { return key(tableLoose, uint64(b)) }

func keyRefEmail(b BlobID, a AccountID, e EmailID) []byte {
	k := append(key(tableRef, uint64(b)), refEmail)
	k = binary.BigEndian.AppendUint64(k, uint64(a))
	return binary.BigEndian.AppendUint64(k, uint64(e))
}

func keyRefQueue(b BlobID, q QueueID) []byte {
	return binary.BigEndian.AppendUint64(append(key(tableRef, uint64(b)), refQueue), uint64(q))
}

// keyRefExpunged holds the key of the expunged message's row, but its table.
func keyRefExpunged(b BlobID, expunged []byte) []byte {
	return append(append(key(tableRef, uint64(b)), refExpunged), expunged[1:]...)
}

func keyDoomedMailbox(m MailboxID) []byte { return key(tableDoomedMailbox, uint64(m)) }

func keyDoomedAccount(a AccountID) []byte { return key(tableDoomedAccount, uint64(a)) }

func keyQueue(q QueueID) []byte { return key(tableQueue, uint64(q)) }

// keyDue sorts the queue by the time of the next attempt, then by id.
func keyDue(due time.Time, q QueueID) []byte {
	return key(tableDue, dueStamp(due), uint64(q))
}

// dueStamp is a time as it sorts in a key: milliseconds, nothing before 1970.
func dueStamp(t time.Time) uint64 {
	if t.Before(time.UnixMilli(0)) {
		return 0
	}
	return uint64(t.UnixMilli())
}

func keyDoc(t Table, k string) []byte { return append([]byte{tableDoc, byte(t)}, k...) }

func keyDocExpiry(at time.Time, t Table, k string) []byte {
	return append(append(key(tableDocExpiry, dueStamp(at)), byte(t)), k...)
}

// id64 reads the i-th id of a key.
func id64(k []byte, i int) uint64 {
	if len(k) < 1+8*(i+1) {
		return 0
	}
	return binary.BigEndian.Uint64(k[1+8*i:])
}

// tail32 reads the 32-bit number a key ends with.
func tail32(k []byte) uint32 {
	if len(k) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(k[len(k)-4:])
}
