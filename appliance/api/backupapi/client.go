package backupapi

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"pillarbox/appliance/api/wire"
)

// Client calls maild over its socket.
type Client struct{ wire *wire.Client }

var _ Service = (*Client)(nil)

// NewClient returns a client of the socket at path, usually mailapi.Socket.
func NewClient(path string) *Client { return &Client{wire.NewClient(path)} }

// Close closes the connections that are kept for reuse.
func (c *Client) Close() { c.wire.Close() }

func (c *Client) Backups(ctx context.Context) ([]Made, error) {
	var out []Made
	err := c.wire.Get(ctx, "/v1/backups", &out)
	return out, err
}

// Open asks for a backup and gives it to be read; its end is an error where it
// was not completed. The caller closes it.
func (c *Client) Open(ctx context.Context, r Request) (io.ReadCloser, error) {
	return c.wire.Stream(ctx, http.MethodPost, "/v1/backups", r)
}

func (c *Client) Backup(ctx context.Context, r Request, w io.Writer) error {
	in, err := c.Open(ctx, r)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(w, in)
	return err
}

func (c *Client) Safe(ctx context.Context, m Made) error {
	return c.wire.Post(ctx, "/v1/backups/"+url.PathEscape(m.ID)+"/safe", m, nil)
}

func (c *Client) Restore(ctx context.Context, in io.Reader, replace bool) error {
	path := "/v1/restore"
	if replace {
		path += "?replace=1"
	}
	return c.wire.Upload(ctx, path, in, nil)
}

func (c *Client) RestorePart(ctx context.Context, p Part, in io.Reader) (*PartReport, error) {
	var out PartReport
	if err := c.wire.Upload(ctx, "/v1/restore/part?"+p.query(), in, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
