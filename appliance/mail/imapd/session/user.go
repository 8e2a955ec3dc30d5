package session

import (
	"context"
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// Delimiter parts the levels of a mailbox name.
const Delimiter = '/'

// Base is what the sessions of all people work with.
type Base struct {
	Store   *store.Store
	Entries *EntriesCache
	Facts   *FactsCache
	Recents *Recents
	Sharing Sharing // nil: mailboxes cannot be shared
	Index   Index   // nil: searches read the mail
}

// User is a logged-in person as one connection serves them.
type User struct {
	Account store.AccountID
	Address string

	*Base
	actor uint64
}

// Sharing knows whose account is whose, so that mailboxes can be shared;
// account.Directory does.
type Sharing interface {
	// Account finds the account of a person by address; an error where there is none.
	Account(address string) (store.AccountID, error)
	// AddressOf finds a person's address by account.
	AddressOf(id store.AccountID) (string, bool)
}

// NewUser begins the session of a person.
func NewUser(base *Base, id store.AccountID, address string) *User {
	return &User{Account: id, Address: address, Base: base, actor: base.Store.NewActor()}
}

// Context marks changes made with it as the session's own.
func (u *User) Context(ctx context.Context) context.Context { return store.WithActor(ctx, u.actor) }

// place is where a name leads: a mailbox name within an account, and what the
// person may do there as far as the account itself says.
type place struct {
	account store.AccountID
	name    string
	own     bool
}

// locate finds out whose mailbox a name means.
func (u *User) locate(name string) (place, error) {
	owner, rest, shared := cutShared(name)
	if !shared || u.Sharing == nil {
		return place{u.Account, name, true}, nil
	}
	if owner == "" || rest == "" {
		return place{}, store.ErrNotFound
	}
	id, err := u.Sharing.Account(owner)
	if err != nil {
		return place{}, store.ErrNotFound
	}
	return place{id, rest, id == u.Account}, nil
}

// open finds a mailbox by the name the client uses, and demands rights.
// Without the right to look it up it does not exist (RFC 4314 section 6).
func (u *User) open(ctx context.Context, name string, need Rights) (store.Mailbox, Rights, error) {
	at, err := u.locate(name)
	if err != nil {
		return store.Mailbox{}, 0, err
	}
	box, err := u.Store.MailboxByName(ctx, at.account, at.name)
	if err != nil {
		return store.Mailbox{}, 0, err
	}
	if box.NonExistent {
		return store.Mailbox{}, 0, store.ErrNotFound
	}
	rights, err := u.rights(ctx, box)
	if err != nil {
		return store.Mailbox{}, 0, err
	}
	if err := permit(rights, need); err != nil {
		return store.Mailbox{}, 0, err
	}
	return box, rights, nil
}

// permit checks rights: ErrNotFound where not even the name may be known.
func permit(have, need Rights) error {
	switch {
	case have.Has(need):
		return nil
	case !have.Has(RightLookup):
		return store.ErrNotFound
	}
	return ErrNoRight
}

// ErrNoRight means that the person lacks a right on a mailbox.
var ErrNoRight = &imap.Error{
	Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNoPerm, Text: "Permission denied",
}

// errRequired is what the grammar allows and the mailbox names do not.
func cannot(text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeCannot, Text: text}
}

// Mailbox finds a mailbox by name for reading its state.
func (u *User) Mailbox(ctx context.Context, name string) (store.Mailbox, error) {
	box, _, err := u.open(ctx, name, RightRead)
	return box, err
}

// Target is a mailbox to put messages into, with the person's rights on it.
type Target struct {
	store.Mailbox
	rights Rights
}

// Target finds a mailbox to put messages into.
func (u *User) Target(ctx context.Context, name string) (Target, error) {
	box, rights, err := u.open(ctx, name, RightInsert)
	return Target{box, rights}, err
}

// checkName refuses names no mailbox should bear.
func checkName(name string) error {
	switch {
	case name == "" || strings.HasPrefix(name, "/") || strings.Contains(name, "//"):
		return cannot("A mailbox name has no empty levels")
	case strings.ContainsAny(name, "%*"):
		// They could never be listed by themselves.
		return cannot("A mailbox name cannot hold wildcards")
	}
	return nil
}

// Create makes a mailbox. A trailing delimiter says that mailboxes will be
// made below it (RFC 9051 section 6.3.4) and changes nothing here.
func (u *User) Create(ctx context.Context, name, specialUse string) (store.Mailbox, error) {
	name = strings.TrimSuffix(name, "/")
	if err := checkName(name); err != nil {
		return store.Mailbox{}, err
	}
	at, err := u.locate(name)
	if err != nil {
		return store.Mailbox{}, err
	}
	if err := u.mayCreate(ctx, at); err != nil {
		return store.Mailbox{}, err
	}
	if specialUse != "" {
		if !at.own {
			return store.Mailbox{}, noUse("A shared mailbox has the use its owner gives it")
		}
		boxes, err := u.Store.Mailboxes(ctx, at.account)
		if err != nil {
			return store.Mailbox{}, err
		}
		for i := range boxes {
			if boxes[i].SpecialUse == specialUse {
				// RFC 6154 section 3: one mailbox each.
				return store.Mailbox{}, &imap.Error{
					Type: imap.StatusResponseTypeNo, Code: "USEATTR", Text: "Another mailbox has that use",
				}
			}
		}
	}
	box, err := u.Store.CreateMailbox(ctx, at.account, at.name, specialUse)
	if err != nil {
		return box, err
	}
	return box, u.inheritRights(ctx, box)
}

// mayCreate checks the right to make a mailbox: on the nearest parent there is.
func (u *User) mayCreate(ctx context.Context, at place) error {
	if at.own {
		return nil
	}
	for name := at.name; ; {
		i := strings.LastIndexByte(name, Delimiter)
		if i < 0 {
			return ErrNoRight // the top of somebody else's mailboxes
		}
		name = name[:i]
		box, err := u.Store.MailboxByName(ctx, at.account, name)
		if errors.Is(err, store.ErrNotFound) || err == nil && box.NonExistent {
			continue
		}
		if err != nil {
			return err
		}
		rights, err := u.rights(ctx, box)
		if err != nil {
			return err
		}
		return permit(rights, RightCreate)
	}
}

// Delete removes a mailbox.
func (u *User) Delete(ctx context.Context, name string) error {
	box, _, err := u.open(ctx, name, RightDelete)
	if err != nil {
		return err
	}
	if err := u.Store.DeleteMailbox(ctx, box.Account, box.Name); err != nil {
		return err
	}
	if err := u.dropMetadata(ctx, box); err != nil {
		return err
	}
	return u.dropRights(ctx, box)
}

// Rename renames a mailbox and all below it.
func (u *User) Rename(ctx context.Context, from, to string) error {
	to = strings.TrimSuffix(to, "/")
	if err := checkName(to); err != nil {
		return err
	}
	src, err := u.locate(from)
	if err != nil {
		return err
	}
	dst, err := u.locate(to)
	if err != nil {
		return err
	}
	if src.account != dst.account {
		return cannot("A mailbox cannot move to another person's account")
	}
	if !src.own {
		if _, _, err := u.open(ctx, from, RightDelete); err != nil {
			return err
		}
	}
	if err := u.mayCreate(ctx, dst); err != nil {
		return err
	}
	return u.Store.RenameMailbox(ctx, src.account, src.name, dst.name)
}

// Subscribe sets or clears a subscription. Subscriptions are the person's own,
// those to shared mailboxes too, which are kept under their full names.
func (u *User) Subscribe(ctx context.Context, name string, on bool) error {
	name = strings.TrimSuffix(name, "/")
	if on {
		if err := checkName(name); err != nil {
			return err
		}
	}
	return u.Store.Subscribe(ctx, u.Account, name, on)
}

// QuotaRoot names the quota root a mailbox counts for: "" for the person's own.
func (u *User) QuotaRoot(box store.Mailbox) string {
	if box.Account == u.Account {
		return ""
	}
	return u.ownerOf(box)
}

// SharedPrefix is where other people's mailboxes appear, "" where there are none.
func (u *User) SharedPrefix() string {
	if u.Sharing == nil {
		return ""
	}
	return SharedPrefix
}

// DeletedSize is the size of the messages of a mailbox that have \Deleted (RFC 9208 section 5.1).
func (u *User) DeletedSize(ctx context.Context, id store.MailboxID) (int64, error) {
	var size int64
	_, err := u.Store.Entries(ctx, id, 0, 0, func(e store.Entry) error {
		if e.Flags.System&store.Deleted != 0 {
			size += e.Size
		}
		return nil
	})
	return size, err
}

// RecentCount is how many messages of a mailbox no session was told of, by its UIDs.
func (u *User) RecentCount(ctx context.Context, box store.Mailbox) (uint32, error) {
	first := u.Recents.first(box.ID)
	if first == 0 { // nobody selected it yet
		first = box.UIDNext
		if _, err := u.Store.Entries(ctx, box.ID, 0, 0, func(e store.Entry) error {
			if !e.SaveDate.Before(u.Recents.start) {
				first = e.UID
				return errStop
			}
			return nil
		}); err != nil && !errors.Is(err, errStop) {
			return 0, err
		}
		u.Recents.begin(box.ID, first)
	}
	if first >= box.UIDNext {
		return 0, nil
	}
	return min(uint32(box.UIDNext-first), box.Messages), nil
}
