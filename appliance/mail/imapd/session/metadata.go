package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// Annotations (RFC 5464). Each is a document; its key is the account or
// mailbox it belongs to and the entry's name in lower case. Private entries are
// the person's who made them, shared ones all people's who may read the mailbox.

const (
	// MaxMetadata is the longest value, bytes. Clients keep small settings
	// there; the longest seen are signatures in HTML.
	MaxMetadata = 64 << 10
	// maxEntries bounds the entries of one person on one mailbox.
	maxEntries = 200
	// maxEntryName bounds an entry's name, bytes.
	maxEntryName = 250
)

// Annotation is an entry with its value.
type Annotation struct {
	Entry string // "/private/..." or "/shared/..."
	Value []byte // nil: not there
}

// What all entries are below.
const (
	privateRoot = "/private"
	sharedRoot  = "/shared"
)

// IsRoot reports whether all there are is asked for by a name, with a depth.
func IsRoot(name string) bool {
	return strings.EqualFold(name, privateRoot) || strings.EqualFold(name, sharedRoot)
}

// ValidEntry reports whether a name is that of an entry (RFC 5464 section 4.1).
func ValidEntry(name string) bool {
	l := strings.ToLower(name)
	if !strings.HasPrefix(l, privateRoot+"/") && !strings.HasPrefix(l, sharedRoot+"/") || len(name) > maxEntryName {
		return false
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || c == '*' || c == '%' {
			return false
		}
	}
	return !strings.Contains(name, "//") && !strings.HasSuffix(name, "/")
}

// annotated is what annotations belong to: a mailbox, or, with the zero value,
// the server as the person sees it.
type annotated struct {
	box    store.Mailbox
	rights Rights
}

// annotated finds the mailbox of a name; "" is the server.
func (u *User) annotated(ctx context.Context, name string) (a annotated, err error) {
	if name == "" {
		return annotated{rights: AllRights}, nil
	}
	a.box, a.rights, err = u.open(ctx, name, RightLookup)
	if err == nil && !a.rights.Any(RightRead|RightInsert) {
		err = ErrNoRight
	}
	return a, err
}

// prefix is where the entries are kept: "m12/shared" or "m12/private7".
func (u *User) prefix(a annotated, private bool) string {
	head := "server"
	if a.box.ID != 0 {
		head = fmt.Sprintf("m%016x", uint64(a.box.ID))
	}
	if private {
		return head + "/private" + strconv.FormatUint(uint64(u.Account), 10)
	}
	return head + "/shared"
}

// metadataKey is where an entry is kept.
func (u *User) metadataKey(a annotated, entry string) string {
	entry = strings.ToLower(entry)
	if rest, private := strings.CutPrefix(entry, privateRoot); private {
		return u.prefix(a, true) + rest
	}
	return u.prefix(a, false) + strings.TrimPrefix(entry, sharedRoot)
}

// Metadata calls fn with the entries of a mailbox ("" is the server) that are
// asked for: those named, with depth those below them too, 1 or any number of
// levels (depth < 0). An entry that was named and is not there comes with a nil Value.
func (u *User) Metadata(ctx context.Context, mailbox string, entries []string, depth int, fn func(Annotation) error) error {
	a, err := u.annotated(ctx, mailbox)
	if err != nil {
		return err
	}
	for _, e := range entries {
		use := u.specialUse(a)
		if isSpecialUse(e) || use != nil && depth != 0 && strings.EqualFold(e, privateRoot) {
			if err := fn(Annotation{Entry: specialUseEntry, Value: use}); err != nil {
				return err
			}
		}
		if isSpecialUse(e) {
			continue
		}
		d, err := u.Store.Doc(ctx, store.TableMetadata, u.metadataKey(a, e))
		switch {
		case errors.Is(err, store.ErrNotFound):
			if depth != 0 {
				break
			}
			if err := fn(Annotation{Entry: e}); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			if err := fn(Annotation{Entry: e, Value: d.Value[1:]}); err != nil {
				return err
			}
		}
		if depth == 0 {
			continue
		}
		base := u.metadataKey(a, e) + "/"
		if err := u.Store.Docs(ctx, store.TableMetadata, base, "", func(d store.Doc) error {
			rest := strings.TrimPrefix(d.Key, base)
			if depth == 1 && strings.Contains(rest, "/") {
				return nil
			}
			return fn(Annotation{Entry: e + "/" + rest, Value: d.Value[1:]})
		}); err != nil {
			return err
		}
	}
	return nil
}

var errTooManyEntries = &imap.Error{
	Type: imap.StatusResponseTypeNo, Code: "METADATA TOOMANY", Text: "Too many entries",
}

// SetMetadata changes entries of a mailbox, all or none; a nil Value removes.
// Shared entries of the server are the administrator's.
func (u *User) SetMetadata(ctx context.Context, mailbox string, changes []Annotation) error {
	a, err := u.annotated(ctx, mailbox)
	if err != nil {
		return err
	}
	changes, setUse, err := u.takeSpecialUse(a, changes)
	if err != nil {
		return err
	}
	ops := make([]store.DocOp, 0, len(changes))
	type state struct{ private, there bool }
	after := make(map[string]state) // by key: an entry may be named more than once
	for _, c := range changes {
		private := strings.HasPrefix(strings.ToLower(c.Entry), privateRoot+"/")
		if !private && (mailbox == "" || !a.rights.Has(RightWrite)) {
			return ErrNoRight
		}
		if len(c.Value) > MaxMetadata {
			return &imap.Error{
				Type: imap.StatusResponseTypeNo, Code: imap.ResponseCode("METADATA MAXSIZE " + strconv.Itoa(MaxMetadata)),
				Text: "Value too long",
			}
		}
		op := store.DocOp{Table: store.TableMetadata, Key: u.metadataKey(a, c.Entry)}
		if c.Value != nil {
			// One byte before the value, its form, keeps an empty one apart from none.
			op.Value = append([]byte{1}, c.Value...)
		}
		after[op.Key] = state{private, c.Value != nil}
		ops = append(ops, op)
	}
	added := make(map[bool]int)
	for _, e := range after {
		if e.there {
			added[e.private]++
		}
	}
	for private, n := range added {
		if err := u.Store.Docs(ctx, store.TableMetadata, u.prefix(a, private)+"/", "", func(d store.Doc) error {
			if _, changed := after[d.Key]; changed {
				return nil // it is replaced, or removed
			}
			if n++; n > maxEntries {
				return errTooManyEntries
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if len(ops) > 0 {
		if err := u.Store.UpdateDocs(ctx, ops...); err != nil {
			return err
		}
	}
	if setUse != nil {
		return setUse(ctx)
	}
	return nil
}

// dropMetadata forgets the annotations of a mailbox that is gone.
func (u *User) dropMetadata(ctx context.Context, box store.Mailbox) error {
	var ops []store.DocOp
	err := u.Store.Docs(ctx, store.TableMetadata, fmt.Sprintf("m%016x/", uint64(box.ID)), "", func(d store.Doc) error {
		ops = append(ops, store.DocOp{Table: store.TableMetadata, Key: d.Key})
		return nil
	})
	if err != nil || len(ops) == 0 {
		return err
	}
	return u.Store.UpdateDocs(ctx, ops...)
}
