// Package backupapi is the API of maild for backups. It is served beside
// mailapi on the same socket.
//
//	GET  /v1/backups               []Made, newest first: what an increment can be made to
//	POST /v1/backups               Request in, a backup out, as octets
//	POST /v1/backups/{id}/safe     Made; the backup is where it is to be kept
//	POST /v1/restore?replace=1     backups one after the other, as octets; maild starts anew on them
//	POST /v1/restore/part?...      an extract, as octets, with the fields of Part in the query; PartReport
//
// The octets are those of package backup, never encrypted: that is done where
// the keys are, by the caller. A backup that cannot be completed ends with an
// error (wire.Octets) and without its trailer.
package backupapi

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"pillarbox/appliance/api/wire"
)

// Made is a backup that was made.
type Made struct {
	ID      string    `json:"id"`
	Version uint64    `json:"version"` // of the store, from the backup's header
	Created time.Time `json:"created"`
}

// Request asks for a backup.
type Request struct {
	Base string `json:"base,omitempty"` // ID of the backup to make an increment to; full without
}

// Part says what of an extract to restore, and where to.
type Part struct {
	Address   string // whose mail, as the backup names it
	Mailbox   string // with those below it; all where empty
	UID       uint32 // one message of Mailbox; all where 0
	MessageID string // only messages with it, where set
	To        string // address of the person who gets it; Address where empty
	Under     string // mailbox to restore below; empty puts mail where it was
}

// PartReport tells what a restore of a part did.
type PartReport struct {
	Restored int       `json:"restored"`
	There    int       `json:"there"` // in their mailbox already
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is one thing that could not be restored.
type Problem struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// Service is what maild offers; Client is the same over the socket.
type Service interface {
	// Backups lists the backups that increments can be made to, newest first.
	Backups(ctx context.Context) ([]Made, error)
	// Backup writes a backup to w.
	Backup(ctx context.Context, r Request, w io.Writer) error
	// Safe says that a backup is where it is to be kept.
	Safe(ctx context.Context, m Made) error
	// Restore replaces the store by what backups hold. Conflict where there
	// are people with mailboxes, unless replace is set: their mail is lost.
	Restore(ctx context.Context, in io.Reader, replace bool) error
	// RestorePart brings mail of an extract back into the store.
	RestorePart(ctx context.Context, p Part, in io.Reader) (*PartReport, error)
}

// Handler serves s.
func Handler(s Service) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/backups", wire.Handle(func(r *http.Request) (any, error) { return s.Backups(r.Context()) }))
	mux.Handle("POST /v1/backups", wire.Octets(func(r *http.Request, w io.Writer) error {
		var in Request
		if err := wire.DecodeOptional(r, &in); err != nil {
			return err
		}
		return s.Backup(r.Context(), in, w)
	}))
	mux.Handle("POST /v1/backups/{id}/safe", wire.Handle(func(r *http.Request) (any, error) {
		var in Made
		if err := wire.Decode(r, &in); err != nil {
			return nil, err
		}
		if in.ID != r.PathValue("id") {
			return nil, wire.Invalid("id", "must be the one in the path")
		}
		return nil, s.Safe(r.Context(), in)
	}))
	mux.Handle("POST /v1/restore", wire.Uploaded(func(r *http.Request, in io.Reader) (any, error) {
		return nil, s.Restore(r.Context(), in, r.URL.Query().Get("replace") == "1")
	}))
	mux.Handle("POST /v1/restore/part", wire.Uploaded(func(r *http.Request, in io.Reader) (any, error) {
		p, err := parsePart(r.URL.Query())
		if err != nil {
			return nil, err
		}
		return s.RestorePart(r.Context(), p, in)
	}))
	return mux
}

func (p *Part) query() string {
	v := url.Values{}
	for name, value := range map[string]string{"address": p.Address, "mailbox": p.Mailbox, "message_id": p.MessageID, "to": p.To, "under": p.Under} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if p.UID != 0 {
		v.Set("uid", strconv.FormatUint(uint64(p.UID), 10))
	}
	return v.Encode()
}

func parsePart(v url.Values) (Part, error) {
	p := Part{Address: v.Get("address"), Mailbox: v.Get("mailbox"), MessageID: v.Get("message_id"), To: v.Get("to"), Under: v.Get("under")}
	if uid := v.Get("uid"); uid != "" {
		n, err := strconv.ParseUint(uid, 10, 32)
		if err != nil {
			return p, wire.Invalid("uid", "must be a UID")
		}
		p.UID = uint32(n)
	}
	if p.Address == "" {
		return p, wire.Invalid("address", "is missing")
	}
	return p, nil
}
