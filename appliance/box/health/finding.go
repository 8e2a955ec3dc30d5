package health

import "pillarbox/appliance/api/healthapi"

// finding is a verdict on something that is no number: it is so, or it is not.
// The zero level says that all is well.
type finding struct {
	id              string
	level           healthapi.Level
	what, means, do string
	disk            string // it is about, as under /dev; empty: none
	// final asks for the box to be switched off in order: it will lose its
	// power soon.
	final bool
}
