//go:build vm

package vmtest

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pillarbox/cmd/qemu/vm"
)

// TestMail is the life of a box with two people: it is set up by a file, mail
// goes through it by all ways with common clients, it is switched off by its
// button, and has everything when it is on again.
func TestMail(t *testing.T) {
	disk := newDisk(t, provision)
	var before string
	t.Run("first boot", func(t *testing.T) {
		b := boot(t, raw(disk))
		t.Run("swaks", func(t *testing.T) { b.swaks(t) })
		t.Run("smtplib", func(t *testing.T) { b.python(t, "send") })
		t.Run("curl", func(t *testing.T) { b.curl(t) })
		t.Run("imaplib and poplib", func(t *testing.T) { before = b.python(t, "read") })
		t.Run("mbsync", func(t *testing.T) { b.mbsync(t, before) })
		t.Run("POP3 deletes on QUIT", func(t *testing.T) {
			b.python(t, "delete")
			after := b.python(t, "read")
			if strings.Count(after, "\n") != strings.Count(before, "\n")-1 {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
			before = after
		})
		b.pressButton()
	})
	if t.Failed() {
		return
	}
	t.Run("what is left on the ESP", func(t *testing.T) {
		f, err := os.Open(disk)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got, err := vm.ReadESP(f, vm.DiskSize, vm.ProvisionFile); err != nil || got != nil {
			t.Errorf("the provisioning file is still there: %.40q, %v", got, err)
		}
		if got, err := vm.ReadESP(f, vm.DiskSize, "pillarbox.applied"); err != nil || len(got) == 0 || strings.Contains(string(got), annPassword) {
			t.Errorf("the note in place of the provisioning file: %q, %v", got, err)
		}
		// A version that has served mail has as many tries to boot as it likes.
		if got, err := vm.ListESP(f, vm.DiskSize, "EFI/Linux"); err != nil || len(got) == 0 || slices.ContainsFunc(got, func(n string) bool { return strings.Contains(n, "+") }) {
			t.Errorf("the kernel images, with none to be counted: %q, %v", got, err)
		}
	})
	t.Run("second boot", func(t *testing.T) {
		b := boot(t, raw(disk))
		if after := b.python(t, "read"); after != before {
			t.Errorf("before:\n%safter:\n%s", before, after)
		}
		b.storeInOrder()
		b.commandLine()
		b.killMaild()
		if after := b.python(t, "read"); after != before {
			t.Errorf("before maild was killed:\n%safter:\n%s", before, after)
		}
		b.goesOff("mailctl poweroff", func(ctx context.Context) error { return b.Serial.Type(ctx, "mailctl poweroff\r") })
	})
	for service, words := range map[string][]string{
		"boxd":          {"the firewall is up", `msg="known on the local network" part=mdns name=mail.local`},
		"console-ttyS0": {"the command line was opened"},
	} {
		log := stateLog(t, disk, service)
		for _, word := range words {
			if !strings.Contains(log, word) {
				t.Errorf("%s has no word of %q:\n%s", service, word, log)
			}
		}
	}
	figures(t, disk)
}

// figures tells what a box takes: memory and processor time of each process,
// size of the image.
func figures(t *testing.T, disk string) {
	t.Helper()
	for line := range strings.Lines(stateLog(t, disk, "init")) {
		if strings.Contains(line, "msg=memory ") || strings.Contains(line, "msg=processor ") {
			t.Log(strings.TrimSpace(line))
		}
	}
	img, err := image()
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(img)
	if err != nil {
		t.Fatal(err)
	}
	allocated := must(t, "", "du", "--block-size=1", img)
	t.Logf("image: %d MiB, of which %s bytes are not zero", st.Size()>>20, strings.Fields(allocated)[0])
}

// swaks sends by each port, and is refused what it must be.
func (b *box) swaks(t *testing.T) {
	for _, tt := range []struct {
		name string
		code int // swaks' exit code
		args []string
	}{
		{"port 25", 0, []string{"--port", b.port(25), "--from", "stranger@elsewhere.example", "--to", "ann@example.org"}},
		{"port 25 with STARTTLS", 0, []string{"--port", b.port(25), "--tls", "--from", "stranger@elsewhere.example", "--to", "info@example.org"}},
		{"bounce", 0, []string{"--port", b.port(25), "--from", "<>", "--to", "bob@example.org"}},
		{"submission", 0, []string{"--port", b.port(587), "--tls", "--auth", "PLAIN", "--auth-user", "ann@example.org", "--auth-password", annPassword, "--from", "ann@example.org", "--to", "bob@example.org"}},
		{"submissions", 0, []string{"--port", b.port(465), "--tlsc", "--auth", "LOGIN", "--auth-user", "bob@example.org", "--auth-password", bobPassword, "--from", "bob@example.org", "--to", "all@example.org"}},
		{"relay", 24, []string{"--port", b.port(25), "--from", "stranger@elsewhere.example", "--to", "x@far.example"}},
		{"unknown recipient", 24, []string{"--port", b.port(25), "--from", "stranger@elsewhere.example", "--to", "nobody@example.org"}},
		{"wrong password", 28, []string{"--port", b.port(465), "--tlsc", "--auth", "PLAIN", "--auth-user", "bob@example.org", "--auth-password", "guess", "--from", "bob@example.org", "--to", "ann@example.org"}},
		{"somebody else's address", 23, []string{"--port", b.port(465), "--tlsc", "--auth", "PLAIN", "--auth-user", "bob@example.org", "--auth-password", bobPassword, "--from", "ann@example.org", "--to", "ann@example.org"}},
	} {
		args := append([]string{"--server", "127.0.0.1", "--helo", "client.example", "--header", "Subject: swaks " + tt.name, "--body", "sent by swaks", "--timeout", "300"}, tt.args...)
		out, code := client(t, "", "swaks", args...)
		// The sender is judged at MAIL by some servers, at RCPT by others.
		if code != tt.code && !(tt.code == 23 && code == 24) {
			t.Errorf("%s: exit code %d, want %d\n%s", tt.name, code, tt.code, out)
		}
	}
}

// python runs testdata/mail.py.
func (b *box) python(t *testing.T, what string) string {
	t.Helper()
	ports := make(map[string]int)
	for _, p := range b.Ports() {
		n, err := strconv.Atoi(b.port(p))
		if err != nil {
			t.Fatal(err)
		}
		ports[strconv.Itoa(p)] = n
	}
	text, err := json.Marshal(ports)
	if err != nil {
		t.Fatal(err)
	}
	return must(t, "", "python3", "testdata/mail.py", what, string(text))
}

// curl fetches by IMAP with STARTTLS and with TLS, and by POP3.
func (b *box) curl(t *testing.T) {
	for _, url := range []string{"imap://127.0.0.1:" + b.port(143) + "/INBOX;MAILINDEX=1", "imaps://127.0.0.1:" + b.port(993) + "/INBOX;MAILINDEX=1", "pop3s://127.0.0.1:" + b.port(995) + "/1"} {
		out := must(t, "", "curl", "--silent", "--show-error", "--insecure", "--ssl-reqd", "--max-time", "300", "--user", "ann@example.org:"+annPassword, url)
		if !strings.Contains(out, "Subject: swaks port 25") || !strings.Contains(out, "sent by swaks") {
			t.Errorf("%s: got\n%s", url, out)
		}
	}
	if out, code := client(t, "", "curl", "--silent", "--insecure", "--max-time", "300", "--user", "ann@example.org:guess", "imaps://127.0.0.1:"+b.port(993)+"/INBOX;MAILINDEX=1"); code != 67 {
		t.Errorf("a wrong password: exit code %d\n%s", code, out)
	}
}

// mbsync copies ann's mail into a Maildir, and brings a flag back.
func (b *box) mbsync(t *testing.T, listing string) {
	dir := t.TempDir()
	cert := filepath.Join(dir, "cert.pem")
	conn, err := tls.Dial("tcp", b.Addr(993), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	var chain []byte
	for _, c := range conn.ConnectionState().PeerCertificates {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	conn.Close()
	config := fmt.Sprintf(`IMAPAccount box
Host 127.0.0.1
Port %s
User ann@example.org
Pass %s
SSLType IMAPS
CertificateFile %s

IMAPStore far
Account box

MaildirStore near
Path %s/mail/
Inbox %s/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Sync All
SyncState *
`, b.port(993), annPassword, cert, dir, dir)
	rc := filepath.Join(dir, "rc")
	if err := os.WriteFile(cert, chain, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rc, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	must(t, "", "mbsync", "-c", rc, "-a")
	files, err := filepath.Glob(filepath.Join(dir, "mail/INBOX/[nc]*/*"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// mbsync keeps lines as Unix does, and marks the message with a header field.
		lines := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(l string) bool { return strings.HasPrefix(l, "X-TUID: ") })
		wire := strings.ReplaceAll(strings.Join(lines, ""), "\n", "\r\n")
		got = append(got, fmt.Sprintf("%x", sha256.Sum256([]byte(wire))))
	}
	for line := range strings.Lines(listing) {
		if f := strings.Fields(line); f[0] == "ann@example.org" {
			want = append(want, f[1])
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("mbsync has %d messages, want %d; digests\n%v\n%v", len(got), len(want), got, want)
	}
}

// storeInOrder lets the console check the mail store, as `mailctl check` does.
func (b *box) storeInOrder() {
	b.t.Helper()
	b.openMenu()
	b.choose("Check the mail store")
	found := b.shows(bootLimit, `(\d+) folders with (\d+) messages were checked`)
	b.shows(clientLimit, `All is in order\.`)
	b.t.Logf("check: %s", found[0])
}

// commandLine opens the box's own command line, behind the open menu, asks
// mailctl there, goes back to the menu, and comes again.
func (b *box) commandLine() {
	b.t.Helper()
	b.typed("\x1b")
	for _, back := range []bool{true, false} {
		b.openCommandLine()
		b.typed("mailctl user list\r")
		b.shows(clientLimit, `bob@example\.org[^$]*\$`)
		if back {
			b.typed("exit\r")
			b.shows(clientLimit, `Check the mail store`)
		}
	}
}

// openCommandLine opens the command line from the open menu.
func (b *box) openCommandLine() {
	b.t.Helper()
	b.shows(clientLimit, `Command line`)
	b.choose("Command line")
	// What is typed before the shell asks for it is lost.
	b.shows(clientLimit, `exit\s+goes\s+back[^$]*\$`)
}

// killMaild ends the mail service as a crash would, on the box's command line,
// and waits until it is back.
func (b *box) killMaild() {
	b.t.Helper()
	b.typed("mailctl services\r")
	pid := b.shows(clientLimit, `maild +running +(\d+) +0 [^$]*\$`)[1]
	b.typed("kill -9 " + pid + "\r")
	began, told := time.Now(), false
	for time.Since(began) < bootLimit {
		c, err := dialIMAP(b.Addr(993), "ann@example.org", annPassword)
		if err != nil {
			told = true
			time.Sleep(keyAnswer)
			continue
		}
		c.close()
		if told {
			break
		}
	}
	b.t.Logf("mail is served again %.1f s after maild was killed", time.Since(began).Seconds())
	b.typed("mailctl services\r")
	b.shows(clientLimit, `maild +running +\d+ +1 [^$]*\$`)
}

// openMenu opens the console's menu on the serial line.
func (b *box) openMenu() {
	b.t.Helper()
	b.shows(clientLimit, `M: menu`)
	b.typed("m")
	b.shows(clientLimit, `Locked`)
	b.typed(adminPassword + "\r\r")
	b.shows(clientLimit, `Check the mail store`)
}

// choose goes down a menu to an entry and opens it.
func (b *box) choose(entry string) {
	b.t.Helper()
	for line, at := b.marked(-1); !strings.Contains(line, entry); line, at = b.marked(at) {
		b.typed("\x1b[B")
	}
	b.typed("\r")
}

// marked waits until just one line of the screen is marked, another one than
// line before, and returns it with its number. A screen that is being drawn has
// two marks, or none: who takes it for the answer to a key presses the next one
// too early, and ends at another entry than was read.
func (b *box) marked(before int) (line string, at int) {
	b.t.Helper()
	for deadline := time.Now().Add(clientLimit); time.Now().Before(deadline); time.Sleep(keyAnswer) {
		marks := 0
		for i, l := range strings.Split(b.Serial.Screen(), "\n") {
			if strings.HasPrefix(strings.TrimLeft(l, " "), ">") {
				marks, line, at = marks+1, l, i
			}
		}
		if marks == 1 && at != before {
			return line, at
		}
	}
	b.t.Fatalf("no other line is marked than %d; the screen shows:\n%s", before, b.Serial.Screen())
	return "", 0
}
