package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// The codes an Error carries.
const (
	CodeInvalid     = "invalid"     // a field holds what it must not; Field names it
	CodeNotFound    = "not_found"   // no such thing
	CodeConflict    = "conflict"    // it exists already, or is in the wrong state
	CodeDenied      = "denied"      // not allowed
	CodeUnavailable = "unavailable" // not now; trying again later makes sense
	CodeInternal    = "internal"    // a fault of the program, in its log
)

// Error is a failure as it travels between a program and its clients.
type Error struct {
	Code    string `json:"code"`
	Field   string `json:"field,omitempty"` // JSON name of the offending field, dotted where nested
	Message string `json:"message"`         // a sentence for a person
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Invalid reports a field that holds what it must not.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// NotFound reports something that does not exist.
func NotFound(format string, args ...any) *Error {
	return &Error{Code: CodeNotFound, Message: fmt.Sprintf(format, args...)}
}

// Conflict reports something that exists already or is in the wrong state.
func Conflict(format string, args ...any) *Error {
	return &Error{Code: CodeConflict, Message: fmt.Sprintf(format, args...)}
}

// Unavailable reports something that cannot be had now.
func Unavailable(format string, args ...any) *Error {
	return &Error{Code: CodeUnavailable, Message: fmt.Sprintf(format, args...)}
}

// status returns the HTTP status that goes with the error's code.
func (e *Error) status() int {
	switch e.Code {
	case CodeInvalid:
		return http.StatusBadRequest
	case CodeNotFound:
		return http.StatusNotFound
	case CodeConflict:
		return http.StatusConflict
	case CodeDenied:
		return http.StatusForbidden
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// asError finds the Error in err's chain. An error of any other kind becomes
// an internal one; its text is kept, since every caller on a local socket is
// an administrator.
func asError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeUnavailable, Message: "the request took too long: " + err.Error()}
	}
	return &Error{Code: CodeInternal, Message: err.Error()}
}
