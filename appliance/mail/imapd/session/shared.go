package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// SharedPrefix is where other people's mailboxes appear (RFC 2342):
// "Other Users/ann@example.org/INBOX".
const SharedPrefix = "Other Users/"

// cutShared takes a name below SharedPrefix apart. A name of a person alone has no rest.
func cutShared(name string) (owner, rest string, ok bool) {
	if name+"/" == SharedPrefix {
		return "", "", true
	}
	tail, ok := strings.CutPrefix(name, SharedPrefix)
	if !ok {
		return "", "", false
	}
	owner, rest, _ = strings.Cut(tail, "/")
	if len(rest) >= 5 && strings.EqualFold(rest[:5], "INBOX") && (len(rest) == 5 || rest[5] == '/') {
		rest = "INBOX" + rest[5:]
	}
	return strings.ToLower(owner), rest, true
}

// Anyone is the identifier that stands for everybody on this box (RFC 4314 section 3).
const Anyone = "anyone"

// maxGrants bounds the entries of one mailbox's list: each access reads it.
const maxGrants = 500

// grants are a mailbox's access control list as it is kept: rights in letters
// by account number, or Anyone. The owner has all rights and no entry. People
// are kept by account and not by address, so that a right never passes on to
// the next person who gets an address.
type grants map[string]string

// grantsKey is where the grants of a mailbox are kept: those of one owner stand together.
func grantsKey(owner store.AccountID, id store.MailboxID) string {
	return fmt.Sprintf("%016x/%016x", uint64(owner), uint64(id))
}

func (u *User) grants(ctx context.Context, box store.Mailbox) (grants, uint64, error) {
	d, err := u.Store.Doc(ctx, store.TableACL, grantsKey(box.Account, box.ID))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return grants{}, store.IfAbsent, nil
	case err != nil:
		return nil, 0, err
	}
	g, err := parseGrants(d.Value)
	return g, d.Rev, err
}

func parseGrants(b []byte) (grants, error) {
	var g grants
	if err := json.Unmarshal(b, &g); err != nil {
		return nil, fmt.Errorf("session: access control list: %w", err)
	}
	return g, nil
}

// of is what an account may do: its own entry and that for everybody together.
func (g grants) of(id store.AccountID) Rights {
	r, _ := ParseRights(g[strconv.FormatUint(uint64(id), 10)])
	all, _ := ParseRights(g[Anyone])
	return r | all
}

// rights are what the person may do with a mailbox.
func (u *User) rights(ctx context.Context, box store.Mailbox) (Rights, error) {
	if box.Account == u.Account {
		return AllRights, nil
	}
	g, _, err := u.grants(ctx, box)
	if err != nil {
		return 0, err
	}
	return g.of(u.Account), nil
}

// dropRights forgets the rights on a mailbox that is gone.
func (u *User) dropRights(ctx context.Context, box store.Mailbox) error {
	return u.Store.UpdateDocs(ctx, store.DocOp{Table: store.TableACL, Key: grantsKey(box.Account, box.ID)})
}

// inheritRights gives a new mailbox the rights on its parent, so that who may
// make a mailbox can use it (RFC 4314 section 4 leaves it open).
func (u *User) inheritRights(ctx context.Context, box store.Mailbox) error {
	i := strings.LastIndexByte(box.Name, Delimiter)
	if i < 0 {
		return nil
	}
	parent, err := u.Store.MailboxByName(ctx, box.Account, box.Name[:i])
	if errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	d, err := u.Store.Doc(ctx, store.TableACL, grantsKey(parent.Account, parent.ID))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	return u.Store.UpdateDocs(ctx, store.DocOp{Table: store.TableACL, Key: grantsKey(box.Account, box.ID), Value: d.Value})
}

// sharedBoxes calls fn with the mailboxes other people share with the person.
func (u *User) sharedBoxes(ctx context.Context, fn func(name string, box store.Mailbox)) error {
	if u.Sharing == nil {
		return nil
	}
	owners := make(map[store.AccountID]string)
	own := fmt.Sprintf("%016x/", uint64(u.Account))
	return u.Store.Docs(ctx, store.TableACL, "", "", func(d store.Doc) error {
		if strings.HasPrefix(d.Key, own) {
			return nil
		}
		g, err := parseGrants(d.Value)
		if err != nil || !g.of(u.Account).Has(RightLookup) {
			return err
		}
		_, hex, _ := strings.Cut(d.Key, "/")
		id, err := strconv.ParseUint(hex, 16, 64)
		if err != nil {
			return fmt.Errorf("session: access control list %q: %w", d.Key, err)
		}
		box, err := u.Store.Mailbox(ctx, store.MailboxID(id))
		if errors.Is(err, store.ErrNotFound) || err == nil && box.NonExistent {
			return nil // gone with its owner
		}
		if err != nil {
			return err
		}
		owner, known := owners[box.Account]
		if !known {
			owner, _ = u.Sharing.AddressOf(box.Account)
			owners[box.Account] = owner
		}
		if owner != "" {
			box.SpecialUse = "" // it is the owner's
			fn(SharedPrefix+owner+"/"+box.Name, box)
		}
		return nil
	})
}

// Grant is an entry of an access control list.
type Grant struct {
	Identifier string
	Rights     Rights
}

// Grants lists who may do what with a mailbox, the owner first. It takes the
// right to administer it.
func (u *User) Grants(ctx context.Context, name string) ([]Grant, error) {
	box, _, err := u.open(ctx, name, RightAdminister)
	if err != nil {
		return nil, err
	}
	g, _, err := u.grants(ctx, box)
	if err != nil {
		return nil, err
	}
	var out []Grant
	for id, letters := range g {
		r, _ := ParseRights(letters)
		if id != Anyone {
			n, err := strconv.ParseUint(id, 10, 64)
			if err != nil || u.Sharing == nil {
				continue
			}
			var ok bool
			if id, ok = u.Sharing.AddressOf(store.AccountID(n)); !ok {
				continue // gone
			}
		}
		out = append(out, Grant{id, r})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Identifier < out[j].Identifier })
	if owner := u.ownerOf(box); owner != "" {
		out = append([]Grant{{owner, AllRights}}, out...)
	}
	return out, nil
}

func (u *User) ownerOf(box store.Mailbox) string {
	if box.Account == u.Account {
		return u.Address
	}
	a, _ := u.Sharing.AddressOf(box.Account) // a shared mailbox was found by it
	return a
}

// identify finds whom an identifier means. owner says that it is the mailbox's owner.
func (u *User) identify(box store.Mailbox, identifier string) (key string, owner bool, err error) {
	if strings.EqualFold(identifier, Anyone) {
		return Anyone, false, nil
	}
	if u.Sharing == nil || strings.HasPrefix(identifier, "-") {
		return "", false, cannot("No such identifier") // negative rights (RFC 4314 section 2) are not kept
	}
	id := u.Account
	if !strings.EqualFold(identifier, u.Address) {
		if id, err = u.Sharing.Account(strings.ToLower(identifier)); err != nil {
			return "", false, cannot("No such identifier")
		}
	}
	return strconv.FormatUint(uint64(id), 10), id == box.Account, nil
}

// GrantOp says what SetGrant does with the rights.
type GrantOp uint8

// The ways to change an entry (RFC 4314 section 3.1).
const (
	GrantSet GrantOp = iota
	GrantAdd
	GrantRemove
)

// SetGrant changes what somebody may do with a mailbox. It takes the right to
// administer it. The owner's rights do not change.
func (u *User) SetGrant(ctx context.Context, name, identifier string, op GrantOp, r Rights) error {
	box, _, err := u.open(ctx, name, RightAdminister)
	if err != nil {
		return err
	}
	key, owner, err := u.identify(box, identifier)
	if err != nil {
		return err
	}
	if owner {
		if op == GrantAdd || op == GrantSet && r.Has(AllRights) || op == GrantRemove && r == 0 {
			return nil
		}
		return cannot("The owner keeps all rights")
	}
	for {
		g, rev, err := u.grants(ctx, box)
		if err != nil {
			return err
		}
		have, _ := ParseRights(g[key])
		switch op {
		case GrantSet:
			have = r
		case GrantAdd:
			have |= r
		case GrantRemove:
			have &^= r
		}
		if have == 0 {
			delete(g, key)
		} else {
			g[key] = have.String()
		}
		if len(g) > maxGrants {
			return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeLimit, Text: "Too many identifiers"}
		}
		change := store.DocOp{Table: store.TableACL, Key: grantsKey(box.Account, box.ID), IfRev: rev}
		if len(g) > 0 {
			if change.Value, err = json.Marshal(g); err != nil {
				return err
			}
		} else if rev == store.IfAbsent {
			return nil
		}
		if err := u.Store.UpdateDocs(ctx, change); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// MyRights is what the person may do with a mailbox. Who may do nothing that
// shows the mailbox does not learn of it.
func (u *User) MyRights(ctx context.Context, name string) (Rights, error) {
	_, r, err := u.open(ctx, name, 0)
	if err != nil {
		return 0, err
	}
	if !r.Any(RightLookup | RightRead | RightInsert | RightCreate | RightDelete | RightAdminister) {
		return 0, store.ErrNotFound
	}
	return r, nil
}

// CanGrant tells which rights an identifier always has on a mailbox, and which
// can be given to it. It takes the right to administer the mailbox.
func (u *User) CanGrant(ctx context.Context, name, identifier string) (always, optional Rights, err error) {
	box, _, err := u.open(ctx, name, RightAdminister)
	if err != nil {
		return 0, 0, err
	}
	_, owner, err := u.identify(box, identifier)
	if owner {
		return AllRights, 0, err
	}
	return 0, AllRights, err
}
