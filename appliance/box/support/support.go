// Package support makes the support bundle: one file for whoever is asked to
// find out what is wrong with a box that stands elsewhere.
//
// It is a tar archive compressed by zstd, one folder named after the box and the
// time, with
//
//	README.txt      what this is and what it holds
//	errors.txt      what could not be had; a silent daemon is a finding, not a failure
//	init/           status, services, events
//	box/            status and settings of the machine, network and disks
//	mail/           status, settings, events and queue; trace.json of a chosen message
//	health/         status, readings and settings
//	log/            the logs on the state volume, those of earlier starts included
//	kernel/         what /proc says, and what a kernel that died left behind
//
// No message, no password and no key is in it. Addresses of people are, in the
// queue and the logs.
package support

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
)

const (
	// patience bounds one question to a daemon, which may be what is wrong.
	patience = 5 * time.Second

	// maxFile bounds one file taken in: logs are rotated far below it.
	maxFile = 64 << 20
)

// Bundle is what a bundle is made from. A nil service is one that is not there.
type Bundle struct {
	Root   string // "/" but for tests
	Logs   string // folder of the log files
	Crash  string // folder of what kernels that died left behind
	Init   initapi.Service
	Box    boxapi.Service
	Mail   mailapi.Service
	Health healthapi.Service
	Now    time.Time
	// Message is the ID or Message-ID of a message, or an address, whose trace
	// goes in; empty: none.
	Message string
}

// Name is the name for the file of a bundle of host made at t.
func Name(host string, t time.Time) string {
	return folder(host, t) + ".tar.zst"
}

func folder(host string, t time.Time) string {
	short, _, _ := strings.Cut(host, ".")
	return "pillarbox-support-" + short + "-" + t.UTC().Format("20060102-150405")
}

// Write writes the bundle. Its error is of w, or ctx's; what cannot be read
// stands in the bundle.
func (b Bundle) Write(ctx context.Context, host string, w io.Writer) error {
	z, err := zstd.NewWriter(w)
	if err != nil {
		return err
	}
	a := &archive{tar: tar.NewWriter(z), folder: folder(host, b.Now), now: b.Now}
	a.add("README.txt", []byte(readme))
	b.daemons(ctx, a)
	a.tree("log", b.Logs)
	for _, f := range []string{"cmdline", "version", "uptime", "loadavg", "meminfo", "mounts", "partitions", "modules", "interrupts", "mdstat", "net/dev"} {
		a.file("kernel/"+path.Base(f), filepath.Join(b.Root, "proc", f), true)
	}
	// The firmware's memory, and what the health monitor has taken from there.
	for _, from := range []string{filepath.Join(b.Root, "sys/fs/pstore"), b.Crash} {
		if _, err := os.Stat(from); err == nil { // most boxes have had no crash
			a.tree("kernel/crash", from)
		}
	}
	a.add("errors.txt", []byte(strings.Join(a.troubles, "\n")+"\n"))
	if a.err == nil {
		a.err = ctx.Err()
	}
	if a.err == nil {
		a.err = a.tar.Close()
	}
	if err := z.Close(); a.err == nil {
		a.err = err
	}
	if a.err != nil {
		return fmt.Errorf("support bundle: %w", a.err)
	}
	return nil
}

const readme = `This is a support bundle of a Pillarbox: what the box says about itself, for
whoever looks for a fault. It holds logs, settings, measurements, and addresses
of people whose mail was under way. It holds no message, no password, no key.
`

// daemons asks the daemons for what they know.
func (b Bundle) daemons(ctx context.Context, a *archive) {
	if s := b.Init; s != nil {
		ask(ctx, a, "init/status", s.Status)
		ask(ctx, a, "init/services", s.Services)
		ask(ctx, a, "init/events", s.Events)
	}
	if s := b.Box; s != nil {
		ask(ctx, a, "box/status", s.Status)
		ask(ctx, a, "box/settings", s.Settings)
	}
	if s := b.Mail; s != nil {
		ask(ctx, a, "mail/status", s.Status)
		ask(ctx, a, "mail/settings", s.Settings)
		ask(ctx, a, "mail/queue", s.Queue)
		ask(ctx, a, "mail/events", func(ctx context.Context) ([]mailapi.Event, error) { return s.Events(ctx, 0) })
		ask(ctx, a, "mail/certificate", s.Certificate)
		if b.Message != "" {
			ask(ctx, a, "mail/trace", func(ctx context.Context) ([]mailapi.TracedMessage, error) { return s.Trace(ctx, b.Message) })
		}
	}
	if s := b.Health; s != nil {
		ask(ctx, a, "health/status", s.Status)
		ask(ctx, a, "health/settings", func(ctx context.Context) (*healthapi.Settings, error) {
			set, err := s.Settings(ctx)
			if err == nil {
				set.Webhook = withoutSecret(set.Webhook)
			}
			return set, err
		})
	}
}

// withoutSecret leaves of a webhook's URL where it leads: path and query are
// what lets somebody post there.
func withoutSecret(webhook string) string {
	if webhook == "" {
		return ""
	}
	u, err := url.Parse(webhook)
	if err != nil {
		return "(set)"
	}
	return u.Scheme + "://" + u.Host + "/(left out)"
}

// archive collects files. Its first error of writing ends it.
type archive struct {
	tar      *tar.Writer
	folder   string
	now      time.Time
	troubles []string
	err      error
}

func (a *archive) trouble(name string, err error) {
	a.troubles = append(a.troubles, fmt.Sprintf("%s: %v", name, err))
}

// add puts a file in.
func (a *archive) add(name string, content []byte) {
	if a.err != nil {
		return
	}
	h := &tar.Header{Name: a.folder + "/" + name, Mode: 0o600, Size: int64(len(content)), ModTime: a.now, Format: tar.FormatPAX}
	if a.err = a.tar.WriteHeader(h); a.err == nil {
		_, a.err = a.tar.Write(content)
	}
}

// file puts a file of the box in; optional ones may be missing.
func (a *archive) file(name, from string, optional bool) {
	f, err := os.Open(from)
	if err != nil {
		if !optional || !os.IsNotExist(err) {
			a.trouble(name, err)
		}
		return
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile)) // files of /proc have no size before
	if err != nil {
		a.trouble(name, err)
	}
	a.add(name, content)
}

// tree puts in the files of a folder and those below it.
func (a *archive) tree(name, from string) {
	err := filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err == nil {
			a.file(path.Join(name, filepath.ToSlash(rel)), p, false)
		}
		return err
	})
	if err != nil {
		a.trouble(name, err)
	}
}

// ask puts in what a question answers, as JSON.
func ask[T any](ctx context.Context, a *archive, name string, question func(context.Context) (T, error)) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := question(ctx)
	if err == nil {
		var raw []byte
		if raw, err = json.MarshalIndent(answer, "", "  "); err == nil {
			a.add(name+".json", append(raw, '\n'))
			return
		}
	}
	a.trouble(name, err)
}
