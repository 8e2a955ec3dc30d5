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
