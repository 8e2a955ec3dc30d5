package smtpclient

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// TestChats plays the conversations under testdata against the client. A file
// begins with settings, then says line by line what each side says:
//
//	sender ADDRESS           reverse-path (default ann@example.org)
//	rcpt ADDRESS [PARAM=..]  a recipient, with NOTIFY and ORCPT
//	tls none|required|verified
//	auth USER PASSWORD [plaintext]
//	size N, utf8, envid X, ret X
//	want fail|ok|TEXT        what New (first) or each recipient ends in
//	twice                    the transaction is sent twice
//	--
//	S: server's line   C: client's line   X: server closes   H: server hangs
//
// The body is that of the file body.txt unless a setting "body" gives it,
// quoted as in Go.
func TestChats(t *testing.T) {
	files, err := filepath.Glob("testdata/*.chat")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations found", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".chat"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := parseChat(string(text))
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, c.play)
		})
	}
}

type chat struct {
	o      Options
	t      Transaction
	body   string
	want   []string
	twice  bool
	script []string
}

func parseChat(text string) (*chat, error) {
	head, script, ok := strings.Cut(text, "\n--\n")
	if !ok {
		return nil, fmt.Errorf("no line -- found")
	}
	c := &chat{
		o:      Options{Hostname: "box.example.org", Host: "mx.example.net"},
		t:      Transaction{Sender: "ann@example.org"},
		body:   "Subject: hello\r\n\r\nhello\r\n",
		script: strings.Split(strings.TrimRight(script, "\n"), "\n"),
	}
	for line := range strings.Lines(head) {
		word, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		args := strings.Fields(rest)
		switch word {
		case "", "#":
		case "sender":
			c.t.Sender = rest
		case "rcpt":
			r := Recipient{Address: args[0]}
			for _, p := range args[1:] {
				switch name, value, _ := strings.Cut(p, "="); name {
				case "NOTIFY":
					r.Notify = value
				case "ORCPT":
					r.Original = value
				}
			}
			c.t.Recipients = append(c.t.Recipients, r)
		case "tls":
			c.o.TLS.Mode = map[string]TLSMode{"none": TLSNone, "required": TLSRequired, "verified": TLSVerified}[rest]
		case "auth":
			c.o.Auth = &Credentials{User: args[0], Password: args[1], AllowPlaintext: len(args) > 2}
		case "size":
			fmt.Sscan(rest, &c.t.Size)
		case "utf8":
			c.t.UTF8Header = true
		case "envid":
			c.t.EnvelopeID = rest
		case "ret":
			c.t.Return = rest
		case "body":
			fmt.Sscanf(rest, "%q", &c.body)
		case "want":
			c.want = append(c.want, rest)
		case "twice":
			c.twice = true
		default:
			return nil, fmt.Errorf("setting %q", word)
		}
	}
	return c, nil
}

func (c *chat) play(t *testing.T) {
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		serve(t, server, c.script)
	}()
	var got []string
	cl, err := New(context.Background(), client, c.o)
	if err != nil {
		got = append(got, err.Error())
	} else {
		rounds := 1
		if c.twice {
			rounds = 2
		}
		for range rounds {
			c.t.Body = strings.NewReader(c.body)
			for _, err := range cl.Send(context.Background(), c.t).Errors {
				if err == nil {
					got = append(got, "ok")
					continue
				}
				kind := "temporary"
				if err.Permanent {
					kind = "permanent"
				}
				got = append(got, kind+" "+err.Error())
			}
		}
		cl.Close(context.Background())
	}
	<-done
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
		t.Errorf("ended in\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
	}
}

// serve plays the server's side of a script.
func serve(t *testing.T, conn net.Conn, script []string) {
	br := bufio.NewReader(conn)
	for i, line := range script {
		side, text, _ := strings.Cut(line, ":")
		text = strings.TrimPrefix(text, " ")
		switch side {
		case "S":
			if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
				t.Errorf("line %d %q: %v", i+1, line, err)
				return
			}
		case "C":
			got, err := br.ReadString('\n')
			if err != nil {
				t.Errorf("line %d %q: %v", i+1, line, err)
				return
			}
			if got != text+"\r\n" {
				t.Errorf("line %d: client said %q, want %q", i+1, got, text)
				return
			}
		case "X":
			return
		case "H":
			_, _ = io.Copy(io.Discard, br) // until the client has had enough
			return
		default:
			t.Errorf("line %d: %q", i+1, line)
			return
		}
	}
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Errorf("after the script the client said %q", rest)
	}
}
