package health

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
)

// smartHost is a submission server with STARTTLS where pair is not nil; what a
// client says comes out of said, a message in one piece.
func smartHost(t *testing.T, pair *tls.Certificate) (addr string, said chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	said = make(chan string, 30)
	serve := func(c net.Conn) {
		defer func() { c.Close() }()
		fmt.Fprint(c, "220 smart\r\n")
		for in := bufio.NewReader(c); ; {
			s, err := in.ReadString('\n')
			if err != nil {
				return
			}
			switch verb := strings.ToUpper(strings.TrimSpace(s)); {
			case strings.HasPrefix(verb, "EHLO") && pair != nil:
				fmt.Fprint(c, "250-smart\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
			case strings.HasPrefix(verb, "EHLO"):
				fmt.Fprint(c, "250-smart\r\n250 AUTH PLAIN\r\n")
			case verb == "STARTTLS":
				fmt.Fprint(c, "220 go\r\n")
				c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*pair}})
				in = bufio.NewReader(c)
			case strings.HasPrefix(verb, "AUTH"):
				fmt.Fprint(c, "235 in\r\n")
			case verb == "DATA":
				fmt.Fprint(c, "354 go\r\n")
				var b strings.Builder
				for s := ""; s != ".\r\n" && err == nil; b.WriteString(s) {
					s, err = in.ReadString('\n')
				}
				s = b.String()
				fmt.Fprint(c, "250 ok\r\n")
			default:
				fmt.Fprint(c, "250 ok\r\n")
			}
			said <- s
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String(), said
}

// What the box's own mail cannot bring is told elsewhere all the same.
func TestMailElsewhere(t *testing.T) {
	https := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate, which is for 127.0.0.1
	defer https.Close()
	roots := x509.NewCertPool()
	roots.AddCert(https.Certificate())
	addr, said := smartHost(t, &https.TLS.Certificates[0])
	plain, _ := smartHost(t, nil)

	settings := healthapi.Settings{MailTo: "ann@elsewhere.example", SmartHost: addr, SmartHostUser: "box@provider.example", SmartHostPassword: "s3cret"}
	m := &Messenger{File: filepath.Join(t.TempDir(), "waiting.json"), SMTP: "127.0.0.1:1", Settings: func() healthapi.Settings { return settings },
		Hostname: func() string { return "mail.example.org" }, TLS: &tls.Config{RootCAs: roots}, Log: slog.New(slog.DiscardHandler)}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m.Tell(now, []Change{change("disk", healthapi.Bad, healthapi.OK, "The disk is full.")})
	m.Work(t.Context(), now.Add(gather))
	login := base64.StdEncoding.EncodeToString([]byte("\x00box@provider.example\x00s3cret"))
	for _, want := range []string{"EHLO mail.example.org", "STARTTLS", "EHLO mail.example.org", "AUTH PLAIN " + login, "MAIL FROM:<box@provider.example>", "RCPT TO:<ann@elsewhere.example>", "The disk is full."} {
		if got := <-said; !strings.Contains(got, want) {
			t.Errorf("said %q, want %q", got, want)
		}
	}
	if len(m.box(byRelay).waiting) != 0 || len(m.box(byMail).waiting) != 1 {
		t.Errorf("%d wait elsewhere, %d here", len(m.box(byRelay).waiting), len(m.box(byMail).waiting))
	}
	settings.NoMail = true
	if told := m.Test(t.Context(), now); len(told) != 1 || told[0] != (healthapi.Told{Way: byRelay}) {
		t.Errorf("%+v", told)
	}
	// No password without TLS, nor to who only says to be the smart host.
	settings.SmartHost = plain
	if told := m.Test(t.Context(), now); len(told) != 1 || !strings.Contains(told[0].Error, "no TLS") {
		t.Errorf("%+v", told)
	}
	settings.SmartHost, m.TLS = addr, nil
	if told := m.Test(t.Context(), now); len(told) != 1 || !strings.Contains(told[0].Error, "certificate") {
		t.Errorf("%+v", told)
	}
}

// A webhook that is down for a while hears of it later, once, though mail has
// told it long since.
func TestWebhookThatIsDown(t *testing.T) {
	addr, messages := sink(t)
	status, hooks := http.StatusServiceUnavailable, 0
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		hooks++
		w.WriteHeader(status)
	}))
	defer hook.Close()
	m := &Messenger{File: filepath.Join(t.TempDir(), "waiting.json"), SMTP: addr, Settings: func() healthapi.Settings { return healthapi.Settings{Webhook: hook.URL} },
		Hostname: func() string { return "mail.example.org" }, Log: slog.New(slog.DiscardHandler)}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m.Tell(now, []Change{change("disk", healthapi.Bad, healthapi.OK, "The disk is full.")})
	now = now.Add(gather)
	m.Work(t.Context(), now)
	<-messages
	// A restart in between forgets nothing.
	again := &Messenger{File: m.File, SMTP: addr, Settings: m.Settings, Hostname: m.Hostname, Log: m.Log}
	if err := again.Load(now); err != nil {
		t.Fatal(err)
	}
	status = http.StatusOK
	for range 3 {
		now = now.Add(retryEvery)
		again.Work(t.Context(), now)
	}
	if hooks != 2 || len(messages) != 0 {
		t.Errorf("the webhook was asked %d times, %d further mails", hooks, len(messages))
	}
}

func TestThePasswordIsKept(t *testing.T) {
	m := monitor(t, Config{})
	in := healthapi.Settings{MailTo: "ann@elsewhere.example", SmartHost: "smtp.provider.example:465", SmartHostUser: "box", SmartHostPassword: "s3cret"}
	s, err := m.SetSettings(t.Context(), in)
	if err != nil || s.SmartHostPassword != "" || !s.SmartHostPasswordSet {
		t.Fatalf("%+v, %v", s, err)
	}
	s.Weekly = true // as who changes something else sends it back
	if s, err = m.SetSettings(t.Context(), *s); err != nil || !s.SmartHostPasswordSet || m.present().SmartHostPassword != "s3cret" {
		t.Errorf("%+v, %v", s, err)
	}
	s.SmartHost = "elsewhere.example:465" // which must not get it
	if _, err := m.SetSettings(t.Context(), *s); err == nil {
		t.Error("another smart host has the password")
	}
	for _, bad := range []healthapi.Settings{{MailTo: "ann", SmartHost: "a.example:25"}, {MailTo: "ann@a.example"}, {SmartHost: "a.example:25"}, {MailTo: "ann@a.example", SmartHost: "a b"}} {
		if _, err := m.SetSettings(t.Context(), bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// A webhook that hangs keeps nobody from telling more, and what changes while it
// is being told is told after it.
func TestChangeWhileTelling(t *testing.T) {
	asked, release := make(chan string, 3), make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- string(body)
		<-release
	}))
	defer hook.Close()
	m := &Messenger{File: filepath.Join(t.TempDir(), "waiting.json"), Settings: func() healthapi.Settings { return healthapi.Settings{NoMail: true, Webhook: hook.URL} },
		Hostname: func() string { return "mail.example.org" }, Log: slog.New(slog.DiscardHandler)}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m.Tell(now, []Change{change("disk", healthapi.Bad, healthapi.OK, "The disk is full."), change("fan", healthapi.Watch, healthapi.OK, "A fan is slow.")})
	done := make(chan struct{})
	go func() { m.Work(t.Context(), now.Add(gather)); close(done) }()
	<-asked
	m.Tell(now.Add(gather), []Change{change("disk", healthapi.OK, healthapi.Bad, "The disk is full.")})
	close(release)
	<-done
	m.Work(t.Context(), now.Add(gather+retryEvery))
	if got := <-asked; !strings.Contains(got, `"level":"ok"`) || !strings.Contains(got, `"was":"bad"`) || strings.Contains(got, "A fan is slow.") {
		t.Errorf("told %s", got)
	}
	if len(m.box(byWebhook).waiting) != 0 {
		t.Errorf("%+v still waits", m.box(byWebhook).waiting)
	}
}
