package healthapi

import (
	"context"
	"net/url"

	"pillarbox/appliance/api/wire"
)

// Client calls healthd over its socket.
type Client struct{ wire *wire.Client }

var _ Service = (*Client)(nil)

// NewClient returns a client of the socket at path, usually Socket.
func NewClient(path string) *Client { return &Client{wire.NewClient(path)} }

// Close closes the connections that are kept for reuse.
func (c *Client) Close() { c.wire.Close() }

func (c *Client) Status(ctx context.Context) (*Status, error) {
	s := new(Status)
	return s, c.wire.Get(ctx, "/v1/status", s)
}

func (c *Client) History(ctx context.Context, id, span string) (list []Point, err error) {
	err = c.wire.Get(ctx, "/v1/history?"+url.Values{"id": {id}, "span": {span}}.Encode(), &list)
	return list, err
}

func (c *Client) Settings(ctx context.Context) (*Settings, error) {
	s := new(Settings)
	return s, c.wire.Get(ctx, "/v1/settings", s)
}

func (c *Client) SetSettings(ctx context.Context, s Settings) (*Settings, error) {
	kept := new(Settings)
	return kept, c.wire.Put(ctx, "/v1/settings", s, kept)
}

func (c *Client) SetKnown(ctx context.Context, k Known) error {
	return c.wire.Post(ctx, "/v1/known", k, nil)
}

func (c *Client) Test(ctx context.Context) (told []Told, err error) {
	err = c.wire.Post(ctx, "/v1/test", nil, &told)
	return told, err
}
