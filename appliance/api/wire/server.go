package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	// maxRequest bounds a request's body; the largest honest one is a settings
	// document of a few KiB.
	maxRequest = 1 << 20

	// headerTimeout ends a connection whose request line and header do not
	// arrive. Peers are programs on this machine.
	headerTimeout = 10 * time.Second

	// closeTimeout is how long Serve waits for calls under way when it ends.
	closeTimeout = 3 * time.Second
)

type envelope struct {
	Error *Error `json:"error"`
}

// Handle makes an http.Handler of a function that returns what to answer. A
// nil value without an error is answered with an empty object.
func Handle(fn func(r *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := fn(r)
		if err != nil {
			Reply(w, asError(err).status(), envelope{asError(err)})
			return
		}
		if v == nil {
			v = struct{}{}
		}
		Reply(w, http.StatusOK, v)
	})
}

// Reply writes v as the JSON body of an answer.
func Reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status = http.StatusInternalServerError
		b, _ = json.Marshal(envelope{&Error{Code: CodeInternal, Message: err.Error()}})
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

const (
	// octetType is the content type of streams that are not JSON.
	octetType = "application/octet-stream"
	// errorTrailer names the trailer field with the error that ended a stream.
	errorTrailer = "Pillarbox-Error"
)

// Octets makes an http.Handler of a function that writes its answer as a
// stream of octets. An error before the first of them is answered as Handle
// answers it, a later one in the trailer.
func Octets(fn func(r *http.Request, w io.Writer) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", errorTrailer)
		out := &octets{w: w}
		err := fn(r, out)
		switch {
		case err != nil && !out.begun:
			w.Header().Del("Trailer")
			Reply(w, asError(err).status(), envelope{asError(err)})
		case err != nil:
			b, _ := json.Marshal(envelope{asError(err)}) // strings alone
			w.Header().Set(errorTrailer, string(b))
		}
	})
}

// Uploaded makes an http.Handler of a function that reads octets which a
// client sends by Upload. What it refuses before it has read anything is never
// sent; where it fails later, the rest is read over, since a client that is
// still sending would see a broken connection rather than the error.
func Uploaded(fn func(r *http.Request, in io.Reader) (any, error)) http.Handler {
	return Handle(func(r *http.Request) (any, error) {
		in := &upload{in: r.Body}
		v, err := fn(r, in)
		if err != nil && in.begun {
			_, _ = io.Copy(io.Discard, r.Body) // the error that counts is fn's
		}
		return v, err
	})
}

type upload struct {
	in    io.Reader
	begun bool
}

func (u *upload) Read(p []byte) (int, error) {
	u.begun = true
	return u.in.Read(p)
}

type octets struct {
	w     http.ResponseWriter
	begun bool
}

func (o *octets) Write(p []byte) (int, error) {
	if !o.begun {
		o.w.Header().Set("Content-Type", octetType)
		o.begun = true
	}
	return o.w.Write(p)
}

// Decode reads the request's body, one JSON value with no unknown fields, into
// v. Its errors are Invalid.
func Decode(r *http.Request, v any) error {
	dec := json.NewDecoder(io.LimitReader(r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return Invalid("", "the request is not valid: %v", err)
	}
	if dec.More() {
		return Invalid("", "the request holds more than one value")
	}
	return nil
}

// DecodeOptional is Decode for a body that may be left out; v then stays as it is.
func DecodeOptional(r *http.Request, v any) error {
	if r.ContentLength == 0 {
		return nil
	}
	return Decode(r, v)
}

// Listen makes a unix socket at path with the given mode. What is left there
// of an earlier process is removed: one path belongs to one program.
func Listen(path string, mode fs.FileMode) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// Serve answers calls on l until ctx ends, then waits a short while for those
// under way. It returns nil when ctx ended it.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if srv.Shutdown(closing) != nil {
			srv.Close()
		}
	})
	err := srv.Serve(l)
	if !stop() {
		<-done
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
