// Package session is what an IMAP server does for one logged-in person, apart
// from how it is said on the wire: which mailboxes there are and what may be
// done with them, the selected mailbox as its client sees it, searching,
// sorting, threading, and finding a message's parts.
//
// # The selected mailbox
//
// A client counts messages: between two commands no number may change without
// its being told (RFC 9051 section 7.5.1). Selected therefore keeps the client's
// view (the list of UIDs, as runs) apart from the store, which moves on as it
// likes. Sync brings the view up to date and says what to tell the client. The
// view stands at one mod-sequence: everything up to it has been told or is
// held back (expunged messages, while the command does not allow their
// numbers to go), everything after it comes from store.ChangesSince at the
// next Sync. Events of the store only say that there is something to ask for,
// so that one that was lost, or came twice, cannot make the view wrong.
//
// # What is kept in memory
//
// Two caches serve all sessions, each of bounded size: FactsCache, of what never
// changes about messages, and EntriesCache, of mailboxes' entries, which are
// brought up to date by store.ChangesSince before each use. Neither is ever
// behind the store, so that nobody has to tell them of changes.
//
// A Selected and a User serve one connection and are not for concurrent use.
package session
