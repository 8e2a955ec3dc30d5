package wire

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// serve serves h on a socket until the test ends and gives a client.
func serve(t *testing.T, h http.Handler) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = Serve(t.Context(), l, h, slog.New(slog.DiscardHandler)) }()
	c := NewClient(path)
	t.Cleanup(c.Close)
	return c
}

func TestOctets(t *testing.T) {
	mux := http.NewServeMux()
	handle := func(path string, n int, err error) {
		mux.Handle(path, Octets(func(_ *http.Request, w io.Writer) error {
			for range n {
				if _, err := w.Write(make([]byte, 10_000)); err != nil {
					return err
				}
			}
			return err
		}))
	}
	handle("/whole", 20, nil)
	handle("/refused", 0, NotFound("no such thing"))
	handle("/cut", 20, Unavailable("the disk\nis gone"))
	c := serve(t, mux)
	read := func(path string) (int, error) {
		body, err := c.Stream(t.Context(), http.MethodPost, path, nil)
		if err != nil {
			return 0, err
		}
		defer body.Close()
		b, err := io.ReadAll(body)
		return len(b), err
	}
	if n, err := read("/whole"); n != 200_000 || err != nil {
		t.Errorf("whole: %d, %v", n, err)
	}
	var e *Error
	if n, err := read("/refused"); n != 0 || !errors.As(err, &e) || e.Code != CodeNotFound {
		t.Errorf("refused: %d, %v", n, err)
	}
	if n, err := read("/cut"); n != 200_000 || !errors.As(err, &e) || e.Code != CodeUnavailable || e.Message != "the disk\nis gone" {
		t.Errorf("cut: %d, %v", n, err)
	}
}

func TestUpload(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/count", Uploaded(func(_ *http.Request, in io.Reader) (any, error) {
		n, err := io.Copy(io.Discard, in)
		return n, err
	}))
	mux.Handle("/refuse", Uploaded(func(*http.Request, io.Reader) (any, error) { return nil, Conflict("not now") }))
	mux.Handle("/fail", Uploaded(func(_ *http.Request, in io.Reader) (any, error) {
		_, err := io.CopyN(io.Discard, in, 100_000)
		return nil, errors.Join(err, Invalid("", "damaged"))
	}))
	c := serve(t, mux)
	text := strings.Repeat("x", 5_000_000)
	var n int64
	if err := c.Upload(t.Context(), "/count", strings.NewReader(text), &n); err != nil || n != int64(len(text)) {
		t.Errorf("count: %d, %v", n, err)
	}
	var e *Error
	in := bytes.NewReader([]byte(text))
	if err := c.Upload(t.Context(), "/refuse", in, nil); !errors.As(err, &e) || e.Code != CodeConflict || in.Len() != len(text) {
		t.Errorf("refuse: %v, %d not sent", err, in.Len())
	}
	if err := c.Upload(t.Context(), "/fail", strings.NewReader(text), nil); !errors.As(err, &e) || e.Code != CodeInvalid {
		t.Errorf("fail: %v", err)
	}
}
