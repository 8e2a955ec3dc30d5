// Package route answers where mail for a domain goes: to a smart host where
// one is set, else to the domain's mail exchangers as DNS names them (RFC 5321
// section 5.1), and how each host is to be spoken to.
//
// Invariants:
//
//   - A DNS failure is temporary. Only what DNS positively says (no such
//     domain, null MX, no exchanger with an address) is permanent.
//   - Mail never goes to an exchanger that prefers ourselves at least as much:
//     our own name among the exchangers removes itself and all that are not
//     better (RFC 5321 section 5.1), so that it cannot go round in circles.
//   - Exchangers on loopback, multicast or unspecified addresses are not
//     used: a stranger's DNS does not get to talk to our own machine.
//   - Settings are asked for at each use; nothing is kept, so that changes
//     apply to the next attempt.
package route
