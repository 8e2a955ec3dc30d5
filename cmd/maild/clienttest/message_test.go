package clienttest

import (
	"bytes"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// message is the message with this subject. It has what goes wrong most easily
// on the way: lines of dots, "From " at a line's start, eight-bit text, blanks
// at the end of a line, a part in base64.
func message(subject string) []byte {
	return fmt.Appendf(nil, strings.ReplaceAll(`From: =?utf-8?q?B=C3=B6b?= <bob@example.org>
To: ann@example.org
Subject: %[1]s
Date: Mon, 2 Mar 2026 12:00:00 +0100
Message-ID: <%[2]s@elsewhere.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_%[2]s"

This is a message of several parts.
--=_%[2]s
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

%[3]s
--=_%[2]s
Content-Type: application/octet-stream; name="data.bin"
Content-Disposition: attachment; filename="data.bin"
Content-Transfer-Encoding: base64

AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v
--=_%[2]s--
`, "\n", "\r\n"), subject, strings.ReplaceAll(subject, " ", "-"), strings.ReplaceAll(text(subject), "\n", "\r\n"))
}

// text is the text of message(subject).
func text(subject string) string {
	return "Grüße: \"" + subject + "\"\n.\n..two dots\nFrom here on\n \ttrailing blanks  \n\nthe end of " + subject + "\n"
}

// entry is a message in a list: subject and flags. Line ends are the client's
// business, and so are header fields that it adds.
func entry(raw []byte, flags string) string {
	unix := bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	m, err := mail.ReadMessage(bytes.NewReader(unix))
	if err != nil {
		return fmt.Sprintf("%q: %v", raw, err)
	}
	subject := m.Header.Get("Subject")
	s := subject
	if flags != "" {
		s += " " + flags
	}
	_, body, _ := bytes.Cut(unix, []byte("\n\n"))
	_, want, _ := bytes.Cut(bytes.ReplaceAll(message(subject), []byte("\r\n"), []byte("\n")), []byte("\n\n"))
	if !bytes.Equal(body, want) {
		s += fmt.Sprintf(" with another text: %q", body)
	}
	return s
}

// subjects gives n subjects.
func subjects(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("number %d of %d", i+1, n)
	}
	return list
}

// with gives the entries of messages that all have these flags.
func with(flags string, subjects []string) []string {
	list := slices.Clone(subjects)
	for i := range list {
		list[i] += " " + flags
	}
	return list
}

// same compares lists without regard to their order.
func same(t *testing.T, where string, got []string, want ...string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: there is\n\t%s\nwant\n\t%s", where, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// maildir is the client's folder as a list.
type maildir string

// newMaildir makes an empty one in the client's home.
func (b *box) newMaildir(name string) maildir {
	b.t.Helper()
	d := filepath.Join(b.Home, name)
	for _, sub := range []string{"cur", "new", "tmp"} {
		b.mkdir(filepath.Join(d, sub))
	}
	return maildir(d)
}

// deliverer puts the program into the home that delivers a message to a Maildir.
func (b *box) deliverer() {
	b.t.Helper()
	if err := os.Chmod(b.script("deliver"), 0o700); err != nil {
		b.t.Fatal(err)
	}
}

// file is a message in a Maildir.
type file struct {
	path, entry string
}

func (d maildir) files(t *testing.T) []file {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(string(d), "[nc][eu][wr]", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var list []file
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, flags, _ := strings.Cut(filepath.Base(path), ":2,")
		list = append(list, file{path, entry(raw, flags)})
	}
	return list
}

func (d maildir) list(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, f := range d.files(t) {
		list = append(list, f.entry)
	}
	return list
}

// find gives the path of the message that has this entry.
func (d maildir) find(t *testing.T, entry string) string {
	t.Helper()
	files := d.files(t)
	i := slices.IndexFunc(files, func(f file) bool { return f.entry == entry })
	if i < 0 {
		t.Fatalf("%s: no message %q among %v", d, entry, files)
	}
	return files[i].path
}

// add delivers a message as a user's program does.
func (d maildir) add(t *testing.T, subject string) {
	t.Helper()
	unix := bytes.ReplaceAll(message(subject), []byte("\r\n"), []byte("\n"))
	name := "1." + strings.ReplaceAll(subject, " ", "_") + ".here"
	if err := os.WriteFile(filepath.Join(string(d), "new", name), unix, 0o600); err != nil {
		t.Fatal(err)
	}
}

// flag gives the message other flags.
func (d maildir) flag(t *testing.T, entry, flags string) {
	t.Helper()
	path := d.find(t, entry)
	base, _, _ := strings.Cut(filepath.Base(path), ":2,")
	if err := os.Rename(path, filepath.Join(string(d), "cur", base+":2,"+flags)); err != nil {
		t.Fatal(err)
	}
}

func (d maildir) remove(t *testing.T, entries ...string) {
	t.Helper()
	for _, f := range d.files(t) {
		if !slices.Contains(entries, f.entry) {
			continue
		}
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
	}
}

// move takes the message to another folder, where it is a new one.
func (d maildir) move(t *testing.T, entry string, to maildir) {
	t.Helper()
	path := d.find(t, entry)
	_, flags, _ := strings.Cut(filepath.Base(path), ":2,")
	name := "2." + strings.ReplaceAll(entry, " ", "_") + ".here:2," + flags
	if err := os.Rename(path, filepath.Join(string(to), "cur", name)); err != nil {
		t.Fatal(err)
	}
}
