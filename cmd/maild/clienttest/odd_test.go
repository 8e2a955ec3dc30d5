package clienttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// odd are messages that are none, or none of the usual kind.
func odd() []string {
	nested := "text\r\n"
	for i := range 20 { // ImapFlow leaves out a message whose structure is a list 25 deep
		nested = fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%[1]d\r\n%s\r\n--b%[1]d--\r\n", i, nested)
	}
	return []string{
		"x",
		"\r\nbody only\r\n",
		"neither header\r\nnor body\r\n",
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n",
		"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n",
		"From: a@b\r\nthis is no header\r\n : nor this\r\nSubject: y\r\n\r\nz\r\n",
		"From: \xe4\xf6 <a@b>\r\nSubject: \xff\xfe\r\nX-\xe4: 1\r\n\r\n\x80\r\n",
		"From: a@b\r\nSubject: with a NUL: \x00\r\n\r\n\x00\r\n",
		"From: a@b\rSubject: x\rTo: b\r\n\r\nlone\rcr\nlone lf\r\n",
		"From: a@b\nSubject: Unix\n\n.\n.\r\n",
		"From: g: a@b, c@d;\r\nTo: undisclosed-recipients:;\r\nCc: a: b: c;;,\r\nSubject: g\r\n\r\nx",
		"Date: Mon, 99 Foo 20222 99:99:99 +9999\r\n\r\nx",
		"Content-Type: text/plain; charset; =x; name*0*=utf-8''%zz; name*1=\"\\\r\nContent-Disposition: ;;;\r\nContent-Transfer-Encoding: \r\n\r\nx",
		"Content-Type: text/plain; charset=foo\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!=a=\r\n",
		"Subject: " + strings.Repeat("a", 50_000) + "\r\n\r\n" + strings.Repeat("b", 50_000),
		"Subject: \"\\\r\n {5}\r\n\r\n* 1 EXPUNGE\r\n)\r\na1 OK done\r\n",
		nested,
	}
}

// headless of them have no end of a header: those mbsync leaves, with a warning.
const headless = 2

// TestOddMessages has clients fetch messages that no two programs read alike.
// None must keep them from fetching the others.
func TestOddMessages(t *testing.T) {
	fetchers := map[string]func(b *box) maildir{
		"mbsync": func(b *box) maildir {
			b.mkdir(filepath.Join(b.Home, "mail"))
			b.run("mbsync", "--all", "-c", b.config("mbsyncrc", struct{ TLS, Port, Account string }{"IMAPS", "imaps", ""}))
			return maildir(filepath.Join(b.Home, "mail/INBOX"))
		},
		"offlineimap": func(b *box) maildir {
			b.run("offlineimap", "-o", "-c", b.config("offlineimaprc", struct{ Mechanism, UTF8 string }{"PLAIN", "yes"}))
			return maildir(filepath.Join(b.Home, "mail/INBOX"))
		},
		"neomutt": func(b *box) maildir {
			to := b.newMaildir("mail")
			b.newNeomutt(neomutt{"imaps", "yes", "yes", "yes"})(copyAll(to))
			return to
		},
		"getmail, IMAP": func(b *box) maildir {
			mail, run := b.newGetmail()
			run(getmail{Protocol: "IMAP", Port: "imaps"})
			return mail
		},
		"getmail, POP3": func(b *box) maildir {
			mail, run := b.newGetmail()
			run(getmail{Protocol: "POP3", Port: "pop3s"})
			return mail
		},
		"fetchmail, IMAP": func(b *box) maildir {
			mail, run := b.newFetchmail()
			run(fetchmail{Protocol: "imap", Port: "imaps", Server: "bad-header accept", TLS: "ssl"}, 0)
			return mail
		},
		"fetchmail, POP3": func(b *box) maildir {
			mail, run := b.newFetchmail()
			run(fetchmail{Protocol: "pop3", Port: "pop3s", Server: "bad-header accept", TLS: "ssl"}, 0)
			return mail
		},
		"mpop": func(b *box) maildir {
			mail := b.newMaildir("mail")
			b.run("mpop", "--file="+b.config("mpoprc", mpop{Port: "pop3s", STARTTLS: "off", Auth: "plain", Pipelining: "on", Keep: "on"}))
			return mail
		},
		"ImapFlow": func(b *box) maildir {
			mail := b.newMaildir("mail")
			b.newImapFlow()
			b.run("node", b.script("imapflow/fetch.js"), b.Port["imaps"], b.CA, ann, annPassword, filepath.Join(string(mail), "new"))
			return mail
		},
		"Mail::IMAPClient": func(b *box) maildir {
			mail := b.newMaildir("mail")
			b.run("perl", b.script("fetch.pl"), b.Port["imaps"], b.CA, ann, annPassword, filepath.Join(string(mail), "new"))
			return mail
		},
	}
	installImapFlow(t)
	for name, fetch := range fetchers {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			p := b.peer()
			p.append("INBOX", "first")
			for _, raw := range odd() {
				p.appendRaw("INBOX", []byte(raw), "")
			}
			p.append("INBOX", "last")
			got := fetch(b)
			paths, err := filepath.Glob(filepath.Join(string(got), "[nc][eu][wr]", "*"))
			if err != nil {
				t.Fatal(err)
			}
			var usual []string
			for _, path := range paths {
				raw, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if e := entry(raw, ""); e == "first" || e == "last" {
					usual = append(usual, e)
				}
			}
			same(t, "the usual ones", usual, "first", "last")
			n := len(odd()) + 2
			if name == "mbsync" {
				n -= headless
			}
			if len(paths) != n {
				t.Errorf("%d messages were fetched, want %d", len(paths), n)
			}
		})
	}
}
