// Package smtpclient speaks the sending side of SMTP (RFC 5321) over one
// connection to one host: greeting, EHLO or HELO, STARTTLS, AUTH, and any
// number of transactions with several recipients each.
//
// Invariants:
//
//   - A recipient counts as taken (a nil error) only after the server answered
//     the end of the body with 2xx. Everything else is an *Error, with the
//     server's own code where it gave one.
//   - A body that cannot be read to its end is never ended with a dot: the
//     connection is dropped, so that no server takes half a message.
//   - Line ends leave as CRLF only (RFC 5321 section 2.3.8). A body that has
//     CRLF everywhere, as everything stored by this house has, passes byte for
//     byte apart from dot-stuffing. As the last fence against SMTP smuggling,
//     a bare LF becomes CRLF and a bare CR becomes a space.
//   - A body with bytes above 127 is sent as it is to a server without
//     8BITMIME: re-encoding would break every signature in it, and no such
//     server in use is known to damage it.
//   - Passwords leave only over TLS or to the machine itself, unless the
//     credentials say otherwise.
//   - What the server says is bounded in size and in time, and its text is
//     free of control characters before anybody sees it.
//
// The package decides nothing about retries, other hosts or bounces; Error
// carries what those who decide need to know.
package smtpclient
