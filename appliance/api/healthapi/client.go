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
