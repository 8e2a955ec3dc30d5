package smtpd

import (
	"crypto/tls"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/mail/chattest"
	"pillarbox/appliance/mail/conntest"
)

// TestChats runs the conversations in testdata (see chattest). The instructions:
//
//	server: submission [tls] [plaintext]   what is connected to (first line)
//	S: <closed>      the server closes the connection
//	TLS              the client does its handshake after STARTTLS
//	WAIT 5m          time passes
//	CLOSE            the client closes the connection
//	STORED n         so many messages have been accepted in all
//	BODY "go string" and this is the last one
func TestChats(t *testing.T) {
	files, err := filepath.Glob("testdata/*.smtp")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d conversations found, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".smtp"), func(t *testing.T) {
			lines := chattest.Read(t, file)
			synctest.Test(t, func(t *testing.T) { runChat(t, lines) })
		})
	}
}

func runChat(t *testing.T, lines []chattest.Line) {
	var server *running
	var c *client
	for _, line := range lines {
		where, rest := line.Where, line.Rest
		if line.Word == "server:" {
			cfg := Config{TLS: conntest.ServerTLS(t)}
			if strings.Contains(rest, "submission") {
				cfg.Mode = Submission
			}
			cfg.AllowPlaintext = func() bool { return strings.Contains(rest, "plaintext") }
			server = start(cfg)
			defer server.stop(t)
			c = server.dial(t, strings.Contains(rest, "tls"))
			defer func() { c.Close() }()
			continue
		}
		if c == nil {
			t.Fatalf("%s: no server yet", where)
		}
		switch line.Word {
		case "C:":
			c.send(rest + "\r\n")
		case "c:":
			c.send(line.Quoted(t))
		case "S:":
			if got := c.line(); !line.Matches(got) {
				t.Fatalf("%s: got  %s\nwant %s", where, got, rest)
			}
		case "TLS":
			tc := tls.Client(c.Conn, conntest.ClientTLS())
			if err := tc.Handshake(); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			c = newClient(tc)
		case "WAIT":
			d, err := time.ParseDuration(rest)
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			time.Sleep(d)
			synctest.Wait()
		case "CLOSE":
			c.Close()
		case "STORED":
			synctest.Wait()
			if n := strconv.Itoa(len(server.pipeline.accepted())); n != rest {
				t.Fatalf("%s: %s messages accepted, want %s", where, n, rest)
			}
		case "BODY":
			synctest.Wait()
			m := server.pipeline.accepted()
			if want := line.Quoted(t); len(m) == 0 || m[len(m)-1] != want {
				t.Fatalf("%s: accepted %q, want %q", where, m, want)
			}
		default:
			t.Fatalf("%s: unknown instruction %s", where, line.Word)
		}
	}
}
