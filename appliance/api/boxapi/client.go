package boxapi

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"pillarbox/appliance/api/wire"
)

// Client calls boxd over its socket.
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

func (c *Client) Settings(ctx context.Context) (*Settings, error) {
	s := new(Settings)
	return s, c.wire.Get(ctx, "/v1/settings", s)
}

func (c *Client) Firewall(ctx context.Context) (*Firewall, error) {
	f := new(Firewall)
	return f, c.wire.Get(ctx, "/v1/firewall", f)
}

func (c *Client) SetSettings(ctx context.Context, in Settings) (*Settings, error) {
	s := new(Settings)
	return s, c.wire.Put(ctx, "/v1/settings", in, s)
}

func (c *Client) Timezones(ctx context.Context) (list []string, err error) {
	err = c.wire.Get(ctx, "/v1/timezones", &list)
	return list, err
}

func (c *Client) PowerOff(ctx context.Context, req StopRequest) error {
	return c.wire.Post(ctx, "/v1/poweroff", req, nil)
}

func (c *Client) Reboot(ctx context.Context, req StopRequest) error {
	return c.wire.Post(ctx, "/v1/reboot", req, nil)
}

func (c *Client) UseDisk(ctx context.Context, r UseDiskRequest) error {
	return c.wire.Post(ctx, "/v1/mail-disk", r, nil)
}

func (c *Client) TryNetwork(ctx context.Context, n Network) error {
	return c.wire.Post(ctx, "/v1/network/try", n, nil)
}

func (c *Client) TestNetwork(ctx context.Context, r TestRequest) (*NetworkTest, error) {
	t := new(NetworkTest)
	return t, c.wire.Post(ctx, "/v1/network/test", r, t)
}

func (c *Client) SupportBundle(ctx context.Context, r SupportRequest, w io.Writer) error {
	body, err := c.wire.Stream(ctx, http.MethodPost, "/v1/support", r)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(w, body); err != nil {
		return fmt.Errorf("support bundle: %w", err)
	}
	return nil
}

func (c *Client) SupportToStick(ctx context.Context, r SupportRequest) (*StickFile, error) {
	f := new(StickFile)
	return f, c.wire.Post(ctx, "/v1/support/stick", r, f)
}

func (c *Client) BackupToStick(ctx context.Context) (*StickFile, error) {
	f := new(StickFile)
	return f, c.wire.Post(ctx, "/v1/stick/backup", nil, f)
}

func (c *Client) StickBackups(ctx context.Context) (list []StickFile, err error) {
	err = c.wire.Get(ctx, "/v1/stick/backups", &list)
	return list, err
}

func (c *Client) CertificateFromStick(ctx context.Context) error {
	return c.wire.Post(ctx, "/v1/stick/certificate", nil, nil)
}

func (c *Client) RestoreFromStick(ctx context.Context, r RestoreRequest) error {
	return c.wire.Post(ctx, "/v1/stick/restore", r, nil)
}

func (c *Client) FactoryReset(ctx context.Context, r ResetRequest) error {
	return c.wire.Post(ctx, "/v1/factory-reset", r, nil)
}

func (c *Client) KeepNetwork(ctx context.Context) error {
	return c.wire.Post(ctx, "/v1/network/keep", nil, nil)
}
