// Package imapwire reads and writes IMAP's syntax: tokens, literals, sets,
// dates and mailbox names (RFC 3501 section 9, RFC 9051 section 9). It knows
// the grammar of the pieces, not which command uses them, and nothing of
// sessions or stores.
//
// A Decoder takes a connection's bytes apart, one command at a time. It holds
// at most one command in memory and never more than the limit it was given;
// only literals taken with Stream pass through without being held. Its methods
// keep the first error and then do nothing more, so that a command's grammar
// can be written down as one run of calls and checked once, at End.
//
// An Encoder appends responses to one buffer and hands it on when it is full
// or flushed. Both give their buffers back while a connection is idle.
package imapwire
