package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type greeting struct {
	Name string `json:"name"`
}

// start serves h on a socket and returns a client of it.
func start(t *testing.T, h http.Handler) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, h, slog.New(slog.DiscardHandler)) }()
	c := NewClient(path)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return c
}

func TestCallAndErrors(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("POST /greet", Handle(func(r *http.Request) (any, error) {
		var g greeting
		if err := Decode(r, &g); err != nil {
			return nil, err
		}
		switch g.Name {
		case "":
			return nil, fmt.Errorf("greet: %w", Invalid("name", "must not be empty"))
		case "ghost":
			return nil, NotFound("nobody of that name")
		case "twin":
			return nil, Conflict("greeted already")
		case "bug":
			return nil, errors.New("out of luck")
		}
		return greeting{Name: "hello " + g.Name}, nil
	}))
	mux.Handle("GET /nothing", Handle(func(*http.Request) (any, error) { return nil, nil }))
	c := start(t, mux)

	var out greeting
	if err := c.Post(t.Context(), "/greet", greeting{"ann"}, &out); err != nil || out.Name != "hello ann" {
		t.Fatalf("got %+v, %v", out, err)
	}
	if err := c.Get(t.Context(), "/nothing", nil); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		in          any
		code, field string
	}{
		{greeting{""}, CodeInvalid, "name"},
		{greeting{"ghost"}, CodeNotFound, ""},
		{greeting{"twin"}, CodeConflict, ""},
		{greeting{"bug"}, CodeInternal, ""},
		{map[string]string{"nmae": "x"}, CodeInvalid, ""},
		{greeting{strings.Repeat("x", maxRequest)}, CodeInvalid, ""},
	} {
		err := c.Post(t.Context(), "/greet", tt.in, &out)
		var e *Error
		if !errors.As(err, &e) || e.Code != tt.code || e.Field != tt.field || e.Message == "" {
			t.Errorf("%.40v: got %v, want code %s field %q", tt.in, err, tt.code, tt.field)
		}
	}
	var e *Error
	if err := c.Get(t.Context(), "/nowhere", nil); !errors.As(err, &e) || e.Code != CodeInternal {
		t.Errorf("unknown path: %v", err)
	}
}

func TestStreamComesBitByBit(t *testing.T) {
	more := make(chan struct{})
	c := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "one")
		w.(http.Flusher).Flush()
		<-more
		fmt.Fprintln(w, "two")
	}))
	body, err := c.Stream(t.Context(), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	first := make([]byte, 4)
	if _, err := io.ReadFull(body, first); err != nil || string(first) != "one\n" {
		t.Fatalf("got %q, %v", first, err)
	}
	close(more)
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "two\n" {
		t.Fatalf("got %q, %v", rest, err)
	}
}

func TestNoServer(t *testing.T) {
	var e *Error
	err := NewClient(filepath.Join(t.TempDir(), "none")).Get(t.Context(), "/", nil)
	if !errors.As(err, &e) || e.Code != CodeUnavailable {
		t.Fatalf("got %v", err)
	}
}

func TestListenReplacesWhatWasLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o660 {
		t.Fatalf("got %v, %v", fi.Mode(), err)
	}
}
