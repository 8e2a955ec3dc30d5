package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// dialTimeout bounds the connection to a local socket, which is there at
	// once or not at all; it only runs out when the server's backlog is full.
	dialTimeout = 5 * time.Second

	// idleTimeout closes kept connections; a console polls every second or two.
	idleTimeout = 30 * time.Second

	// maxErrorBody bounds how much of a failed answer is read.
	maxErrorBody = 64 << 10
)

// Client calls the API behind one unix socket. Its methods may be called from
// several goroutines. A call waits until ctx ends: give it a deadline.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the socket at path. Nothing is dialled yet.
func NewClient(path string) *Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &Client{
		socket: path,
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", path)
			},
			IdleConnTimeout: idleTimeout,
		}},
	}
}

// Close closes the connections that are kept for reuse.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get fetches path into out, which may be nil.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.Do(ctx, http.MethodGet, path, nil, out)
}

// Post sends in (nil: no body) to path and reads the answer into out, which
// may be nil.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	return c.Do(ctx, http.MethodPost, path, in, out)
}

// Put is Post with the method PUT.
func (c *Client) Put(ctx context.Context, path string, in, out any) error {
	return c.Do(ctx, http.MethodPut, path, in, out)
}

// Do sends one request and reads its answer. It returns an *Error when the
// server answered with one, and an Unavailable *Error when it cannot be
// reached.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	body, err := c.Stream(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, body)
	} else {
		err = json.NewDecoder(body).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("%s %s: read answer: %w", method, path, err)
	}
	return nil
}

// Stream sends one request and returns the body of its answer, for answers
// that come bit by bit. The caller closes it.
func (c *Client) Stream(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	// The host part is never looked up: the transport dials the socket.
	req, err := http.NewRequestWithContext(ctx, method, "http://box"+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, ctx.Err())
		}
		return nil, fmt.Errorf("%w (%v)", Unavailable("no answer from %s", c.socket), err)
	}
	if resp.StatusCode < 400 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

func readError(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return fmt.Errorf("%s: read answer: %w", resp.Status, err)
	}
	var env envelope
	if json.Unmarshal(text, &env) == nil && env.Error != nil {
		return env.Error
	}
	return &Error{Code: CodeInternal, Message: resp.Status + " " + strings.TrimSpace(string(text))}
}
