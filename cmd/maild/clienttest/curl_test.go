package clienttest

import (
	"strings"
	"testing"
)

// curlWrongPassword is an exit code of curl.
const curlWrongPassword = 67

func TestCurlIMAP(t *testing.T) {
	for _, tt := range []struct {
		name, scheme, port string
		args               []string
	}{
		{"TLS", "imaps", "imaps", nil},
		{"STARTTLS", "imap", "imap", []string{"--ssl-reqd", "--sasl-ir", "--login-options", "AUTH=PLAIN"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t)
			p := b.peer()
			curl := func(path string, args ...string) string {
				t.Helper()
				return b.run("curl", append(append(b.curl(annPassword), tt.args...), append(args, tt.scheme+"://localhost:"+b.Port[tt.port]+"/"+path)...)...)
			}
			contains := func(what, got string, want ...string) {
				t.Helper()
				for _, w := range want {
					if !strings.Contains(got, w) {
						t.Errorf("%s: %q is not in:\n%s", what, w, got)
					}
				}
			}

			curl("INBOX", "-T", b.eml("one"))
			curl("INBOX", "-T", b.eml("two"))
			curl("", "-X", "CREATE Work")
			contains("LIST", curl("", "-X", `LIST "" "*"`), `"/" INBOX`, `"/" Work`)
			contains("EXAMINE", curl("", "-X", "EXAMINE INBOX"), "* 2 EXISTS")
			contains("search", curl("INBOX?SUBJECT%20two"), "* SEARCH 2\r\n")
			contains("search of text", curl("INBOX", "-X", `SEARCH BODY "the end of one"`), "* SEARCH 1\r\n")
			same(t, "by number", []string{entry([]byte(curl("INBOX;MAILINDEX=1")), "")}, "one")
			same(t, "by UID", []string{entry([]byte(curl("INBOX;UID=2")), "")}, "two")
			contains("part", curl("INBOX;UID=2;SECTION=2"), "AAECAwQFBgc")
			same(t, "the server's, read", p.list("INBOX"), "one S", "two S")

			// Another client changes things; curl sees them at once.
			p.append("INBOX", "three")
			p.flag("INBOX", "one", "F")
			contains("flags", curl("INBOX", "-X", "FETCH 1:* (UID FLAGS)"), `* 1 FETCH (UID 1 FLAGS (\Flagged))`, `* 2 FETCH (UID 2 FLAGS (\Seen))`, "* 3 FETCH (UID 3 FLAGS ())")
			curl("INBOX", "-X", `UID STORE 3 +FLAGS.SILENT (\Answered)`)
			curl("INBOX", "-X", "UID COPY 1 Work")
			curl("INBOX", "-X", "UID MOVE 2 Work")
			curl("INBOX", "-X", `UID STORE 1 +FLAGS (\Deleted)`)
			contains("EXPUNGE", curl("INBOX", "-X", "EXPUNGE"), "* 1 EXPUNGE")
			contains("STATUS", curl("", "-X", "STATUS INBOX (MESSAGES UIDNEXT)"), "MESSAGES 1", "UIDNEXT 4")
			same(t, "the server's INBOX", p.list("INBOX"), "three R")
			same(t, "the server's Work", p.list("Work"), "one F", "two S")
		})
	}
}

func TestCurlMail(t *testing.T) {
	b := newBox(t)
	p := b.peer()
	one, two := b.eml("one"), b.eml("two")
	send := []string{"--mail-from", ann, "--mail-rcpt", ann}
	b.run("curl", append(append(b.curl(annPassword), send...), "-T", one, "smtps://localhost:"+b.Port["submissions"])...)
	b.run("curl", append(append(b.curl(annPassword), send...), "-T", two, "--ssl-reqd", "smtp://localhost:"+b.Port["submission"])...)
	same(t, "sent", p.list("INBOX"), "one", "two")

	tls, starttls := "pop3s://localhost:"+b.Port["pop3s"]+"/", "pop3://localhost:"+b.Port["pop3"]+"/"
	same(t, "by POP3", []string{entry([]byte(b.run("curl", append(b.curl(annPassword), tls+"1")...)), "")}, "one")
	for command, want := range map[string]string{"LIST": "\n2 ", "UIDL": "\n2 ", "TOP 1 0": "Subject: one\r\n"} {
		out := b.run("curl", append(b.curl(annPassword), "--ssl-reqd", "--request", command, starttls)...)
		if !strings.Contains("\n"+out, want) {
			t.Errorf("%s: %q", command, out)
		}
	}
	b.run("curl", append(b.curl(annPassword), "--ssl-reqd", "--request", "DELE", "--list-only", starttls+"1")...)
	same(t, "the server's after DELE", p.list("INBOX"), "two")
}

func TestCurlIsKeptOut(t *testing.T) {
	b := newBox(t)
	for _, url := range []string{
		"imaps://localhost:" + b.Port["imaps"] + "/INBOX", "pop3s://localhost:" + b.Port["pop3s"] + "/1", "smtps://localhost:" + b.Port["submissions"],
	} {
		if out, code := b.exit("curl", append(b.curl("guess"), url)...); code != curlWrongPassword {
			t.Errorf("%s, a wrong password: exit code %d\n%s", url, code, out)
		}
	}
	// Without the box's authority there is nobody it trusts.
	if out, code := b.exit("curl", "--silent", "--cacert", "/dev/null", "imaps://localhost:"+b.Port["imaps"]); code == 0 {
		t.Errorf("an authority that is not trusted: exit code %d\n%s", code, out)
	}
	// Passwords are not taken in the clear.
	for _, url := range []string{
		"imap://localhost:" + b.Port["imap"] + "/INBOX", "pop3://localhost:" + b.Port["pop3"] + "/1", "smtp://localhost:" + b.Port["submission"],
	} {
		if out, code := b.exit("curl", append(b.curl(annPassword), "--mail-from", ann, "--mail-rcpt", ann, "-T", b.eml("one"), url)...); code == 0 {
			t.Errorf("%s without TLS: succeeded\n%s", url, out)
		}
	}
}

// curl gives the arguments common to all uses.
func (b *box) curl(password string) []string {
	return []string{"--silent", "--show-error", "--cacert", b.CA, "--user", ann + ":" + password, "--max-time", "300"}
}
