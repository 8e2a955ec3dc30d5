// Package clienttest lets the mail clients that people use, as Debian and npm
// have them, into maild: no machine is booted, maild runs in the test's own
// process with its whole stack from the listeners to the store, on ports of the
// system's choice.
//
// A client does a full round: it logs in over TLS or STARTTLS, verifying the
// box's certificate against the box's own authority; lists, fetches, flags,
// moves, deletes, appends and searches as far as it can; and takes in what
// another client changed meanwhile. What the client has in the end is compared
// with what the test expects, and so is what the server has, as the other
// client sees it (go-imap, which shares no code with the server's wire layer).
//
// Messages are told by their subjects: message(s) is the message with subject s,
// and an entry of a list is its subject and flags as Maildir writes them, with a
// note where the text is not that of message(s).
//
// The programs are among the host packages (scripts/host-packages.sh); without
// one of them its test fails.
package clienttest
