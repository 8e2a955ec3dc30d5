// Package queue carries mail to other servers: it takes the entries of the
// store's outbound queue when they are due, sends them where the router says,
// tries again on a schedule, and returns to the sender what cannot be
// delivered.
//
// The store's queue is the only truth. An entry is one recipient's copy of a
// message; it is there until the copy was taken by another server, or was
// returned to its sender, or was deleted by an administrator, and its removal
// is durable together with what took its place (the bounce, the trace). What
// is in memory, which entries are being worked on and which destinations do
// not answer, may be lost at any moment.
//
// What that means for a copy:
//
//   - Never lost: it is removed only in the commit that follows the other
//     server's 250, or in the commit that accepts its bounce.
//   - Bounced at most once: for the same reason.
//   - Sent at least once: an attempt interrupted by a crash is due again.
//     Where the crash falls between the other server's reply and our commit,
//     the copy is sent a second time; every mail server has this window (RFC
//     5321 section 6.1), ours is one commit wide. A commit that fails is tried
//     again while the copy's slot stays taken, so that a store in trouble
//     stops the sending instead of repeating it.
//   - A bounce is never bounced: what has a null sender and cannot be
//     delivered is dropped, with an event in log and trace.
//
// An attempt takes all copies of one message that go to one destination, in
// one transaction where the server allows. The number of attempts is bounded
// in all and for each destination; a destination none of whose hosts can be
// spoken to is left alone for some minutes, whatever is due for it, so that
// dead hosts cannot take all slots.
//
// The entry's own record (store.QueueEntry.Data) is a version byte, 1,
// followed by Record as JSON. Empty data is an empty Record. A held entry is
// due in heldUntil, beyond any schedule.
package queue
