package queue

import (
	"slices"
	"time"
)

// Schedule says when a copy is tried again and when it is given up.
type Schedule struct {
	// Delays follow the first, second, ... failed attempt; the last one is repeated.
	Delays []time.Duration
	// Expiry is the age at which a copy that still fails is returned.
	Expiry time.Duration
	// MinAttempts must have failed before it is returned, whatever its age: a
	// box that was off, or without a network, or whose clock jumped, has not
	// tried enough yet.
	MinAttempts int
}

// DefaultSchedule follows RFC 5321 section 4.5.4.1: at least two attempts in
// the first hour, then every few hours, at least four to five days long. The
// first delays are short, since many receivers refuse strangers once for some
// minutes (greylisting).
var DefaultSchedule = Schedule{
	Delays: []time.Duration{
		5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour,
	},
	Expiry:      5 * 24 * time.Hour,
	MinAttempts: 8,
}

// delay follows so many failed attempts.
func (s Schedule) delay(attempts int) time.Duration { return s.Delays[min(attempts, len(s.Delays))-1] }

// attempts is how many there are until the expiry of what fails at once.
func (s Schedule) attempts() int {
	n := 1
	for age := time.Duration(0); age < s.Expiry; n++ {
		age += s.delay(n)
	}
	return n
}

// longest is the longest that anything is put off.
func (s Schedule) longest() time.Duration { return max(slices.Max(s.Delays), bounceRetry) }

// after tells when to try again a copy whose attempts have all failed, the
// last one now; ok is false where it is to be returned.
func (s Schedule) after(now, created time.Time, attempts int) (due time.Time, ok bool) {
	expires := created.Add(s.Expiry)
	expired := !now.Before(expires)
	if created.After(now) { // by a clock that was ahead
		expired = attempts >= s.attempts()
	}
	if attempts >= s.MinAttempts && expired {
		return time.Time{}, false
	}
	due = now.Add(s.delay(attempts))
	if attempts >= s.MinAttempts && due.After(expires) {
		due = expires // one last attempt before it is returned
	}
	return due, true
}
