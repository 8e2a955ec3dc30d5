package mailapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"pillarbox/appliance/api/wire"
)

// Client calls maild over its socket.
type Client struct{ wire *wire.Client }

var _ Service = (*Client)(nil)

// NewClient returns a client of the socket at path, usually Socket.
func NewClient(path string) *Client { return &Client{wire.NewClient(path)} }

// Close closes the connections that are kept for reuse.
func (c *Client) Close() { c.wire.Close() }

// call sends one request and reads an answer of type T.
func call[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var out T
	err := c.wire.Do(ctx, method, path, in, &out)
	return out, err
}

func (c *Client) do(ctx context.Context, method, path string, in any) error {
	return c.wire.Do(ctx, method, path, in, nil)
}

func under(collection, key string) string { return "/v1/" + collection + "/" + url.PathEscape(key) }

func (c *Client) Status(ctx context.Context) (*Status, error) {
	return call[*Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

func (c *Client) Setup(ctx context.Context, s Setup) error {
	return c.do(ctx, http.MethodPost, "/v1/setup", s)
}

func (c *Client) Domains(ctx context.Context) ([]Domain, error) {
	return call[[]Domain](ctx, c, http.MethodGet, "/v1/domains", nil)
}

func (c *Client) AddDomain(ctx context.Context, d Domain) (*Domain, error) {
	return call[*Domain](ctx, c, http.MethodPost, "/v1/domains", d)
}

func (c *Client) ChangeDomain(ctx context.Context, name string, ch DomainChange) (*Domain, error) {
	return call[*Domain](ctx, c, http.MethodPatch, under("domains", name), ch)
}

func (c *Client) RemoveDomain(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, under("domains", name), nil)
}

func (c *Client) Users(ctx context.Context) ([]User, error) {
	return call[[]User](ctx, c, http.MethodGet, "/v1/users", nil)
}

func (c *Client) User(ctx context.Context, address string) (*User, error) {
	return call[*User](ctx, c, http.MethodGet, under("users", address), nil)
}

func (c *Client) AddUser(ctx context.Context, u NewUser) (*User, error) {
	return call[*User](ctx, c, http.MethodPost, "/v1/users", u)
}

func (c *Client) ChangeUser(ctx context.Context, address string, ch UserChange) (*User, error) {
	return call[*User](ctx, c, http.MethodPatch, under("users", address), ch)
}

func (c *Client) RemoveUser(ctx context.Context, address string) error {
	return c.do(ctx, http.MethodDelete, under("users", address), nil)
}

func (c *Client) SetPassword(ctx context.Context, address string, p Password) error {
	return c.do(ctx, http.MethodPost, under("users", address)+"/password", p)
}

func (c *Client) AppPasswords(ctx context.Context, address string) ([]AppPassword, error) {
	return call[[]AppPassword](ctx, c, http.MethodGet, under("users", address)+"/app-passwords", nil)
}

func (c *Client) AddAppPassword(ctx context.Context, address string, a NewAppPassword) (*AppPassword, error) {
	return call[*AppPassword](ctx, c, http.MethodPost, under("users", address)+"/app-passwords", a)
}

func (c *Client) RemoveAppPassword(ctx context.Context, address, name string) error {
	return c.do(ctx, http.MethodDelete, under("users", address)+"/app-passwords/"+url.PathEscape(name), nil)
}

func (c *Client) Aliases(ctx context.Context) ([]Alias, error) {
	return call[[]Alias](ctx, c, http.MethodGet, "/v1/aliases", nil)
}

func (c *Client) AddAlias(ctx context.Context, a Alias) (*Alias, error) {
	return call[*Alias](ctx, c, http.MethodPost, "/v1/aliases", a)
}

func (c *Client) ChangeAlias(ctx context.Context, address string, ch AliasChange) (*Alias, error) {
	return call[*Alias](ctx, c, http.MethodPatch, under("aliases", address), ch)
}

func (c *Client) RemoveAlias(ctx context.Context, address string) error {
	return c.do(ctx, http.MethodDelete, under("aliases", address), nil)
}

func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	return call[[]Group](ctx, c, http.MethodGet, "/v1/groups", nil)
}

func (c *Client) AddGroup(ctx context.Context, g Group) (*Group, error) {
	return call[*Group](ctx, c, http.MethodPost, "/v1/groups", g)
}

func (c *Client) ChangeGroup(ctx context.Context, address string, ch GroupChange) (*Group, error) {
	return call[*Group](ctx, c, http.MethodPatch, under("groups", address), ch)
}

func (c *Client) RemoveGroup(ctx context.Context, address string) error {
	return c.do(ctx, http.MethodDelete, under("groups", address), nil)
}

func (c *Client) Queue(ctx context.Context) ([]QueueEntry, error) {
	return call[[]QueueEntry](ctx, c, http.MethodGet, "/v1/queue", nil)
}

func (c *Client) RetryQueued(ctx context.Context, id uint64) error {
	return c.do(ctx, http.MethodPost, under("queue", strconv.FormatUint(id, 10))+"/retry", nil)
}

func (c *Client) DeleteQueued(ctx context.Context, id uint64) error {
	return c.do(ctx, http.MethodDelete, under("queue", strconv.FormatUint(id, 10)), nil)
}

func (c *Client) Settings(ctx context.Context) (*Settings, error) {
	return call[*Settings](ctx, c, http.MethodGet, "/v1/settings", nil)
}

func (c *Client) ChangeSettings(ctx context.Context, ch SettingsChange) (*Settings, error) {
	return call[*Settings](ctx, c, http.MethodPatch, "/v1/settings", ch)
}

func (c *Client) VerifyAdmin(ctx context.Context, l AdminLogin) error {
	return c.do(ctx, http.MethodPost, "/v1/admin/verify", l)
}

func (c *Client) SetAdminPassword(ctx context.Context, p AdminPassword) error {
	return c.do(ctx, http.MethodPost, "/v1/admin/password", p)
}

func (c *Client) Certificate(ctx context.Context) (*Certificate, error) {
	return call[*Certificate](ctx, c, http.MethodGet, "/v1/certificate", nil)
}

func (c *Client) SetCertificate(ctx context.Context, choice CertificateChoice) (*Certificate, error) {
	return call[*Certificate](ctx, c, http.MethodPost, "/v1/certificate", choice)
}

func (c *Client) Events(ctx context.Context, limit int) ([]Event, error) {
	return call[[]Event](ctx, c, http.MethodGet, "/v1/events?limit="+strconv.Itoa(limit), nil)
}

func (c *Client) Trace(ctx context.Context, about string) ([]TracedMessage, error) {
	return call[[]TracedMessage](ctx, c, http.MethodGet, "/v1/trace?about="+url.QueryEscape(about), nil)
}

func (c *Client) Probe(ctx context.Context) (*ProbeResult, error) {
	return call[*ProbeResult](ctx, c, http.MethodPost, "/v1/probe", nil)
}

func (c *Client) Check(ctx context.Context, r CheckRequest, progress func(Progress)) (*CheckReport, error) {
	body, err := c.wire.Stream(ctx, http.MethodPost, "/v1/check", r)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	dec := json.NewDecoder(body)
	for {
		var l CheckLine
		err := dec.Decode(&l)
		var broken *net.OpError
		switch {
		case errors.Is(err, io.EOF):
			return nil, wire.Unavailable("maild ended before the check did")
		case errors.As(err, &broken) && ctx.Err() == nil:
			return nil, fmt.Errorf("%w (%v)", wire.Unavailable("maild ended before the check did"), err)
		case err != nil:
			return nil, fmt.Errorf("check: read answer: %w", err)
		case l.Error != nil:
			return nil, l.Error
		case l.Report != nil:
			return l.Report, nil
		case l.Progress != nil && progress != nil:
			progress(*l.Progress)
		}
	}
}
