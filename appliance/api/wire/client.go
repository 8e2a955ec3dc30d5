package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// dialTimeout bounds the connection to a local socket, which is there at
	// once or not at all; it only runs out when the server's backlog is full.
	dialTimeout = 5 * time.Second

	// continueTimeout is how long an upload waits for the server to want it. A
	// server that refuses says so at once; one that is busy is waited for.
	continueTimeout = 30 * time.Second

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
			IdleConnTimeout:       idleTimeout,
			ExpectContinueTimeout: continueTimeout,
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
	return readAnswer(body, method, path, out)
}

// Stream sends one request and returns the body of its answer, for answers
// that come bit by bit. Where the server uses Octets, reading it ends with the
// server's error in place of io.EOF. The caller closes it.
func (c *Client) Stream(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	if in == nil {
		return c.send(ctx, method, path, "", nil)
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return c.send(ctx, method, path, "application/json", bytes.NewReader(b))
}

// Upload sends octets as they are read from in, once the server begins to read
// them (see Uploaded), and reads the answer into out, which may be nil.
func (c *Client) Upload(ctx context.Context, path string, in io.Reader, out any) error {
	// The wrapper keeps the transport from closing what is the caller's.
	body, err := c.send(ctx, http.MethodPost, path, octetType, io.MultiReader(in))
	if err != nil {
		return err
	}
	return readAnswer(body, http.MethodPost, path, out)
}

// readAnswer reads body to its end into out, which may be nil, and closes it.
func readAnswer(body io.ReadCloser, method, path string, out any) (err error) {
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

func (c *Client) send(ctx context.Context, method, path, contentType string, body io.Reader) (io.ReadCloser, error) {
	// The host part is never looked up: the transport dials the socket.
	req, err := http.NewRequestWithContext(ctx, method, "http://box"+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if contentType == octetType {
		req.Header.Set("Expect", "100-continue")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, ctx.Err())
		}
		return nil, fmt.Errorf("%w (%w)", Unavailable("no answer from %s", c.socket), cause(err))
	}
	if resp.StatusCode < 400 {
		return trailed{resp.Body, resp}, nil
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

// cause is what lies below the words of HTTP and net, which tell a person
// nothing: where the call went is known.
func cause(err error) error {
	var call *url.Error
	if errors.As(err, &call) {
		err = call.Err
	}
	var dial *net.OpError
	if errors.As(err, &dial) {
		err = dial.Err
	}
	var system *os.SyscallError
	if errors.As(err, &system) {
		err = system.Err
	}
	return err
}

// trailed is a body that ends with the error in the trailer, where there is one.
type trailed struct {
	io.ReadCloser
	resp *http.Response
}

func (t trailed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		var env envelope
		if json.Unmarshal([]byte(t.resp.Trailer.Get(errorTrailer)), &env) == nil && env.Error != nil {
			err = env.Error
		}
	}
	return n, err
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
