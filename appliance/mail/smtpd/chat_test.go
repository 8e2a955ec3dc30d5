package smtpd

import (
	"bufio"
	"crypto/tls"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestChats runs the conversations in testdata. A file has one instruction a
// line:
//
//	# a comment
//	server: submission [tls] [plaintext]   what is connected to (first line)
//	C: line          the client sends a line with CR LF
//	c: "go string"   the client sends exactly these bytes, "x"*1000 repeated
//	S: pattern       the server's next line; * stands for anything
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
			lines := chatLines(t, file)
			certificate() // outside of the bubble, where time is real
			synctest.Test(t, func(t *testing.T) { runChat(t, file, lines) })
		})
	}
}

func chatLines(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}

func runChat(t *testing.T, file string, lines []string) {
	var server *running
	var c *client
	for i, line := range lines {
		where := file + ":" + strconv.Itoa(i+1)
		kind, rest, _ := strings.Cut(line, " ")
		if kind == "" || kind[0] == '#' {
			continue
		}
		if kind == "server:" {
			cfg := Config{TLS: serverTLS()}
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
		switch kind {
		case "C:":
			c.send(rest + "\r\n")
		case "c:":
			c.send(quoted(t, where, rest))
		case "S:":
			if got := c.line(); !matches(rest, got) {
				t.Fatalf("%s: got  %s\nwant %s", where, got, rest)
			}
		case "TLS":
			tc := tls.Client(c.Conn, clientTLS())
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
			if want := quoted(t, where, rest); len(m) == 0 || m[len(m)-1] != want {
				t.Fatalf("%s: accepted %q, want %q", where, m, want)
			}
		default:
			t.Fatalf("%s: unknown instruction %s", where, kind)
		}
	}
}

// quoted reads "go strings", each with an optional *count.
func quoted(t *testing.T, where, s string) string {
	t.Helper()
	var b strings.Builder
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		prefix, err := strconv.QuotedPrefix(s)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		text, _ := strconv.Unquote(prefix)
		s = s[len(prefix):]
		n := 1
		if strings.HasPrefix(s, "*") {
			count, rest, _ := strings.Cut(s[1:], " ")
			if n, err = strconv.Atoi(count); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			s = rest
		}
		b.WriteString(strings.Repeat(text, n))
	}
	return b.String()
}

// matches compares a line with a pattern in which * stands for anything.
func matches(pattern, line string) bool {
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(line, parts[0]) {
		return false
	}
	if len(parts) == 1 {
		return line == pattern
	}
	line = line[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(line, p)
		if i < 0 {
			return false
		}
		line = line[i+len(p):]
	}
	return strings.HasSuffix(line, parts[len(parts)-1])
}
