package clienttest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/mail/maild"
)

const (
	ann, annPassword = "ann@example.org", "ann has a password"
	bob, bobPassword = "bob@example.org", "bob has another"

	// startLimit is for maild to serve, on a machine with other things to do.
	startLimit = 5 * time.Minute
)

// provision makes maild that of example.org with ann and bob.
const provision = `
[box]
hostname = "mail.example.org"
admin_password = "several words are good"
[[domain]]
name = "example.org"
[[user]]
address = "` + ann + `"
password = "` + annPassword + `"
quota = "1GiB"
[[user]]
address = "` + bob + `"
password = "` + bobPassword + `"
`

// box is a running maild, with a home directory for a client.
type box struct {
	t    *testing.T
	Home string
	CA   string            // file with the certificate of the box's authority
	Port map[string]string // by the names of the services: imap, imaps, pop3, …
}

// newBox starts maild on an empty store; it ends with the test.
func newBox(t *testing.T) *box {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	home := newHome(t)
	b := &box{t: t, Home: home, CA: filepath.Join(home, "ca.pem"), Port: map[string]string{}}
	b.write(filepath.Join(dir, "provision.toml"), []byte(provision))
	var log syncBuffer
	d, err := maild.Open(t.Context(), maild.Config{
		Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Provision: filepath.Join(dir, "provision.toml"),
		Socket: filepath.Join(dir, "sock"), Listen: "127.0.0.1", AnyPort: true, AllowLoopback: true, Small: true, Version: "test",
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("maild: %v", err)
		}
		if t.Failed() {
			t.Logf("maild's log:\n%s", log.String())
		}
	})
	b.reach(filepath.Join(dir, "sock"))
	return b
}

// reach waits until maild serves, and learns how to get at it.
func (b *box) reach(socket string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), startLimit)
	defer cancel()
	c := mailapi.NewClient(socket)
	defer c.Close()
	s, err := c.Status(ctx)
	for err != nil || !s.Serving {
		select {
		case <-ctx.Done():
			b.t.Fatalf("maild does not serve: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		s, err = c.Status(ctx)
	}
	for _, l := range s.Listeners {
		_, port, err := net.SplitHostPort(l.Addr)
		if err != nil {
			b.t.Fatal(err)
		}
		b.Port[l.Name] = port
	}
	cert, err := c.Certificate(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(b.CA, []byte(cert.AuthorityPEM))
}

func (b *box) write(path string, data []byte) {
	b.t.Helper()
	// getmail and fetchmail refuse files that others can read.
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) read(path string) []byte {
	b.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

func (b *box) mkdir(path string) {
	b.t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		b.t.Fatal(err)
	}
}

// syncBuffer is a buffer that several goroutines write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*syncBuffer)(nil)

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
