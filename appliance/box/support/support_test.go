package support

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
)

var now = time.Date(2026, 3, 4, 10, 20, 30, 0, time.UTC)

type fakeInit struct{ initapi.Service }

func (fakeInit) Status(context.Context) (*initapi.Status, error) { return nil, errors.New("silent") }
func (fakeInit) Services(context.Context) ([]initapi.ServiceStatus, error) {
	return []initapi.ServiceStatus{{Name: "maild"}}, nil
}
func (fakeInit) Events(context.Context) ([]initapi.Event, error) { return nil, nil }

type fakeBox struct{ boxapi.Service }

func (fakeBox) Status(context.Context) (*boxapi.Status, error) { return &boxapi.Status{}, nil }
func (fakeBox) Settings(context.Context) (*boxapi.Settings, error) {
	return &boxapi.Settings{Hostname: "mail.example.org"}, nil
}

type fakeMail struct{ mailapi.Service }

func (fakeMail) Status(context.Context) (*mailapi.Status, error) { return &mailapi.Status{}, nil }
func (fakeMail) Settings(context.Context) (*mailapi.Settings, error) {
	return &mailapi.Settings{SmartHost: "smtp.example.net:587"}, nil
}
func (fakeMail) Queue(context.Context) ([]mailapi.QueueEntry, error)       { return nil, nil }
func (fakeMail) Events(context.Context, int) ([]mailapi.Event, error)      { return nil, nil }
func (fakeMail) Certificate(context.Context) (*mailapi.Certificate, error) { return nil, nil }
func (fakeMail) Trace(_ context.Context, about string) ([]mailapi.TracedMessage, error) {
	return []mailapi.TracedMessage{{ID: about}}, nil
}

type fakeHealth struct{ healthapi.Service }

func (fakeHealth) Status(context.Context) (*healthapi.Status, error) { return &healthapi.Status{}, nil }
func (fakeHealth) Settings(context.Context) (*healthapi.Settings, error) {
	return &healthapi.Settings{Webhook: "https://chat.example.org/hook/s3cret?token=s3cret"}, nil
}

func unpack(t *testing.T, bundle io.Reader) map[string]string {
	t.Helper()
	z, err := zstd.NewReader(bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
	}
}

func TestBundle(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"state/log/maild.log": "a line\n", "state/log/maild.log.1": "an older line\n", "proc/meminfo": "MemTotal: 1\n", "sys/fs/pstore/dmesg-efi-2": "Oops\n",
		"state/health/crash/dmesg-efi-1": "an older Oops\n",
	} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	b := Bundle{Root: root, Logs: filepath.Join(root, "state/log"), Crash: filepath.Join(root, "state/health/crash"), Now: now, Message: "0123456789abcdef",
		Init: fakeInit{}, Box: fakeBox{}, Mail: fakeMail{}, Health: fakeHealth{}}
	if err := b.Write(t.Context(), "mail.example.org", &out); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, &out)
	const top = "pillarbox-support-mail-20260304-102030/"
	for name, want := range map[string]string{
		"README.txt": "no password", "errors.txt": "init/status: silent\n", "init/services.json": `"maild"`, "box/settings.json": "mail.example.org",
		"mail/settings.json": "smtp.example.net", "mail/trace.json": "0123456789abcdef", "health/settings.json": "https://chat.example.org/(left out)",
		"log/maild.log": "a line", "log/maild.log.1": "an older line", "kernel/meminfo": "MemTotal", "kernel/crash/dmesg-efi-2": "Oops", "kernel/crash/dmesg-efi-1": "an older Oops",
	} {
		if got := files[top+name]; !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", name, got, want)
		}
	}
	for name, content := range files {
		if strings.Contains(content, "s3cret") {
			t.Errorf("%s holds a secret", name)
		}
	}
}

// A box on which nothing works gives a bundle that says so.
func TestBundleOfNothing(t *testing.T) {
	var out bytes.Buffer
	gone := filepath.Join(t.TempDir(), "gone")
	if err := (Bundle{Root: gone, Logs: gone, Now: now}).Write(t.Context(), "box", &out); err != nil {
		t.Fatal(err)
	}
	if got := unpack(t, &out)["pillarbox-support-box-20260304-102030/errors.txt"]; !strings.Contains(got, "log: ") {
		t.Errorf("errors: %q", got)
	}
}

func TestBundleThatFindsNoRoom(t *testing.T) {
	full := errors.New("full")
	err := Bundle{Root: t.TempDir(), Logs: t.TempDir(), Now: now}.Write(t.Context(), "box", failing{full})
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
