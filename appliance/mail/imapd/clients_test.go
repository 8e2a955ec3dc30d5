package imapd

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Clients that people use, each a full round: log in, list, fetch, flag, move,
// delete, append, search, and take in what another client changed. The programs
// are among the host packages of make test.

// listen serves the bench on a port of this machine.
func (b *bench) listen() (port int) {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	go b.server.Serve(context.Background(), l)
	return l.Addr().(*net.TCPAddr).Port
}

// run runs a program, which must succeed, and gives what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s (scripts/host-packages.sh installs it): %v\n%s", name, err, out)
	}
	return string(out)
}

func TestImaplib(t *testing.T) {
	b := newBench(t, nil)
	run(t, "python3", "testdata/clients/imaplib_round.py", fmt.Sprint(b.listen()), "ann@example.org", "secret")
}

func TestCurl(t *testing.T) {
	b := newBench(t, nil)
	base := fmt.Sprintf("imap://127.0.0.1:%d/", b.listen())
	curl := func(path string, args ...string) string {
		t.Helper()
		return run(t, "curl", append([]string{"-sS", "--user", "ann@example.org:secret", base + path}, args...)...)
	}
	curl("INBOX", "-T", "testdata/simple.eml")
	curl("INBOX", "-T", "testdata/parts.eml")
	if out := curl("", "-X", `LIST "" "*"`); !strings.Contains(out, `"/" INBOX`) {
		t.Errorf("LIST: %s", out)
	}
	if out := curl("INBOX?SUBJECT%20Hello"); !strings.Contains(out, "* SEARCH 1\r\n") {
		t.Errorf("SEARCH: %s", out)
	}
	if out := curl("INBOX;UID=1"); !strings.Contains(out, "Second line.") {
		t.Errorf("message: %s", out)
	}
	if out := curl("INBOX;UID=2;SECTION=1.1"); !strings.Contains(out, "Viele") {
		t.Errorf("part: %s", out)
	}
	curl("INBOX", "-X", `UID STORE 1 +FLAGS (\Deleted)`)
	curl("INBOX", "-X", "EXPUNGE")
	if out := curl("", "-X", "STATUS INBOX (MESSAGES)"); !strings.Contains(out, "MESSAGES 1") {
		t.Errorf("STATUS: %s", out)
	}
}

// TestMbsync syncs both ways, by compressed commands.
func TestMbsync(t *testing.T) {
	b := newBench(t, nil)
	dir := t.TempDir()
	const rc = `
IMAPAccount box
Host 127.0.0.1
Port %d
User ann@example.org
Pass secret
SSLType None
AuthMechs LOGIN

IMAPStore far
Account box

MaildirStore near
Path %[2]s/
Inbox %[2]s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
`
	config := filepath.Join(dir, "rc")
	mail := filepath.Join(dir, "mail")
	if err := os.WriteFile(config, fmt.Appendf(nil, rc, b.listen(), mail), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mail, 0o700); err != nil {
		t.Fatal(err)
	}
	c := b.dial()
	c.login("ann@example.org")
	for i := range 300 {
		c.append("INBOX", "", fmt.Appendf(nil, "Subject: number %d\r\n\r\nbody\r\n", i))
	}
	mbsync := func() { run(t, "mbsync", "-c", config, "-q", "all") }
	names := func(pattern string) []string {
		list, err := filepath.Glob(filepath.Join(mail, "INBOX", pattern))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	mbsync()
	if n := len(names("new/*")); n != 300 {
		t.Fatalf("%d messages came, want 300", n)
	}
	// This side marks one as seen, deletes one and has a new one.
	list := names("new/*")
	if err := os.Rename(list[0], filepath.Join(mail, "INBOX", "cur", filepath.Base(list[0])+":2,S")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(list[1]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mail, "INBOX", "new", "1.local.box"), []byte("Subject: made here\n\nbody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// That side flags some and deletes some.
	c.ok("SELECT INBOX")
	c.ok(`UID STORE 290:295 +FLAGS.SILENT (\Flagged)`)
	c.ok(`UID STORE 296:300 +FLAGS.SILENT (\Deleted)`)
	c.ok("EXPUNGE")
	mbsync()
	c.ok("NOOP")
	for search, want := range map[string]string{
		"SEARCH RETURN (COUNT) ALL":                       "COUNT 295",
		"SEARCH RETURN (COUNT) SEEN":                      "COUNT 1",
		`SEARCH RETURN (COUNT) SUBJECT "made here"`:       "COUNT 1",
		`SEARCH RETURN (COUNT) NOT DELETED SUBJECT "ber"`: "COUNT 294",
	} {
		if got := c.ok(search)[0]; !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s, want %s", search, got, want)
		}
	}
	if n := len(names("*/*:2,*F*")); n != 6 {
		t.Errorf("%d messages are flagged here, want 6", n)
	}
	if n := len(names("*/*U=*")); n != 295 {
		t.Errorf("%d messages are here, want 295", n)
	}
}
