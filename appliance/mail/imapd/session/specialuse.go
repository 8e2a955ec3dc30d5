package session

import (
	"context"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// specialUses are the uses a mailbox can have (RFC 6154 section 2). \All and
// \Flagged are views of other mailboxes, which there are none of.
var specialUses = map[string]string{
	`\archive`: `\Archive`,
	`\drafts`:  `\Drafts`,
	`\junk`:    `\Junk`,
	`\sent`:    `\Sent`,
	`\trash`:   `\Trash`,
}

func noUse(text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: "USEATTR", Text: text}
}

// SpecialUse gives the one use that a client names, "" for none.
func SpecialUse(names []string) (string, error) {
	switch len(names) {
	case 0:
		return "", nil
	case 1:
		if use := specialUses[strings.ToLower(names[0])]; use != "" {
			return use, nil
		}
		return "", noUse("No mailbox can have that use")
	}
	return "", noUse("A mailbox has one use at most")
}

// specialUseEntry is the annotation that shows the use of one's own mailboxes
// and changes it (RFC 6154 section 4). It is kept with the mailbox.
const specialUseEntry = "/private/specialuse"

func isSpecialUse(entry string) bool { return strings.EqualFold(entry, specialUseEntry) }

// specialUse is the value of that annotation, nil where there is none.
func (u *User) specialUse(a annotated) []byte {
	if a.box.SpecialUse == "" || a.box.Account != u.Account {
		return nil
	}
	return []byte(a.box.SpecialUse)
}

// takeSpecialUse takes a change of the use out of changes; set is nil where
// there is none. INBOX has no use, and that of a shared mailbox is its owner's.
func (u *User) takeSpecialUse(a annotated, changes []Annotation) (rest []Annotation, set func(context.Context) error, err error) {
	for _, c := range changes {
		if !isSpecialUse(c.Entry) {
			rest = append(rest, c)
			continue
		}
		use, err := SpecialUse(strings.Fields(string(c.Value)))
		switch {
		case err != nil:
			return nil, nil, err
		case a.box.ID == 0, a.box.Account != u.Account:
			return nil, nil, ErrNoRight
		case use != "" && a.box.Name == "INBOX":
			return nil, nil, noUse("INBOX has no other use")
		}
		set = func(ctx context.Context) error { return u.Store.SetSpecialUse(ctx, a.box.ID, use) }
	}
	return rest, set, nil
}
