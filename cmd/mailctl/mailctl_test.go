package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/transferapi"
	"pillarbox/appliance/mail/maild"
)

// newCtl makes mailctl for a real maild; run gives exit code, output and errors.
func newCtl(t *testing.T) (run func(stdin string, args ...string) (int, string, string)) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "sock")
	d, err := maild.Open(t.Context(), maild.Config{Data: dir, State: dir, Socket: socket, Listen: "127.0.0.1", AnyPort: true, Small: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	client := mailapi.NewClient(socket)
	t.Cleanup(func() {
		client.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for {
		if s, err := client.Status(t.Context()); err == nil && s.Serving {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return func(stdin string, args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		c := &ctl{
			mail: client, box: boxapi.NewClient(filepath.Join(dir, "none")), init: initapi.NewClient(filepath.Join(dir, "none")),
			transfer: transferapi.NewClient(socket), health: healthapi.NewClient(filepath.Join(dir, "none")),
			socket: socket, in: strings.NewReader(stdin), out: &out, err: &errs,
		}
		code := c.run(t.Context(), args)
		return code, out.String(), errs.String()
	}
}

func TestCommands(t *testing.T) {
	run := newCtl(t)
	for _, tt := range []struct {
		line, stdin string
		code        int
		out, err    string // parts of what is printed
	}{
		{"status", "", 0, "set up            no", ""},
		{"setup mail example.org ann@example.org", "", 1, "", "mail must be a full name such as mail.example.org"},
		{"setup mail.example.org example.org ann", "", 1, "", "ann must be an address"},
		{"setup mail.example.org example.org ann@example.net", "admin's own words\nann's own words\n", 1, "", "must be in the domain example.org"},
		{"setup mail.example.org example.org ann@example.org --name Ann", "admin's own words\nann's own words\n", 0, "", ""},
		{"passwd nobody@example.org", "", 1, "", "nobody has the address nobody@example.org"},
		{"user add bob", "", 1, "", "bob must be an address such as"},
		{"setup mail.example.org example.org ann@example.org", "admin's own words\nann's own words\n", 1, "", "set up"},
		{"status", "", 0, "mail.example.org", ""},
		{"user list", "", 0, "ann@example.org", ""},
		{"user add bob@example.org --quota 5GB --name Bob", "short\n", 1, "", "password"},
		{"user add bob@example.org --quota 5GB --name Bob", "bob's own words\n", 0, "", ""},
		{"user add bob@example.org", "bob's own words\n", 1, "", "bob@example.org"},
		{"user show bob@example.org", "", 0, "Bob", ""},
		{"user set bob@example.org --quota 0 --close", "", 0, "", ""},
		{"user show bob@example.org", "", 0, "closed", ""},
		{"user set bob@example.org --messages 1000", "", 0, "", ""},
		{"user show bob@example.org", "", 0, "limit of messages  1000", ""},
		{"user set bob@example.org --messages -5", "", 1, "", "must not be negative"},
		{"user show nobody@example.org", "", 1, "", "nobody@example.org"},
		{"passwd bob@example.org", "other own words\n", 0, "", ""},
		{"app-password add bob@example.org Phone", "", 0, "-", ""},
		{"app-password add bob@example.org Phone", "", 1, "", "already"},
		{"app-password list bob@example.org", "", 0, "Phone", ""},
		{"app-password remove bob@example.org Phone", "", 0, "", ""},
		{"app-password remove bob@example.org Phone", "", 1, "", "no app password"},
		{"app-password list", "", 2, "", "takes 1 argument, not 0\nUsage: mailctl app-password list ADDRESS\n"},
		{"passwd admin", "other own words\n", 0, "", ""},
		{"hash", "some own words\n", 0, "$argon2id$", ""},
		{"hash", "short\n", 1, "", "at least"},
		{"domain add example.net", "", 0, "", ""},
		{"domain list", "", 0, "example.net", ""},
		{"domain add bücher.example", "", 0, "", ""},
		{"domain list", "", 0, "\nbücher.example  0", ""},
		{"alias add info@bücher.example ann@example.org", "", 0, "", ""},
		{"alias list", "", 0, "info@bücher.example  ann@example.org", ""},
		{"alias remove info@bücher.example", "", 0, "", ""},
		{"domain remove bücher.example", "", 0, "", ""},
		{"domain remove example.org", "", 1, "", "example.org"},
		{"domain rename example.net example.org", "", 1, "", "example.org is one of the domains already"},
		{"domain rename example.net example.com", "", 0, "", ""},
		{"domain rename example.com example.net --keep", "", 0, "", ""},
		{"domain remove example.com", "", 0, "", ""},
		{"domain remove example.net", "", 0, "", ""},
		{"alias add info@example.org ann@example.org", "", 0, "", ""},
		{"alias set info@example.org bob@example.org", "", 0, "", ""},
		{"alias list", "", 0, "bob@example.org", ""},
		{"group add all@example.org ann@example.org", "", 0, "", ""},
		{"group join all@example.org bob@example.org", "", 0, "", ""},
		{"group list", "", 0, "ann@example.org, bob@example.org", ""},
		{"group leave all@example.org bob@example.org", "", 0, "", ""},
		{"group remove all@example.org", "", 0, "", ""},
		{"alias remove info@example.org", "", 0, "", ""},
		{"user remove bob@example.org", "", 1, "", "--yes"},
		{"user remove bob@example.org --yes", "", 0, "", ""},
		{"queue", "", 0, "LAST ERROR", ""},
		{"queue retry 5", "", 1, "", "mailctl queue: nothing with the number 5 is on its way out\n"},
		{"queue retry five", "", 2, "", "five"},
		{"settings smart_host=smtp.example.net:587 max_message_size=20MiB", "", 0, "", ""},
		{"settings", "", 0, "20MiB", ""},
		{"settings", "", 0, "undelete_days               14", ""},
		{"settings undelete_days=30", "", 0, "", ""},
		{"settings", "", 0, "undelete_days               30", ""},
		{"settings undelete_days=month", "", 1, "", "must be a number"},
		{"settings nonsense=1", "", 2, "", "max_message_size, undelete_days"},
		{"settings undelete_days=1000", "", 1, "", "between 0 and 365"},
		{"settings nonsense=1", "", 2, "", "nonsense"},
		{"settings allow_plaintext_login=perhaps", "", 1, "", "true or false"},
		{"certificate", "", 0, "mail.example.org", ""},
		{"certificate --authority", "", 0, "BEGIN CERTIFICATE", ""},
		{"certificate show --authority", "", 0, "BEGIN CERTIFICATE", ""},
		{"certificate", "", 0, "source      the box's own authority", ""},
		{"certificate import", "", 1, "", "certificate_pem: is missing"},
		{"certificate import mailctl_test.go", "", 1, "", "The certificate is not in PEM"},
		{"certificate import not-there.pem", "", 1, "", "no such file"},
		{"certificate import a b c", "", 2, "", "takes up to 2 files, not 3"},
		{"certificate acme --email ann", "", 1, "", "email"},
		{"certificate acme --email ann@example.org --directory https://127.0.0.1:1/", "", 0, "", "Port 80 has to be reachable"},
		{"certificate", "", 0, "directory   https://127.0.0.1:1/", ""},
		{"certificate", "", 0, "in place of the chosen one: a public authority", ""},
		{"certificate own", "", 0, "", ""},
		{"certificate bought", "", 2, "", "mailctl certificate: \"bought\" is not known\nUsage: mailctl certificate show [--authority]"},
		{"certificate acme --help", "", 0, "", "Usage: mailctl certificate acme [--email ADDRESS] [--directory URL]\n"},
		{"check --bodies", "", 0, "0 problems", ""},
		{"events", "", 0, "the box was set up", ""},
		{"backup --list", "", 0, "", ""},
		{"services", "", 1, "", "none (no such file or directory)\n"},
		{"user frobnicate x", "", 2, "", "mailctl user: \"frobnicate\" is not known\nUsage: mailctl user list\n"},
		{"user add", "", 2, "", "mailctl user add: takes 1 argument, not 0\nUsage: mailctl user add ADDRESS"},
		{"user add --help", "", 0, "", "Usage: mailctl user add ADDRESS [--name NAME] [--quota SIZE] [--admin]\n  -admin\n"},
		{"user --help", "", 0, "", "mailctl user show ADDRESS\n"},
		{"user list --nonsense", "", 2, "", "-nonsense\nUsage: mailctl user list\n"},
		{"user set ann@example.org", "", 2, "", "does not say what to change"},
		{"user set ann@example.org --close --open", "", 2, "", "contradict"},
		{"group join all@example.org", "", 2, "", "one member or more"},
		{"status now", "", 2, "", "mailctl status: takes 0 arguments, not 1\nUsage: mailctl status\n"},
		{"passwd --help", "", 0, "", "Usage: mailctl passwd ADDRESS | admin\n"},
		{"passwd ann@example.org", "", 1, "", "cannot read a password"},
		{"frobnicate", "", 2, "", "frobnicate"},
		{"", "", 2, "", "command is missing"},
	} {
		code, out, errs := run(tt.stdin, strings.Fields(tt.line)...)
		if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.err) {
			t.Errorf("mailctl %s: %d\n%s%s\nwant %d, %q and %q", tt.line, code, out, errs, tt.code, tt.out, tt.err)
		}
	}
}

// TestFormsAreOfCommands holds the forms to commands that there are, and to the
// options those know.
func TestFormsAreOfCommands(t *testing.T) {
	for name, lines := range forms() {
		cmd, ok := find(name)
		if !ok {
			t.Errorf("there is no command %s", name)
			continue
		}
		for _, line := range lines {
			words := strings.Fields(strings.TrimPrefix(line, name))
			if !strings.HasPrefix(line, name+" ") || !strings.Contains(cmd.args, words[0]) {
				t.Errorf("%q is not of %s %s", line, name, cmd.args)
			}
			var errs bytes.Buffer
			if code := (&ctl{err: &errs}).run(t.Context(), []string{name, words[0], "--help"}); code != exitOK {
				t.Errorf("%s %s --help: %d\n%s", name, words[0], code, errs.String())
			}
			for _, option := range regexp.MustCompile(`--([a-z]+)`).FindAllStringSubmatch(line, -1) {
				if !strings.Contains(errs.String(), "\n  -"+option[1]) {
					t.Errorf("%q: there is no such option:\n%s", line, errs.String())
				}
			}
		}
	}
}

func TestTransfers(t *testing.T) {
	run := newCtl(t)
	do := func(want int, part, stdin string, args ...string) {
		t.Helper()
		code, out, errs := run(stdin, args...)
		if code != want || !strings.Contains(out+errs, part) {
			t.Errorf("mailctl %s: %d\n%s%s\nwant %d, %q", strings.Join(args, " "), code, out, errs, want, part)
		}
	}
	do(0, "", "admin's own words\nann's own words\n", "setup", "mail.example.org", "example.org", "ann@example.org")
	dir := t.TempDir()
	mbox := filepath.Join(dir, "old.mbox")
	content := "From x Thu Jan  1 00:00:00 2026\nFrom: x@example.org\nSubject: one\n\nhello\n\nFrom x Thu Jan  1 00:00:00 2026\nSubject: two\nStatus: RO\n\n>From here\n\n"
	if err := os.WriteFile(mbox, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	do(0, "2 messages imported, 0 were there already, 0 failed", "", "import", "ann@example.org", mbox)
	do(0, "0 messages imported, 2 were there already", "", "import", "ann@example.org", mbox)
	do(1, "nobody@example.org", "", "import", "nobody@example.org", mbox)
	do(1, "no such file", "", "import", "ann@example.org", filepath.Join(dir, "none"))
	do(1, "import: lstat "+filepath.Join(dir, "none"), "", "import", "ann@example.org", filepath.Join(dir, "none"), "--format", "mbox")
	do(2, `format "mbx" is none of`, "", "import", "ann@example.org", mbox, "--format", "mbx")
	do(1, "not a usable mailbox name", "", "import", "ann@example.org", mbox, "--into", "a//b")
	tree := filepath.Join(dir, "tree")
	for name, text := range map[string]string{"Work": content, "Notes": "no mail"} {
		if err := os.MkdirAll(tree, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	do(1, filepath.Join(tree, "Notes")+"  not an mbox", "", "import", "ann@example.org", tree, "--into", "Kept")
	out := filepath.Join(dir, "out")
	do(0, "4 messages written, 0 could not", "", "export", "ann@example.org", out, "--format", "eml")
	do(0, "2 messages written, 0 could not", "", "export", "ann@example.org", filepath.Join(dir, "o1"), "--mailbox", "Kept")
	do(1, "not empty", "", "export", "ann@example.org", out)
	do(1, `export: mailbox "None": store: not found`, "", "export", "ann@example.org", filepath.Join(dir, "o2"), "--mailbox", "None")
	do(2, `format "zip" is none of`, "", "export", "ann@example.org", filepath.Join(dir, "o3"), "--format", "zip")
	do(0, "SUBJECT", "", "expunged", "ann@example.org", "--since", "48h")
	do(2, "--since", "", "undelete", "ann@example.org")
	do(2, "either ids or --since", "", "undelete", "ann@example.org", "5-5-5", "--since", "48h")
	do(1, "no id", "", "undelete", "ann@example.org", "rubbish")
	do(1, "1 are not among what can be brought back", "", "undelete", "ann@example.org", "5-5-5", "5-5-5")
	do(0, "0 messages are back", "", "undelete", "ann@example.org", "--since", "2026-01-01")
	do(2, "no time", "", "undelete", "ann@example.org", "--since", "yesterday-ish")
	do(0, "in the background", "", "reindex", "ann@example.org")
	do(1, "mailctl health", "", "health")
}

// The screen of the box has 80 columns.
func TestHelpFitsOnTheScreen(t *testing.T) {
	var b strings.Builder
	usage(flag.NewFlagSet("mailctl", flag.ContinueOnError), &b)
	for line := range strings.Lines(b.String()) {
		if len(line) > 80 {
			t.Errorf("too long: %q", line)
		}
	}
	for _, c := range commands() {
		if !strings.Contains(b.String(), "\n  "+c.name+" ") {
			t.Errorf("%s is missing", c.name)
		}
	}
}
