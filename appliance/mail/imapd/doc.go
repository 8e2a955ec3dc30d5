// Package imapd is the IMAP server of the box: IMAP4rev2 (RFC 9051) and
// IMAP4rev1 (RFC 3501) with the extensions that the file RFCS.md beside this
// one lists, each with the place in the code.
//
// The server is in three layers. Package imapwire reads and writes the syntax
// and knows no command. Package session is what the server does for one person
// and knows no syntax. This package is between them: a file for each command or
// family of commands, the dispatch table in command.go.
//
// A connection runs on one goroutine, which reads a command, answers it and
// then tells what changed meanwhile in the selected mailbox. While it waits in
// IDLE, or wherever NOTIFY asked for it, a second goroutine announces changes
// as they happen. Nothing of one connection is shared with another but the
// store.
//
// # What a client cannot do
//
//   - Hold memory: a command is bounded (commandLimit), messages go to disk as
//     they come, responses are written as they are made, and a client that does
//     not read is dropped after writeTimeout. The buffers of a connection that
//     waits are given back.
//   - Guess passwords: failures are counted by the Authenticator and answered
//     after FailureDelay; loginLimit of them end the connection.
//   - Do harm by a message: whatever bytes one is made of, it is listed,
//     fetched and searched. A message damaged on disk is left out of a FETCH,
//     which then ends in NO, and hides nothing else.
//
// # Failure
//
// An error of the store that no client can cause is logged and answered NO
// [SERVERBUG]. A panic ends its connection, not the server. Shutdown lets each
// connection finish its command and says BYE. A selected mailbox that somebody
// deletes ends the sessions in it with BYE, as does a changed password.
package imapd
