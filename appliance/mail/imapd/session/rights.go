package session

import (
	"strings"

	"pillarbox/appliance/store/store"
)

// Rights is a set of access rights (RFC 4314 section 2.1).
type Rights uint16

// The rights, in the order they are written.
const (
	RightLookup     Rights = 1 << iota // l: the name is seen
	RightRead                          // r: SELECT, STATUS, COPY from it
	RightSeen                          // s: change \Seen
	RightWrite                         // w: change flags other than \Seen and \Deleted
	RightInsert                        // i: APPEND, COPY into it
	RightPost                          // p: send to its address
	RightCreate                        // k: CREATE below it, RENAME to below it
	RightDelete                        // x: DELETE and RENAME it
	RightTrash                         // t: change \Deleted
	RightExpunge                       // e: EXPUNGE
	RightAdminister                    // a: change the rights
)

const rightLetters = "lrswipkxtea"

// AllRights is what the owner of a mailbox has.
const AllRights = RightAdminister<<1 - 1

// flagRights are those that changing flags takes, each for some of them.
const flagRights = RightSeen | RightTrash | RightWrite

// writingRights are those of which one at least is needed to SELECT read-write.
const writingRights = RightSeen | RightWrite | RightInsert | RightTrash | RightExpunge

// Has reports whether all of r are in the set.
func (set Rights) Has(r Rights) bool { return set&r == r }

// Any reports whether one of r at least is in the set.
func (set Rights) Any(r Rights) bool { return set&r != 0 }

// systemFlags are the system flags that may be changed.
func (set Rights) systemFlags() store.SystemFlags {
	var f store.SystemFlags
	if set.Has(RightSeen) {
		f |= store.Seen
	}
	if set.Has(RightTrash) {
		f |= store.Deleted
	}
	if set.Has(RightWrite) {
		f |= store.Answered | store.Flagged | store.Draft
	}
	return f
}

// permitted is what of flags may be changed.
func (set Rights) permitted(f store.Flags) store.Flags {
	f.System &= set.systemFlags()
	if !set.Has(RightWrite) {
		f.Keywords = nil
	}
	return f
}

// refused are the flags that may not be changed.
func (set Rights) refused() store.FlagMask {
	return store.FlagMask{System: ^set.systemFlags(), Keywords: !set.Has(RightWrite)}
}

// String writes the letters of the set.
func (set Rights) String() string {
	var b strings.Builder
	for i := range len(rightLetters) {
		if set&(1<<i) != 0 {
			b.WriteByte(rightLetters[i])
		}
	}
	return b.String()
}

// Shown writes the set as ACL and MYRIGHTS tell it: with the obsolete rights
// too that any of its members stands for (RFC 4314 section 2.1.1), which older
// clients look for.
func (set Rights) Shown() string {
	s := set.String()
	if set.Any(createRights) {
		s += "c"
	}
	if set.Any(deleteRights) {
		s += "d"
	}
	return s
}

// What the obsolete "c" and "d" stand for. Deleting a mailbox is in one of them
// only, in which is the server's choice (RFC 4314 section 2.1.1).
const (
	createRights = RightCreate | RightDelete
	deleteRights = RightTrash | RightExpunge
)

// ParseRights reads letters. The obsolete "c" and "d" mean what they meant
// (RFC 4314 section 2.1.1). An unknown letter makes ok false.
func ParseRights(s string) (set Rights, ok bool) {
	for _, c := range s {
		switch i := strings.IndexRune(rightLetters, c); {
		case i >= 0:
			set |= 1 << i
		case c == 'c':
			set |= createRights
		case c == 'd':
			set |= deleteRights
		default:
			return 0, false
		}
	}
	return set, true
}
