// Package transferapi is the API of maild for one person's mail as a whole:
// bringing it in, taking it out, bringing back what was expunged. It is served
// beside mailapi on the same socket.
//
//	POST /v1/users/{address}/import?into=NAME&ignore_quota=1  a stream of mail, as octets; Report out
//	GET  /v1/users/{address}/export?mailbox=NAME              a stream of mail, as octets
//	GET  /v1/users/{address}/expunged?since=TIME              []Expunged, oldest first
//	POST /v1/users/{address}/undelete                         Undelete in, Restored out
//	POST /v1/users/{address}/reindex                          the search index is made anew, in the background
//
// The streams are those of package transfer.
package transferapi

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"pillarbox/appliance/api/wire"
)

// Service is what maild offers; Client is the same over the socket.
type Service interface {
	Import(ctx context.Context, address string, o ImportOptions, in io.Reader) (*Report, error)
	Export(ctx context.Context, address, mailbox string, w io.Writer) error
	Expunged(ctx context.Context, address string, since time.Time) ([]Expunged, error)
	Undelete(ctx context.Context, address string, u Undelete) (*Restored, error)
	Reindex(ctx context.Context, address string) error
}

// ImportOptions say where imported mail goes.
type ImportOptions struct {
	Into        string // a mailbox below which all folders go; "": in their places
	IgnoreQuota bool
}

// Report is what an import did, in messages.
type Report struct {
	Imported int64    `json:"imported"`
	Skipped  int64    `json:"skipped"` // were there already, or empty
	Failed   int64    `json:"failed"`
	Unmarked int64    `json:"unmarked,omitempty"` // of those imported: without their keywords, which the mailbox could not take
	Broken   []Broken `json:"broken,omitempty"`   // the first of those that failed
	// Stopped says why the import ended early; empty: it did not.
	Stopped string `json:"stopped,omitempty"`
}

// Broken is a message that could not be imported.
type Broken struct {
	Where string `json:"where"`
	Error string `json:"error"`
}

// Expunged is a message that can be brought back.
type Expunged struct {
	ID       string    `json:"id"`
	Mailbox  string    `json:"mailbox"`
	Expunged time.Time `json:"expunged"`
	Date     time.Time `json:"date"` // it had in the mailbox
	Size     int64     `json:"size"`
	From     string    `json:"from"`
	Subject  string    `json:"subject"`
}

// Undelete says what to bring back: the messages with these IDs, or all
// expunged since a time.
type Undelete struct {
	IDs   []string  `json:"ids,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Into is a mailbox for all of them; "": where they were.
	Into        string `json:"into,omitempty"`
	IgnoreQuota bool   `json:"ignore_quota,omitempty"`
}

// Restored is how many came back.
type Restored struct {
	Messages int `json:"messages"`
	// Stopped is why not all of them were, "" where they were: those counted are back.
	Stopped string `json:"stopped,omitempty"`
}

// Handler serves s.
func Handler(s Service) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/users/{address}/import", wire.Uploaded(func(r *http.Request, in io.Reader) (any, error) {
		q := r.URL.Query()
		return s.Import(r.Context(), r.PathValue("address"), ImportOptions{Into: q.Get("into"), IgnoreQuota: q.Get("ignore_quota") == "1"}, in)
	}))
	mux.Handle("GET /v1/users/{address}/export", wire.Octets(func(r *http.Request, w io.Writer) error {
		return s.Export(r.Context(), r.PathValue("address"), r.URL.Query().Get("mailbox"), w)
	}))
	mux.Handle("GET /v1/users/{address}/expunged", wire.Handle(func(r *http.Request) (any, error) {
		var since time.Time
		if v := r.URL.Query().Get("since"); v != "" {
			var err error
			if since, err = time.Parse(time.RFC3339, v); err != nil {
				return nil, wire.Invalid("since", "must be a time such as 2026-03-01T12:00:00Z")
			}
		}
		return s.Expunged(r.Context(), r.PathValue("address"), since)
	}))
	mux.Handle("POST /v1/users/{address}/undelete", wire.Handle(func(r *http.Request) (any, error) {
		var u Undelete
		if err := wire.Decode(r, &u); err != nil {
			return nil, err
		}
		return s.Undelete(r.Context(), r.PathValue("address"), u)
	}))
	mux.Handle("POST /v1/users/{address}/reindex", wire.Handle(func(r *http.Request) (any, error) {
		return nil, s.Reindex(r.Context(), r.PathValue("address"))
	}))
	return mux
}

// Client calls maild over its socket.
type Client struct{ wire *wire.Client }

var _ Service = (*Client)(nil)

// NewClient returns a client of the socket at path.
func NewClient(path string) *Client { return &Client{wire.NewClient(path)} }

// Close closes the connections that are kept for reuse.
func (c *Client) Close() { c.wire.Close() }

func path(address, what string, q url.Values) string {
	p := "/v1/users/" + url.PathEscape(address) + "/" + what
	if len(q) > 0 {
		p += "?" + q.Encode()
	}
	return p
}

func (c *Client) Import(ctx context.Context, address string, o ImportOptions, in io.Reader) (*Report, error) {
	q := url.Values{}
	if o.Into != "" {
		q.Set("into", o.Into)
	}
	if o.IgnoreQuota {
		q.Set("ignore_quota", "1")
	}
	out := new(Report)
	return out, c.wire.Upload(ctx, path(address, "import", q), in, out)
}

func (c *Client) Export(ctx context.Context, address, mailbox string, w io.Writer) error {
	q := url.Values{}
	if mailbox != "" {
		q.Set("mailbox", mailbox)
	}
	body, err := c.wire.Stream(ctx, http.MethodGet, path(address, "export", q), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return err
}

func (c *Client) Expunged(ctx context.Context, address string, since time.Time) (list []Expunged, err error) {
	q := url.Values{}
	if !since.IsZero() {
		q.Set("since", since.Format(time.RFC3339))
	}
	err = c.wire.Get(ctx, path(address, "expunged", q), &list)
	return list, err
}

func (c *Client) Undelete(ctx context.Context, address string, u Undelete) (*Restored, error) {
	out := new(Restored)
	return out, c.wire.Post(ctx, path(address, "undelete", nil), u, out)
}

func (c *Client) Reindex(ctx context.Context, address string) error {
	return c.wire.Post(ctx, path(address, "reindex", nil), nil, nil)
}
