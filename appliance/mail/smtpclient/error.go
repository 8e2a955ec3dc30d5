package smtpclient

import (
	"fmt"
	"strings"
)

// Phase tells how far a conversation had come.
type Phase uint8

// The phases of a conversation, in order.
const (
	PhaseConnect   Phase = iota // TCP
	PhaseGreeting               // the server's first reply
	PhaseHello                  // EHLO, HELO
	PhaseTLS                    // STARTTLS and the handshake
	PhaseAuth                   // AUTH
	PhaseMail                   // MAIL FROM
	PhaseRecipient              // RCPT TO
	PhaseData                   // DATA up to its 354
	PhaseBody                   // the body on its way
	PhaseEnd                    // the body sent whole, the reply to it open
)

var phaseNames = [...]string{"connect", "greeting", "hello", "starttls", "auth", "mail", "rcpt", "data", "body", "end of data"}

func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// Status is an enhanced status code (RFC 3463): class, subject, detail. The
// zero value means that none was given.
type Status [3]int

func (s Status) String() string { return fmt.Sprintf("%d.%d.%d", s[0], s[1], s[2]) }

// Error is why a conversation or a recipient failed.
type Error struct {
	Phase Phase
	// Host is the name of the server, or its address where it has no name.
	Host string
	// Code is the server's reply code, 0 where the failure is not a reply.
	Code int
	// Status is the server's enhanced code, or ours where Code is 0.
	Status Status
	// Text is the server's text without the codes, at most maxText bytes of
	// printable UTF-8, or our words where Code is 0.
	Text string
	// Permanent is set where the same message would fail again.
	Permanent bool
	// Cause is the error below, where Code is 0.
	Cause error

	local bool // our own failure: no other host would do better
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Host != "" {
		b.WriteString(e.Host + ": ")
	}
	b.WriteString(e.Phase.String() + ": ")
	if e.Code != 0 {
		fmt.Fprintf(&b, "%d ", e.Code)
	}
	if e.Status != (Status{}) {
		b.WriteString(e.Status.String() + " ")
	}
	b.WriteString(e.Text)
	return strings.TrimRight(b.String(), " ")
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Temporary tells whether a later attempt may succeed.
func (e *Error) Temporary() bool { return !e.Permanent }

// OfHost tells whether the failure says something about this host or
// connection rather than about the message: another host may do better. A
// connection lost after the body was sent whole is not one of these, since
// the message may well have been taken.
func (e *Error) OfHost() bool {
	switch {
	case e.Phase < PhaseMail:
		return true
	case e.Phase == PhaseEnd || e.local:
		return false
	default: // 421: the server closes the channel (RFC 5321 section 3.8)
		return e.Code == 421 || e.Code == 0 && !e.Permanent
	}
}

// replyError turns a negative reply into an Error.
func replyError(p Phase, host string, r Reply) *Error {
	return &Error{
		Phase: p, Host: host, Code: r.Code, Status: r.Status, Text: r.Text(),
		// A refusal before MAIL is about the host or about our standing with
		// it, which time can mend; one in a transaction is about the message.
		// 521 is a host that never takes mail (RFC 7504).
		Permanent: r.Code >= 500 && (p >= PhaseMail || p == PhaseGreeting && r.Code == 521),
	}
}
