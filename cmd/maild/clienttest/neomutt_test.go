package clienttest

import (
	"path/filepath"
	"strings"
	"testing"
)

// neomutt is neomutt's settings in testdata/neomuttrc, yes or no but for the first.
type neomutt struct {
	Scheme    string // imaps, or imap for STARTTLS
	Cache     string // keep headers and messages
	Condstore string // ask for what changed since the headers were kept
	Qresync   string // and for what vanished
}

// newNeomutt gives what runs neomutt on keys, written as neomutt's push has
// them. The mailbox that it shows first is the INBOX.
func (b *box) newNeomutt(settings neomutt) func(keys ...string) {
	b.t.Helper()
	b.mkdir(filepath.Join(b.Home, "cache", "headers"))
	b.mkdir(filepath.Join(b.Home, "cache", "messages"))
	rc := b.config("neomuttrc", settings)
	return func(keys ...string) {
		b.t.Helper()
		push := "push '" + strings.Join(append(keys, "<quit>"), "") + "'"
		b.write(filepath.Join(b.Home, "keys"), []byte(push+"\n"))
		// It wants a terminal, which script(1) makes.
		b.run("script", "--quiet", "--return", "--command", "TERM=xterm neomutt -n -F "+rc+" -e 'source "+b.Home+"/keys'", "/dev/null")
	}
}

// copyAll gives the keys that copy all messages to a Maildir, flags included:
// what neomutt believes to be there.
func copyAll(to maildir) string {
	return "<tag-pattern>~A<enter><tag-prefix><copy-message>" + string(to) + "<enter><untag-pattern>~A<enter>"
}

// at gives keys that are for the one message with this in its subject.
func at(subject, keys string) string {
	return `<limit>~s "` + subject + `"<enter>` + keys + "<limit>all<enter>"
}

func TestNeomutt(t *testing.T) {
	for _, tt := range []struct {
		name string
		neomutt
	}{
		{"TLS, QRESYNC", neomutt{"imaps", "yes", "yes", "yes"}},
		{"TLS, CONDSTORE", neomutt{"imaps", "yes", "yes", "no"}},
		{"STARTTLS", neomutt{"imap", "no", "no", "no"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t)
			p := b.peer()
			run := b.newNeomutt(tt.neomutt)
			p.create("Work")
			p.append("INBOX", "one", "two", "three S", "four FS", "five R", "six", "seven")
			p.append("Work", "eight")

			first := b.newMaildir("first")
			run(copyAll(first))
			same(t, "first", first.list(t), "one", "two", "three S", "four FS", "five R", "six", "seven")

			// It changes things; then another client does, while it has the
			// mailbox open. (Both at once it does not do: neomutt forgets what
			// it has not written yet when a message vanishes.)
			b.eml("made there")
			meanwhile := b.config("neomutt-meanwhile", nil)
			new, second, work := b.newMaildir("new"), b.newMaildir("second"), b.newMaildir("work")
			new.add(t, "made here")
			run(
				at("one", "<flag-message>"),
				at("two", "<delete-message>"),
				at("three", "<save-message>+Work<enter>"),
				at("four", "<toggle-new>"),
				// The server searches the text.
				`<limit>=b "the end of seven"<enter><set-flag>r<limit>all<enter>`,
				"<sync-mailbox>",
				"<shell-escape>sh "+meanwhile+"<enter>",
				// What the server tells by itself may come a moment later.
				"<imap-fetch-mail>", "<sync-mailbox>", copyAll(second),
				"<change-folder>"+string(new)+"<enter><copy-message>+Work<enter>",
				"<change-folder>+Work<enter>", copyAll(work),
			)
			inbox := []string{"one F", "four F", "five FR", "seven RS", "made there S"}
			same(t, "second", second.list(t), inbox...)
			same(t, "the server's INBOX", p.list("INBOX"), inbox...)
			same(t, "second in Work", work.list(t), "eight", "three S", "made here")
			same(t, "the server's Work", p.list("Work"), "eight", "three S", "made here")

			// More is changed while it is away.
			p.flag("INBOX", "one", "RS")
			p.expunge("INBOX", "four")
			p.move("INBOX", "five", "Work")
			p.append("INBOX", "nine F")
			third := b.newMaildir("third")
			run(copyAll(third))
			inbox = []string{"one RS", "seven RS", "made there S", "nine F"}
			same(t, "third", third.list(t), inbox...)
			same(t, "the server's INBOX", p.list("INBOX"), inbox...)
		})
	}
}
