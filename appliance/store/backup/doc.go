// Package backup copies a store that is in use, whole or what changed, into
// one file or stream, and brings it back: whole into an empty folder, or one
// account's mail, one mailbox, one message into a store that is in use.
//
// # What a backup holds
//
// A full backup holds every row of a snapshot of the store. An increment holds
// the rows written after another backup (its base) and the keys of all rows
// there are, so that what was removed is known without a record of removals.
// Restoring takes the full backup and every increment from it on, in order.
//
// The store remembers the backups made of it (store.BackupMark), and an
// increment is only made to one it remembers: a store that was restored, or
// whose disk was put back to an older state, does not know the backups that
// its rows can no longer be compared with, and refuses with ErrUnknownBase.
//
// # Layout
//
// A backup is the eight bytes of magic, then blocks, all numbers big-endian:
//
//	kind (1) | method (1: 0 as is, 1 zstd) | length (4) | stored length (4) | xxHash64 (8) | data
//
// The hash is of the data before compression. The kinds, in their order:
//
//	1 header    JSON, one block: Header
//	2 names     whose account is which: address, number of the account (uvarint)
//	3 rows      all rows but bodies; documents first, see store.Snapshot.Head
//	4 keys      of increments only: the keys of all rows, ascending, without those of facts and chunks
//	5 bodies    body by body: its record, facts, chunks
//	6 trailer   JSON, one block, the last: Trailer, with the SHA-256 of all bytes before the block
//
// The data of kinds 2 to 5 are rows,
//
//	bytes shared with the key before (uvarint) | rest of the key (uvarint, bytes) | value (uvarint, bytes)
//
// without the value in kind 4. The first key of a block shares nothing, so
// that each block can be read by itself. Encrypted, the whole of it is one
// age file. Since a backup tells where it ends, several can follow each other
// in one stream.
//
// An extract is a backup of this form with the rows of one selection, for
// RestorePart only.
//
// # Going back
//
// A restored store is an older one than clients know. UIDs, mod-sequences and
// all other ids go on far ahead of those given out since (store.Loader.Close),
// so clients keep what they have and see no message for another. What was
// queued when the backup was made is queued again, and may go out twice:
// better than not at all.
//
// # Failure
//
// A backup without its trailer is not one: a cut stream is noticed, and so is
// any damage, by the hash of its block. A row that cannot be read from the
// store is left out and listed in the trailer. Memory is bounded by a few
// blocks, whatever the size of the store; restoring a part also keeps some 300
// bytes for each message of the account.
package backup
