package syslog

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var at = time.Date(2026, 3, 1, 13, 0, 0, 123456789, time.FixedZone("", 3600))

func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		line Line
		host string
		want string
	}{
		{Line{at, "maild", "level=INFO msg=hello"}, "mail.example.org", "<22>1 2026-03-01T12:00:00.123456Z mail.example.org maild - - - level=INFO msg=hello"},
		{Line{at, "init", "level=ERROR msg=x"}, "box", "<27>1 2026-03-01T12:00:00.123456Z box init - - - level=ERROR msg=x"},
		{Line{at, "kernel", "Linux"}, "", "<6>1 2026-03-01T12:00:00.123456Z - kernel - - - Linux"},
		{Line{at, "boxd", "level=WARN msg=é"}, "a b", "<28>1 2026-03-01T12:00:00.123456Z a_b boxd - - - \ufefflevel=WARN msg=é"},
		{Line{at, "x", "level=DEBUG"}, "h", "<31>1 2026-03-01T12:00:00.123456Z h x - - - level=DEBUG"},
	} {
		if got := string(format(tt.line, tt.host, maxMessage)); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
	for n := 60; n < 100; n++ {
		got := format(Line{at, "maild", strings.Repeat("é漢", 50)}, "h", n)
		if len(got) > n || len(got) < n-3 || !utf8.Valid(got) {
			t.Errorf("cut to %d: %d octets, %q", n, len(got), got)
		}
	}
}

func TestParseTarget(t *testing.T) {
	hex := strings.Repeat("ab", 32)
	for _, tt := range []struct{ target, fingerprint, want string }{
		{"tls://logs.example.org", "", "tls logs.example.org:6514"},
		{"tls://logs.example.org:1514/", "", "tls logs.example.org:1514"},
		{"tcp://192.0.2.1", "", "tcp 192.0.2.1:601"},
		{"udp://[2001:db8::1]", "", "udp [2001:db8::1]:514"},
		{"tls://h", strings.ToUpper(hex), "tls h:6514"},
		{"tls://h", "AB:" + strings.Repeat("AB:", 30) + "AB", "tls h:6514"},
		{"tcp://h", hex, "wrong"}, {"tls://h", "abc", "wrong"}, {"logs.example.org", "", "wrong"}, {"http://h", "", "wrong"},
		{"tls://", "", "wrong"}, {"tls://h:0", "", "wrong"}, {"tls://h/path", "", "wrong"}, {"tls://u@h", "", "wrong"},
	} {
		got, err := Parse(tt.target, tt.fingerprint)
		text := got.Network + " " + got.Address
		if err != nil {
			text = "wrong"
		}
		if text != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.target, text, err, tt.want)
		}
	}
}

// frames reads octet-counted messages.
func frames(c net.Conn, to chan<- string) {
	in := bufio.NewReader(c)
	for {
		var n int
		if _, err := fmt.Fscanf(in, "%d ", &n); err != nil {
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return
		}
		to <- string(b)
	}
}

func run(t *testing.T, target Target) *Sender {
	t.Helper()
	s := New(target, func() string { return "box" }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan bool)
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func expect(t *testing.T, got <-chan string, ends ...string) {
	t.Helper()
	for _, end := range ends {
		select {
		case m := <-got:
			if !strings.HasPrefix(m, "<") || !strings.HasSuffix(m, end) {
				t.Errorf("%q, want the end %q", m, end)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("no message %q", end)
		}
	}
}

func TestTCPAndANewConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got, conns := make(chan string, 10), make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
			go frames(c, got)
		}
	}()
	s := run(t, Target{Network: "tcp", Address: l.Addr().String()})
	s.Add(Line{at, "a", "one"})
	s.Add(Line{at, "a", "two"})
	expect(t, got, " a - - - one", " a - - - two")
	(<-conns).Close()
	second := <-conns // made anew before there is anything to send
	defer second.Close()
	s.Missed(3)
	s.Add(Line{at, "a", "three"})
	expect(t, got, "3 lines were dropped: they came faster than they could be sent", " a - - - three")
	if err := s.Fault(); err != nil {
		t.Error(err)
	}
}

func TestTLSByFingerprint(t *testing.T) {
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	certificate := web.TLS.Certificates[0]
	web.Close()
	right := sha256.Sum256(certificate.Certificate[0])
	wrong := right
	wrong[0]++
	for name, tt := range map[string]struct {
		fingerprint []byte
		trusted     bool
	}{"right": {right[:], true}, "wrong": {wrong[:], false}, "none": {nil, false}} {
		l := tlsListener(t, certificate)
		got := make(chan string, 10)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go frames(c, got)
			}
		}()
		s := New(Target{Network: "tls", Address: l.Addr().String(), Fingerprint: tt.fingerprint}, func() string { return "box" }, slog.New(slog.DiscardHandler))
		s.Add(Line{at, "a", "secret"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := s.session(ctx); done <- err }()
		if tt.trusted {
			expect(t, got, "secret")
		} else if err := <-done; err == nil {
			t.Errorf("%s: the server is trusted", name)
		}
		cancel()
		l.Close()
		if !tt.trusted && len(got) > 0 {
			t.Errorf("%s: it was told %q", name, <-got)
		}
	}
}

func TestUDP(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := run(t, Target{Network: "udp", Address: c.LocalAddr().String()})
	s.Add(Line{at, "a", strings.Repeat("x", 5000)})
	b := make([]byte, 9000)
	if err := c.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, _, err := c.ReadFrom(b)
	if err != nil || n != maxDatagram || !strings.HasPrefix(string(b), "<30>1 ") {
		t.Errorf("%d octets, %v", n, err)
	}
}

// A server that takes nothing costs bounded memory and nobody's time.
func TestQueueIsBounded(t *testing.T) {
	s := New(Target{Network: "tcp", Address: "127.0.0.1:1"}, func() string { return "box" }, slog.New(slog.DiscardHandler))
	for range 50_000 {
		s.Add(Line{at, "a", strings.Repeat("x", 100)})
	}
	if s.octets > maxQueued || s.octets < maxQueued*9/10 || len(s.queue)+s.dropped != 50_000 {
		t.Errorf("%d octets, %d lines, %d dropped", s.octets, len(s.queue), s.dropped)
	}
	if sent, err := s.session(t.Context()); sent || err == nil {
		t.Errorf("%v, %v", sent, err)
	}
	dropped := s.dropped
	if l, ok := s.next(); !ok || !strings.Contains(l.Text, fmt.Sprint(dropped, " lines were dropped")) {
		t.Errorf("%+v", l)
	}
}

func tlsListener(t *testing.T, c tls.Certificate) net.Listener {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
