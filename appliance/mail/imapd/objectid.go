package imapd

import (
	"strconv"

	"pillarbox/appliance/store/store"
)

// Object ids (RFC 8474 section 4): a letter for the kind and the store's
// number, in letters and digits.

func mailboxID(id store.MailboxID) string { return objectID('B', uint64(id)) }
func emailID(id store.EmailID) string     { return objectID('M', uint64(id)) }
func threadID(id store.ThreadID) string   { return objectID('T', uint64(id)) }

func objectID(kind byte, n uint64) string {
	return string(strconv.AppendUint([]byte{kind}, n, 36))
}

func parseObjectID(kind byte, s string) (uint64, bool) {
	if len(s) < 2 || s[0] != kind {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:], 36, 64)
	return n, err == nil
}
