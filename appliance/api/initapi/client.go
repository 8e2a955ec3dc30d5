package initapi

import (
	"context"
	"net/url"
	"strconv"

	"pillarbox/appliance/api/wire"
)

// Client calls init over its socket.
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

func (c *Client) Services(ctx context.Context) (list []ServiceStatus, err error) {
	err = c.wire.Get(ctx, "/v1/services", &list)
	return list, err
}

func (c *Client) Log(ctx context.Context, service string, lines int) (list []LogLine, err error) {
	q := url.Values{}
	if service != "" {
		q.Set("service", service)
	}
	if lines > 0 {
		q.Set("lines", strconv.Itoa(lines))
	}
	err = c.wire.Get(ctx, "/v1/log?"+q.Encode(), &list)
	return list, err
}

func (c *Client) Events(ctx context.Context) (list []Event, err error) {
	err = c.wire.Get(ctx, "/v1/events", &list)
	return list, err
}

func (c *Client) Restart(ctx context.Context, service string) error {
	return c.wire.Post(ctx, "/v1/services/"+url.PathEscape(service)+"/restart", nil, nil)
}

func (c *Client) UseDisk(ctx context.Context, req UseDiskRequest) error {
	return c.wire.Post(ctx, "/v1/mail-disk", req, nil)
}

func (c *Client) PowerOff(ctx context.Context, req StopRequest) error {
	return c.wire.Post(ctx, "/v1/poweroff", req, nil)
}

func (c *Client) Reboot(ctx context.Context, req StopRequest) error {
	return c.wire.Post(ctx, "/v1/reboot", req, nil)
}
