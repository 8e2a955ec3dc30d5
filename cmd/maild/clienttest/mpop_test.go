package clienttest

import (
	"strings"
	"testing"
)

// mpop is mpop's settings in testdata/mpoprc; the strings are on or off.
type mpop struct {
	Port, STARTTLS   string
	Auth, Pipelining string
	Keep             string
}

func TestMpop(t *testing.T) {
	for _, tt := range []struct {
		name string
		mpop
	}{
		{"TLS, pipelined", mpop{Port: "pop3s", STARTTLS: "off", Auth: "plain", Pipelining: "on"}},
		{"STARTTLS, one by one", mpop{Port: "pop3", STARTTLS: "on", Auth: "user", Pipelining: "off"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t)
			p := b.peer()
			mail := b.newMaildir("mail")
			run := func(keep string, args ...string) string {
				t.Helper()
				tt.Keep = keep
				return b.run("mpop", append([]string{"--file=" + b.config("mpoprc", tt.mpop)}, args...)...)
			}

			if out := run("on", "--serverinfo"); !strings.Contains(out, "UIDL") || !strings.Contains(out, "PIPELINING") {
				t.Errorf("what the server can do: %s", out)
			}
			var many []string
			for c := range 26 { // more than one batch of pipelined commands
				many = append(many, "letter "+string(rune('a'+c)))
			}
			p.append("INBOX", many...)
			if out := run("on", "--status-only"); !strings.Contains(out, "26 messages") {
				t.Errorf("status: %s", out)
			}
			run("on")
			same(t, "first", mail.list(t), many...)
			run("on")
			same(t, "nothing new", mail.list(t), many...)

			p.append("INBOX", "one", "two F")
			p.expunge("INBOX", "letter c")
			run("on")
			same(t, "with what is new", mail.list(t), append(many, "one", "two")...)

			p.append("INBOX", "three")
			run("off")
			same(t, "before deletion", mail.list(t), append(many, "one", "two", "three")...)
			same(t, "the server's after deletion", p.list("INBOX"))
		})
	}
}
