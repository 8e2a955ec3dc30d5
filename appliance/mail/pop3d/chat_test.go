package pop3d

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/mail/chattest"
	"pillarbox/appliance/mail/conntest"
	"pillarbox/appliance/store/store"
)

// TestChats runs the conversations in testdata (see chattest). The instructions:
//
//	MAIL "go string"         a message comes to INBOX, "x"*1000 repeated
//	server: [tls] [plaintext] what the client connects to
//	AGAIN                    the client connects once more, and goes on there
//	S: <closed>              the server closes the connection
//	S...                     lines up to and with the next "."
//	TLS                      the client does its handshake after STLS
//	WAIT 5m                  time passes
//	CLOSE                    the client closes the connection
//	GONE n                   somebody else expunges UID n
//	DAMAGED n                the body of UID n turns out to be damaged
//	BROKEN                   the store fails from now on
//	REVOKE                   the password changes
//	LEFT 1 3                 these UIDs are in INBOX
func TestChats(t *testing.T) {
	files, err := filepath.Glob("testdata/*.pop3")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d conversations found, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".pop3"), func(t *testing.T) {
			lines := chattest.Read(t, file)
			synctest.Test(t, func(t *testing.T) { runChat(t, lines) })
		})
	}
}

func runChat(t *testing.T, lines []chattest.Line) {
	st, revoked := newFakeStore(), make(chan struct{})
	var server *running
	var c *client
	var implicit bool
	connect := func() {
		c = server.dial(t, implicit)
		t.Cleanup(func() { c.Close() })
	}
	for _, line := range lines {
		where, rest := line.Where, line.Rest
		if c == nil && line.Word != "server:" && line.Word != "MAIL" {
			t.Fatalf("%s: no server yet", where)
		}
		switch line.Word {
		case "MAIL":
			st.add(line.Quoted(t))
		case "server:":
			server = start(Config{Store: st, Accounts: fakeAccounts{revoked}, TLS: conntest.ServerTLS(t),
				AllowPlaintext: func() bool { return strings.Contains(rest, "plaintext") }})
			implicit = strings.Contains(rest, "tls")
			defer server.stop(t)
			connect()
			defer func() { c.Close() }()
		case "AGAIN":
			old := c
			defer old.Close()
			connect()
		case "C:":
			c.send(rest + "\r\n")
		case "c:":
			c.send(line.Quoted(t))
		case "S:":
			if got := c.line(); !line.Matches(got) {
				t.Fatalf("%s: got  %s\nwant %s", where, got, rest)
			}
		case "S...":
			for got := ""; got != "."; {
				if got = c.line(); strings.HasSuffix(got, "<closed>") {
					t.Fatalf("%s: closed within an answer", where)
				}
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
			synctest.Wait()
		case "GONE", "DAMAGED":
			n, err := strconv.ParseUint(rest, 10, 32)
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			if line.Word == "DAMAGED" {
				st.damaged[store.BlobID(n)] = true
			} else if gone, _, err := st.Expunge(t.Context(), 7, []store.UID{store.UID(n)}, false); err != nil || len(gone) != 1 {
				t.Fatalf("%s: expunged %v, %v", where, gone, err)
			}
		case "BROKEN":
			st.broken = errors.New("disk on fire")
		case "REVOKE":
			close(revoked)
			synctest.Wait()
		case "LEFT":
			synctest.Wait()
			if got := strings.Trim(fmt.Sprint(st.uids()), "[]"); got != rest {
				t.Fatalf("%s: INBOX has %s, want %s", where, got, rest)
			}
		default:
			t.Fatalf("%s: unknown instruction %s", where, line.Word)
		}
	}
}
