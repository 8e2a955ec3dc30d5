package delivery

import (
	"context"
	"errors"
	"fmt"

	"pillarbox/appliance/store/store"
)

// Error is why a message, a sender or a recipient is refused: the reply the
// peer gets, and the cause, which it does not get.
type Error struct {
	// Code is the SMTP reply code, 4xx or 5xx (RFC 5321 section 4.2).
	Code int
	// Enhanced is the enhanced status code (RFC 3463).
	Enhanced [3]int
	// Message is the text for the peer: one line of ASCII that says nothing
	// of what goes on inside.
	Message string
	// Cause is for the log and the trace; it may be nil.
	Cause error
}

// Error gives the reply and the cause.
func (e *Error) Error() string {
	s := fmt.Sprintf("%d %d.%d.%d %s", e.Code, e.Enhanced[0], e.Enhanced[1], e.Enhanced[2], e.Message)
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Temporary reports whether the same may succeed later.
func (e *Error) Temporary() bool { return e.Code/100 == 4 }

// AsError gives err as an Error. What is not one yet becomes the reply that
// fits the store's error, and a temporary failure without details where
// nothing is known: mail is never refused for good because of a fault here.
func AsError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, store.ErrOverQuota):
		return &Error{452, [3]int{4, 2, 2}, "Mailbox is full", err}
	case errors.Is(err, store.ErrNoSpace): // RFC 5321 section 4.2.3
		return &Error{452, [3]int{4, 3, 1}, "Insufficient system storage", err}
	case errors.Is(err, store.ErrReadOnly):
		return &Error{451, [3]int{4, 3, 0}, "Mail cannot be stored at the moment", err}
	case errors.Is(err, store.ErrClosed), errors.Is(err, context.Canceled):
		return &Error{451, [3]int{4, 3, 2}, "System is shutting down", err}
	default:
		return &Error{451, [3]int{4, 3, 0}, "Local error in processing", err}
	}
}
