package store

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	inbox     = "INBOX"
	separator = "/"

	// maxName and maxNamePart bound a mailbox name in bytes, maxDepth its
	// levels: generous for people, bounded for a row's key.
	maxName     = 1000
	maxNamePart = 250
	maxDepth    = 50
	// maxMailboxes bounds an account's mailboxes: several times what a heavy
	// user has, and so few that renaming them all, subscribed and with names of
	// usual length, fits one transaction.
	maxMailboxes = 2000
)

// CleanName gives a mailbox name as the store keeps it, see cleanName. ErrBadName.
func CleanName(name string) (string, error) { return cleanName(name) }

// cleanName brings a mailbox name into the form in which it is kept: Unicode
// normal form C, so that one name is one mailbox whatever keyboard wrote it,
// and INBOX in capitals (RFC 3501 section 5.1, RFC 5198). ErrBadName.
func cleanName(name string) (string, error) {
	if name == "" || len(name) > 2*maxName || !utf8.ValidString(name) {
		return "", fmt.Errorf("%w: empty, too long or not UTF-8", ErrBadName)
	}
	name = norm.NFC.String(name)
	if len(name) > maxName {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrBadName, maxName)
	}
	parts := strings.Split(name, separator)
	if len(parts) > maxDepth {
		return "", fmt.Errorf("%w: more than %d levels", ErrBadName, maxDepth)
	}
	for _, p := range parts {
		if p == "" || len(p) > maxNamePart {
			return "", fmt.Errorf("%w: a level is empty or longer than %d bytes", ErrBadName, maxNamePart)
		}
		for _, r := range p {
			// RFC 5198 section 2: no control characters, no line or paragraph separators.
			if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
				return "", fmt.Errorf("%w: control character", ErrBadName)
			}
		}
	}
	if strings.EqualFold(parts[0], inbox) {
		parts[0] = inbox
	}
	return strings.Join(parts, separator), nil
}

// parentName is the name one level up, "" at the top.
func parentName(name string) string {
	if i := strings.LastIndex(name, separator); i >= 0 {
		return name[:i]
	}
	return ""
}

// below tells whether name lies under parent.
func below(name, parent string) bool {
	return len(name) > len(parent) && strings.HasPrefix(name, parent) && name[len(parent)] == '/'
}

// validUse tells whether use is a special use of RFC 6154 that a mailbox can have.
func validUse(use string) bool {
	switch use {
	case `\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`, `\All`, `\Flagged`:
		return true
	}
	return false
}
