package maild

import (
	"encoding/base64"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"pillarbox/appliance/api/mailapi"
)

// step is what a client sends, and how the reply begins.
type step struct{ send, want string }

// TestAbuse tries on the whole service what strangers try, wants the right
// answer, and nothing stored of it. Clients that are silent or stop within a
// message take minutes: package smtpd has them, with a clock of its own.
func TestAbuse(t *testing.T) {
	r := start(t, t.TempDir(), "")
	r.setUp()
	const limit = 50 << 20
	s, err := r.Settings(t.Context())
	if err != nil || s.MaxMessageSize != limit {
		t.Fatalf("settings: %+v, %v", s, err)
	}
	hello := []step{{"", "220 "}, {"HELO client.example\r\n", "250 "}}
	message := append(hello, step{"MAIL FROM:<x@elsewhere.example>\r\n", "250 "}, step{"RCPT TO:<ann@example.org>\r\n", "250 "}, step{"DATA\r\n", "354 "})
	text := strings.Repeat(strings.Repeat("x", 78)+"\r\n", 60_000_000/80)
	wrong := base64.StdEncoding.EncodeToString([]byte("\x00ann@example.org\x00ann's other words"))
	for _, tt := range []struct {
		name, port string
		begin      []step
		then       []step
	}{
		{"relay", "smtp", append(hello, step{"MAIL FROM:<ann@example.org>\r\n", "250 "}), []step{
			{"RCPT TO:<x@elsewhere.example>\r\n", "550 5.7.1 "},
			{"RCPT TO:<@example.org:x@elsewhere.example>\r\n", "550 5.7.1 "},
			{"RCPT TO:<x%elsewhere.example@example.org>\r\n", "550 5.1.1 "},
			{"RCPT TO:<\"x@elsewhere.example\"@example.org>\r\n", "550 5.1.1 "},
			{"DATA\r\n", "554 5.5.1 "},
		}},
		{"relay by submission", "submission", hello, []step{{"MAIL FROM:<ann@example.org>\r\n", "530 5.7.0 "}, {"RCPT TO:<x@elsewhere.example>\r\n", "503 "}}},
		{"unknown recipient", "smtp", append(hello, step{"MAIL FROM:<x@elsewhere.example>\r\n", "250 "}), []step{{"RCPT TO:<nobody@example.org>\r\n", "550 5.1.1 "}, {"DATA\r\n", "554 5.5.1 "}}},
		{"password in the clear", "submission", hello, []step{{"AUTH PLAIN " + wrong + "\r\n", "538 5.7.11 "}}},
		{"login at port 25", "smtp", hello, []step{{"AUTH PLAIN " + wrong + "\r\n", "502 5.5.1 "}}},
		{"wrong passwords", "submissions", hello, []step{
			// The last is held back for a second: it has to be there by then.
			{strings.Repeat("AUTH PLAIN "+wrong+"\r\n", 7), strings.Repeat("535 5.7.8 \n", 6) + "454 4.7.0 "},
			{"MAIL FROM:<ann@example.org>\r\n", "530 5.7.0 "},
		}},
		{"long command", "smtp", hello, []step{{"NOOP " + strings.Repeat("x", 10_000) + "\r\n", "500 5.5.2 "}}},
		{"long line", "smtp", message, []step{{"Subject: x\r\n\r\n" + strings.Repeat("x", 2<<20) + "\r\n.\r\n", "554 5.6.0 "}, {"NOOP\r\n", "250 "}}},
		{"60 MB announced", "smtp", hello, []step{{"MAIL FROM:<x@elsewhere.example> SIZE=60000000\r\n", "552 5.3.4 "}}},
		{"60 MB", "smtp", message, []step{{text + ".\r\n", "552 5.3.4 "}, {"NOOP\r\n", "250 "}}},
		{"bare LF", "smtp", message, []step{{"Subject: x\r\n\r\none\n.\nMAIL FROM:<evil@elsewhere.example>\r\n.\r\n", "550 5.6.11 "}, {"DATA\r\n", "503 "}}},
		{"two MAIL", "smtp", message[:4], []step{{"MAIL FROM:<y@elsewhere.example>\r\n", "503 5.5.1 "}}},
		{"half a message", "smtp", message, []step{{"Subject: x\r\n\r\nhalf", ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l line
			if strings.HasSuffix(tt.port, "s") {
				l = r.dialTLS(tt.port)
			} else {
				c, err := net.Dial("tcp", r.addr[tt.port])
				if err != nil {
					t.Fatal(err)
				}
				l = line{t, textproto.NewConn(c)}
			}
			defer l.Close()
			for _, s := range slices.Concat(tt.begin, tt.then) {
				l.step(s)
			}
		})
	}
	// The client with half a message is gone before the store is asked.
	r.stop()
	r = start(t, r.dir, "")
	for port, try := range map[string][]string{
		"imaps": {"* OK", "a LOGIN ann@example.org \"ann's other words\"", "a NO"},
		"pop3s": {"+OK", "USER ann@example.org\r\nPASS ann's other words", "-ERR"},
	} {
		l := r.dialTLS(port)
		l.say("", try[0])
		l.say(try[1], try[2])
	}
	report, err := r.Check(t.Context(), mailapi.CheckRequest{Bodies: true}, nil)
	if err != nil || report.Messages+report.Blobs+report.Queued != 0 || len(report.Problems) != 0 {
		t.Errorf("what is stored: %+v, %v", report, err)
	}
}

// step sends and holds the replies to how they have to begin, a line each.
func (l line) step(s step) {
	l.t.Helper()
	if _, err := io.Copy(l.W, strings.NewReader(s.send)); err != nil {
		l.t.Fatalf("%.50q: %v", s.send, err)
	}
	if err := l.W.Flush(); err != nil {
		l.t.Fatalf("%.50q: %v", s.send, err)
	}
	if s.want == "" {
		return
	}
	for want := range strings.Lines(s.want) {
		got, err := l.ReadLine()
		if err != nil || !strings.HasPrefix(got, strings.TrimSuffix(want, "\n")) {
			l.t.Fatalf("%.50q: %q, %v; want %s", s.send, got, err, want)
		}
	}
}
