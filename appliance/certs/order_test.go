package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"pillarbox/appliance/certs/acmetest"
)

// publicBox is a box that takes its certificate from a public authority. Its clock
// is right at first, since the authority's is.
func publicBox(t *testing.T, a *acmetest.Authority) (*box, *[]string) {
	b := newBox(t)
	b.now = time.Now().Add(time.Minute) // after what is signed while the test runs
	told := new([]string)
	b.cfg.Roots, b.cfg.Listen = a.Roots, a.Listen
	b.cfg.Event = func(bad bool, text string) { *told = append(*told, text) }
	return b, told
}

func choosing(a *acmetest.Authority, host string) Choice {
	return Choice{Source: Public, Host: host, Email: "ann@example.org", Directory: a.URL}
}

// trusting is a client that knows the public authority.
func trusting(a *acmetest.Authority) func(*tls.Config) {
	return func(c *tls.Config) { c.RootCAs = a.Roots }
}

func TestPublicAuthority(t *testing.T) {
	a := acmetest.Start(t, acmetest.Usual)
	b, told := publicBox(t, a)
	m := b.open(t, "mail.example.org", "imap.example.org")
	if _, ordering := m.nextOrder(); ordering {
		t.Error("ordered unasked")
	}
	m.Choose(choosing(a, "mail.example.org"))
	if i := m.Info(); i.Source != Own || i.Problem != "" || !i.Private {
		t.Errorf("while it is fetched: %+v", i)
	}
	if wait, ordering := m.nextOrder(); !ordering || wait > 0 {
		t.Fatalf("not ordered: in %v, %v", wait, ordering)
	}
	m.order(t.Context())
	i := m.Info()
	if i.Source != Public || i.Problem != "" || i.Failure != "" || i.Private || strings.Join(i.Names, " ") != "mail.example.org" {
		t.Fatalf("after the order: %+v", i)
	}
	if _, err := handshake(t, m, "mail.example.org", b.now, trusting(a)); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"imap.example.org", "localhost"} { // those of the own authority alone
		if _, err := handshake(t, m, name, b.now, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(*told) != 1 || !strings.Contains((*told)[0], "signed a certificate for mail.example.org") {
		t.Errorf("told %q", *told)
	}
	if wait, ordering := m.nextOrder(); !ordering || wait < 59*day || wait > 61*day {
		t.Errorf("renewal in %v, %v", wait, ordering)
	}

	// A restart changes nothing.
	again := b.open(t, "mail.example.org")
	again.Choose(choosing(a, "mail.example.org"))
	if again.Info().SHA256 != i.SHA256 {
		t.Error("a restart shows another certificate")
	}
	if wait, _ := again.nextOrder(); wait < 59*day {
		t.Errorf("a restart renews in %v", wait)
	}

	// Renewal, with the same key.
	b.now = b.now.Add(62 * day)
	if wait, _ := again.nextOrder(); wait > 0 {
		t.Errorf("renewal only in %v", wait)
	}
	key := again.public.PrivateKey
	again.order(t.Context())
	if again.Info().SHA256 == i.SHA256 || again.public.PrivateKey != key {
		t.Error("not renewed, or with another key")
	}
	if wait, _ := again.nextOrder(); wait < firstWait {
		t.Errorf("a clock that is ahead renews again in %v", wait)
	}

	// Another name is ordered at once; meanwhile the own authority has it.
	b.now = time.Now()
	if err := again.SetNames([]string{"mx.example.net"}); err != nil {
		t.Fatal(err)
	}
	again.Choose(choosing(a, "mx.example.net"))
	if _, err := handshake(t, again, "mx.example.net", b.now, nil); err != nil {
		t.Error(err)
	}
	if wait, _ := again.nextOrder(); wait > 0 {
		t.Errorf("another name is ordered in %v", wait)
	}
	again.order(t.Context())
	b.now = time.Now().Add(time.Minute)
	if _, err := handshake(t, again, "mx.example.net", b.now, trusting(a)); err != nil {
		t.Error(err)
	}
	again.Choose(Choice{Host: "mx.example.net"})
	if i := again.Info(); i.Source != Own || i.Problem != "" {
		t.Errorf("back to the own authority: %+v", i)
	}
}

// TestRun has the loop itself order, and order again when it is told to.
func TestRun(t *testing.T) {
	a := acmetest.Start(t, acmetest.Usual)
	b, _ := publicBox(t, a)
	b.cfg.Now = nil
	m := b.open(t, "mail.example.org")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.Run(ctx) }()
	m.Choose(choosing(a, acmetest.Blocked))
	wait := func(what string, is func(Info) bool) {
		t.Helper()
		for limit := time.Now().Add(5 * time.Minute); !is(m.Info()); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("no %s: %+v", what, m.Info())
			}
		}
	}
	wait("failure", func(i Info) bool { return i.Failure != "" })
	m.Choose(choosing(a, "mail.example.org"))
	wait("certificate", func(i Info) bool { return i.Source == Public })
	stop()
	<-done
}

func TestFailures(t *testing.T) {
	a := acmetest.Start(t, acmetest.Usual)
	for _, c := range []struct {
		name, host, want string
		change           func(*box)
	}{
		{"a name that is not in the DNS", "missing.example.org", "does not reach port 80 of this box (", nil},
		{"a name that is refused", acmetest.Blocked, "does not sign for the name of this box (", nil},
		{"somebody else at port 80", "mail.example.org", "Another machine than this box answers the certificate authority (", func(b *box) {
			b.cfg.Listen = func() (net.Listener, error) {
				l, err := a.Listen()
				if err == nil {
					s := &http.Server{Handler: http.NotFoundHandler()}
					go s.Serve(l)
					t.Cleanup(func() { s.Close() })
				}
				other, _ := net.Listen("tcp", "127.0.0.1:0")
				return other, err
			}
		}},
		{"port 80 is in use", "mail.example.org", "Port 80 of this box, which the certificate authority asks at, cannot be opened (in use).", func(b *box) {
			b.cfg.Listen = func() (net.Listener, error) { return nil, errors.New("in use") }
		}},
		{"an authority that is down", "mail.example.org", "The certificate authority refused (", func(*box) { a.Down.Store(true) }},
		{"an authority nobody vouches for", "mail.example.org", "The certificate authority cannot be reached (", func(b *box) { b.cfg.Roots = x509.NewCertPool() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, told := publicBox(t, a)
			if c.change != nil {
				c.change(b)
			}
			defer func() { a.Down.Store(false) }()
			m := b.open(t, c.host)
			m.Choose(choosing(a, c.host))
			m.order(t.Context())
			i := m.Info()
			if i.Source != Own || !strings.Contains(i.Problem, c.want) || !strings.HasSuffix(i.Problem, ").") || i.Failure != i.Problem || len(*told) != 1 {
				t.Fatalf("%q, source %s, told %q", i.Problem, i.Source, *told)
			}
			if _, err := handshake(t, m, c.host, b.now, nil); err != nil {
				t.Errorf("the own authority does not step in: %v", err)
			}
		})
	}
}

// TestBackOff has failures follow each other, a restart among them.
func TestBackOff(t *testing.T) {
	a := acmetest.Start(t, acmetest.Usual)
	b, told := publicBox(t, a)
	b.cfg.Listen = func() (net.Listener, error) { return nil, errors.New("in use") }
	m := b.open(t, "mail.example.org")
	m.Choose(choosing(a, "mail.example.org"))
	for _, want := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute} {
		m.order(t.Context())
		if wait, ordering := m.nextOrder(); wait != want || !ordering {
			t.Errorf("again in %v, want %v", wait, want)
		}
		m = b.open(t, "mail.example.org")
		m.Choose(choosing(a, "mail.example.org"))
		if wait, _ := m.nextOrder(); wait.Round(time.Second) != want {
			t.Errorf("after a restart again in %v, want %v", wait, want)
		}
	}
	if len(*told) != 1 {
		t.Errorf("the same failure was told more than once: %q", *told)
	}
	m.Retry()
	if wait, _ := m.nextOrder(); wait > 0 {
		t.Errorf("asked to try now, it tries in %v", wait)
	}
	for range 20 {
		m.order(t.Context())
	}
	if wait, _ := m.nextOrder(); wait != longestWait {
		t.Errorf("after many failures again in %v", wait)
	}
	b.now = b.now.Add(-10 * 365 * day) // and a clock that was ten years ahead
	b.cfg.Floor = time.Time{}
	m = b.open(t, "mail.example.org")
	m.Choose(choosing(a, "mail.example.org"))
	if wait, _ := m.nextOrder(); wait > 0 {
		t.Errorf("with the clock set right again in %v", wait)
	}
}

// TestRenewalFails keeps a certificate until its end, and tells of it in time.
func TestRenewalFails(t *testing.T) {
	a := acmetest.Start(t, acmetest.Usual)
	b, _ := publicBox(t, a)
	m := b.open(t, "mail.example.org")
	m.Choose(choosing(a, "mail.example.org"))
	m.order(t.Context())
	m.cfg.Listen = func() (net.Listener, error) { return nil, errors.New("in use") }
	start := b.now
	for _, c := range []struct {
		after   time.Duration
		source  Source
		problem bool
	}{{61 * day, Public, false}, {62 * day, Public, false}, {66 * day, Public, true}, {91 * day, Own, true}} {
		b.now = start.Add(c.after)
		m.order(t.Context())
		if i := m.Info(); i.Source != c.source || (i.Problem != "") != c.problem || i.Failure == "" {
			t.Errorf("after %v: %+v", c.after, i)
		}
	}
	// A clock that fails judges nothing.
	b.now = time.Unix(0, 0)
	if i := m.Info(); i.Source != Public {
		t.Errorf("with a dead clock: %+v", i)
	}
	if wait, _ := m.nextOrder(); wait <= 0 {
		t.Error("ordered by a dead clock")
	}
}

// TestADayOfLife has an authority, such as one in the house, whose certificates are
// good for a day, and a clock that is behind by some minutes.
func TestADayOfLife(t *testing.T) {
	a := acmetest.Start(t, day)
	b, _ := publicBox(t, a)
	b.now = time.Now().Add(-10 * time.Minute)
	m := b.open(t, "mail.example.org")
	m.Choose(choosing(a, "mail.example.org"))
	m.order(t.Context())
	if i := m.Info(); i.Source != Public || i.Failure != "" {
		t.Fatalf("%+v", i)
	}
	if wait, _ := m.nextOrder(); wait < 16*time.Hour || wait > 17*time.Hour {
		t.Errorf("renewed in %v", wait)
	}
}

func TestDamagedPublicFiles(t *testing.T) {
	b := newBox(t)
	b.open(t, "mail.example.org")
	for _, name := range []string{publicFile, importedFile, orderedFile} {
		if err := os.WriteFile(filepath.Join(b.cfg.Dir, name), []byte("{hello"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := b.open(t, "mail.example.org")
	m.Choose(Choice{Source: Imported, Host: "mail.example.org"})
	if i := m.Info(); i.Source != Own || i.Problem == "" {
		t.Errorf("%+v", i)
	}
}

func TestExplain(t *testing.T) {
	problem := func(kind string) *acme.Error {
		return &acme.Error{ProblemType: "urn:ietf:params:acme:error:" + kind, Detail: "because\nof \x1b[31mthis."}
	}
	for want, err := range map[string]error{
		"The certificate authority does not reach port 80 of this box (because of [31mthis).": &acme.AuthorizationError{Errors: []error{problem("connection")}},
		"The certificate authority was asked too often (because of [31mthis).":                problem("rateLimited"),
		"The certificate authority refused (because of [31mthis).":                            &acme.OrderError{Problem: problem("serverInternal")},
		"The certificate authority refused (the order is invalid).":                           &acme.OrderError{Status: "invalid"},
	} {
		if got, _ := explain(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	slow := problem("rateLimited")
	slow.Header = http.Header{"Retry-After": {"7200"}}
	if _, wait := explain(slow); wait != 2*time.Hour {
		t.Errorf("leaves the authority alone for %v", wait)
	}
	if got, _ := explain(errors.New(strings.Repeat("x", 1000))); len(got) > 320 {
		t.Errorf("a sentence of %d characters", len(got))
	}
}

// A certificate that finds no room on the volume is shown and not ordered again, and
// kept once there is room.
func TestCertificateThatFindsNoRoom(t *testing.T) {
	a := acmetest.Start(t, acmetest.Usual)
	b, told := publicBox(t, a)
	m := b.open(t, "mail.example.org")
	m.Choose(choosing(a, "mail.example.org"))
	if _, err := m.account(); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(b.cfg.Dir, "."+publicFile+".new") // what it is written to first
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	m.order(t.Context())
	i := m.Info()
	if i.Source != Public || i.Failure != "" || len(*told) != 1 {
		t.Fatalf("%+v, told %q", i, *told)
	}
	if wait, ordering := m.nextOrder(); !ordering || wait < 59*day {
		t.Errorf("ordered again in %v", wait)
	}
	if err := m.Check(); err == nil {
		t.Error("that it is not kept is no error")
	}
	if err := os.RemoveAll(full); err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	again := b.open(t, "mail.example.org")
	again.Choose(choosing(a, "mail.example.org"))
	if again.Info().SHA256 != i.SHA256 {
		t.Error("a restart shows another certificate")
	}
}
