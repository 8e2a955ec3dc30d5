// Package store keeps everything of the mail side in one Badger database:
// accounts, mailboxes, messages, bodies, the outbound queue, and the small
// documents of other packages. It knows no protocol.
//
// # How it works
//
// One goroutine, the committer, makes every change. Sessions hand it ops,
// which are plain values; it applies each to a stage, packs the stages of many
// sessions into one transaction, and answers them when that transaction is
// synced. While one is syncing the next is being filled. Counters (UIDNEXT,
// mod-sequences, quota) are worked out in the committer, op by op, so that they
// cannot race; an op that fails leaves its stage and nothing else. An op says
// all it needs, times and body ids included, so that the sequence of ops could
// be written down and applied again with the same outcome.
//
// Badger is opened in managed mode: the committer numbers the commits. A view
// reads the store as of the last durable commit; it waits for no sync under
// way, and holds neither lock nor transaction between two reads, so that a
// slow client can take an hour over a listing that is still of one moment.
//
// The keeper does in the background what may be late: within about a minute
// it clears away deleted mailboxes and accounts, bodies without references or
// never delivered, expired documents, and what of the change log and the expunged messages is
// older than is kept. It also watches the disk and gives space back.
//
// # Invariants
//
//   - What was acknowledged is synced. An op is whole or not there.
//   - A body lives as long as a reference row to it; references are rows, not
//     counts, so that none can be miscounted. A reference is only ever made
//     from another one or with its body, so a body without any is gone for good.
//   - Ids are never used twice: not of accounts, mailboxes, emails, bodies,
//     queue entries, revisions. UIDs of a mailbox rise, and UIDVALIDITY rises
//     over the whole store.
//   - A mailbox's parents exist. Names are in normal form C (see cleanName).
//   - An account's mod-sequence rises by one with each op that changes it; its
//     log has a row for each from LogFloor on.
//   - Counters equal what counting gives: Check counts.
//
// # Failure
//
// A commit that fails, or a sync that Badger only logs as failed, makes the
// store read-only (ErrReadOnly) until it is opened anew, since nobody can say
// what is on the disk. Reading goes on. Where the disk runs short, what would
// add to it is refused (ErrNoSpace) before Badger meets the end of the disk,
// which it would not survive: its files are mapped sparse. Everything stays
// readable and removable, and accepting begins again by itself when there is
// room. A damaged body or record costs the reader of that one ErrDamaged.
//
// # Layout
//
// Every key is a table's number (one byte) and big-endian ids of 8 bytes; UIDs
// and chunk numbers have 4. Every value begins with a version byte; integers
// are varints, times seconds or milliseconds since 1970, strings have their
// length before them. Values from 2 KiB on are in Badger's value log, all
// others in its tree.
//
//	01 name                          meta: "format" is the version of this layout, "global" ids and totals
//	02 account                       account: use and limits, mod-sequence, ids
//	03 mailbox                       mailbox: account, name, UIDs, counters, table of keywords
//	04 account name                  mailbox id of a name
//	05 account name                  the name is subscribed
//	06 mailbox uid4                  entry: flags, mod-sequence, email, thread, body, dates, size
//	07 account email                 email: body, thread, its places (mailbox, UID)
//	08 account modseq                change log: what one op did
//	09 account hash                  thread of a message id (by xxHash64) and its subject
//	0a account time mailbox uid4     expunged message, restorable
//	0b body                          body: size, layout, SHA-256 (package blob)
//	0c body                          facts: structure index, references, preview
//	0d body chunk4                   chunk of a body, compressed (package blob)
//	0e body 1 account email          reference to a body by an email,
//	0e body 2 queue                  by a queue entry,
//	0e body 3 account time mailbox uid4   by an expunged message
//	0f body                          body that is being spooled and was not delivered yet
//	10 body                          body that lost a reference: the keeper looks whether it was the last
//	11 mailbox                       deleted mailbox whose entries are still there
//	12 account                       deleted account whose rows are still there
//	13 queue                         queue entry
//	14 time queue                    queue entry by the time it is due (milliseconds)
//	15 table1 key                    document: revision, expiry, value
//	16 time table1 key               document by the time it expires (milliseconds)
//	17 account key                   row of the account's full-text index (package search)
//
// A message of a few KiB delivered to one mailbox is ten rows in one
// transaction, its body among them: one sync. Bodies of more than half a MiB
// (compressed) are written chunk by chunk before their delivery, under a row
// of table 0f; what the delivery then commits is as small.
//
// The header block of a message is kept once, as the body's chunk 0.
//
// # Time limits
//
// The change log reaches back Options.ChangesFor (60 days), expunged messages
// are kept Options.UndeleteFor (14 days) and do not count against the quota,
// and what nobody refers to is removed within some minutes; message ids of
// conversations that are gone, in the night.
package store
