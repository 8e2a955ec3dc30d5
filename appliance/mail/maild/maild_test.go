package maild

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
)

// running is a daemon under test with its API.
type running struct {
	*mailapi.Client
	t    *testing.T
	dir  string
	stop func()
	addr map[string]string // by the names of the ports
}

func start(t *testing.T, dir, provision string, change ...func(*Config)) *running {
	t.Helper()
	cfg := Config{
		Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Provision: provision, Socket: filepath.Join(dir, "sock"),
		Listen: "127.0.0.1", AnyPort: true, AllowLoopback: true, Small: true, Version: "test",
	}
	for _, fn := range change {
		fn(&cfg)
	}
	d, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	r := &running{Client: mailapi.NewClient(filepath.Join(dir, "sock")), t: t, dir: dir, addr: map[string]string{}}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		r.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(r.stop)
	for {
		s, err := r.Status(t.Context())
		if err == nil && s.Serving {
			for _, l := range s.Listeners {
				r.addr[l.Name] = l.Addr
			}
			return r
		}
		select {
		case err := <-done:
			t.Fatalf("ended before it served: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// setUp makes a fresh box that of example.org with ann.
func (r *running) setUp() {
	r.t.Helper()
	err := r.Setup(r.t.Context(), mailapi.Setup{
		Hostname: "mail.example.org", Domain: "example.org", AdminAddress: "ann@example.org", AdminPassword: "admin's own words",
		FirstUser: &mailapi.FirstUser{Address: "ann@example.org", Name: "Ann", Password: "ann's own words"},
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func insecure() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "mail.example.org"}
}

// submit sends a message as ann through the submission port.
func (r *running) submit(to, subject string) error {
	c, err := smtp.Dial(r.addr["submission"])
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.StartTLS(insecure()); err != nil {
		return err
	}
	if err := c.Auth(smtp.PlainAuth("", "ann@example.org", "ann's own words", "127.0.0.1")); err != nil {
		return err
	}
	return send(c, "ann@example.org", to, subject)
}

// exchange sends a message as a server elsewhere does.
func (r *running) exchange(to, subject string) error {
	c, err := smtp.Dial(r.addr["smtp"])
	if err != nil {
		return err
	}
	defer c.Close()
	return send(c, "x@elsewhere.example", to, subject)
}

func send(c *smtp.Client, from, to, subject string) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nSubject: %s\r\n\r\nhello\r\n", from, to, subject)
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// line speaks a line protocol over TLS.
type line struct {
	t *testing.T
	*textproto.Conn
}

func (r *running) dialTLS(name string) line {
	r.t.Helper()
	c, err := tls.Dial("tcp", r.addr[name], insecure())
	if err != nil {
		r.t.Fatal(err)
	}
	l := line{r.t, textproto.NewConn(c)}
	r.t.Cleanup(func() { l.Close() })
	return l
}

// say sends a command and reads up to a line that begins with end.
func (l line) say(command, end string) string {
	l.t.Helper()
	if command != "" {
		if err := l.PrintfLine("%s", command); err != nil {
			l.t.Fatal(err)
		}
	}
	var all []string
	for {
		s, err := l.ReadLine()
		if err != nil {
			l.t.Fatalf("%s: %v after %q", command, err, all)
		}
		all = append(all, s)
		if strings.HasPrefix(s, end) {
			return strings.Join(all, "\n")
		}
	}
}

func TestFromSetupToMailbox(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, "")
	r.setUp()
	if err := r.Setup(t.Context(), mailapi.Setup{Hostname: "x.example.org", Domain: "example.org", AdminAddress: "x@example.org", AdminPassword: "other words here"}); err == nil {
		t.Error("the box was set up twice")
	}
	if err := r.submit("ann@example.org", "first"); err != nil {
		t.Fatal(err)
	}
	// From outside, by port 25; never onwards.
	if err := r.exchange("postmaster@example.org", "second"); err != nil {
		t.Error(err)
	}
	var te *textproto.Error
	if err := r.exchange("x@other.example", "onwards"); !errors.As(err, &te) || te.Code != 550 {
		t.Errorf("relaying: %v", err)
	}
	check := func(r *running) {
		imap := r.dialTLS("imaps")
		imap.say("", "* OK")
		imap.say("a LOGIN ann@example.org \"ann's own words\"", "a OK")
		if got := imap.say("b SELECT INBOX", "b OK"); !strings.Contains(got, "* 2 EXISTS") {
			t.Errorf("SELECT: %s", got)
		}
		if got := imap.say("c FETCH 1:* (ENVELOPE)", "c OK"); !strings.Contains(got, "\"first\"") || !strings.Contains(got, "\"second\"") {
			t.Errorf("FETCH: %s", got)
		}
		pop := r.dialTLS("pop3s")
		pop.say("", "+OK")
		pop.say("USER ann@example.org", "+OK")
		pop.say("PASS ann's own words", "+OK")
		if got := pop.say("STAT", "+OK"); !strings.HasPrefix(got, "+OK 2 ") {
			t.Errorf("STAT: %s", got)
		}
		report, err := r.Check(t.Context(), mailapi.CheckRequest{Bodies: true}, nil)
		if err != nil || report.Messages != 2 || len(report.Problems) != 0 {
			t.Errorf("check: %+v, %v", report, err)
		}
		s, err := r.Status(t.Context())
		if err != nil || s.Messages != 2 || s.Users != 1 || s.Domains != 1 || !s.SetupDone || s.Hostname != "mail.example.org" {
			t.Errorf("status: %+v, %v", s, err)
		}
	}
	check(r)
	for about, want := range map[string]int{"ann@example.org": 1, "nobody@example.org": 0, "0123456789abcdef": 0} {
		if list, err := r.Trace(t.Context(), about); err != nil || len(list) != want {
			t.Errorf("trace of %s: %+v, %v, want %d messages", about, list, err, want)
		}
	}
	list, err := r.Trace(t.Context(), "postmaster@")
	if err != nil || len(list) != 1 || list[0].Steps[0].Kind != "accepted" || list[0].Steps[0].Recipients[0].Mailboxes != 1 {
		t.Fatalf("trace: %+v, %v", list, err)
	}
	if same, err := r.Trace(t.Context(), list[0].ID); err != nil || len(same) != 1 || same[0].ID != list[0].ID {
		t.Errorf("trace of %s: %+v, %v", list[0].ID, same, err)
	}
	idle := r.dialTLS("imaps")
	idle.say("", "* OK")
	r.stop()
	if got := idle.say("", "*"); !strings.HasPrefix(got, "* BYE") {
		t.Errorf("at the shutdown a client heard %s", got)
	}
	check(start(t, dir, ""))
}

// TestNewPasswordEndsSubmission checks that who has the old password sends
// nothing more, not even where the session was there before.
func TestNewPasswordEndsSubmission(t *testing.T) {
	r := start(t, t.TempDir(), "")
	r.setUp()
	c, err := smtp.Dial(r.addr["submission"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(insecure()); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(smtp.PlainAuth("", "ann@example.org", "ann's own words", "127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if err := r.SetPassword(t.Context(), "ann@example.org", mailapi.Password{Password: "ann's newer words"}); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Text.ReadResponse(250) // what the server says by itself
	var reply *textproto.Error
	if !errors.As(err, &reply) || reply.Code != 421 {
		t.Errorf("the session goes on: %v", err)
	}
}

func TestMailElsewhereWaitsAndCanBeDropped(t *testing.T) {
	r := start(t, t.TempDir(), "")
	r.setUp()
	host := "127.0.0.1:1" // nobody is there
	if _, err := r.ChangeSettings(t.Context(), mailapi.SettingsChange{SmartHost: &host}); err != nil {
		t.Fatal(err)
	}
	if err := r.submit("x@other.example", "out"); err != nil {
		t.Fatal(err)
	}
	q, err := r.Queue(t.Context())
	if err != nil || len(q) != 1 || q[0].Recipient != "x@other.example" || q[0].Sender != "ann@example.org" {
		t.Fatalf("queue: %+v, %v", q, err)
	}
	if err := r.RetryQueued(t.Context(), q[0].ID); err != nil {
		t.Error(err)
	}
	if err := r.DeleteQueued(t.Context(), q[0].ID); err != nil {
		t.Error(err)
	}
	var we *wire.Error
	if err := r.DeleteQueued(t.Context(), 999); !errors.As(err, &we) || we.Code != wire.CodeNotFound {
		t.Errorf("dropping what is not there: %v", err)
	}
}

// TestSmartHost has a server of the test take what goes out.
func TestSmartHost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		var b strings.Builder
		in := bufio.NewReader(c)
		fmt.Fprint(c, "220 sink\r\n")
		for data := false; ; {
			s, err := in.ReadString('\n')
			if err != nil {
				return
			}
			b.WriteString(s)
			switch {
			case data && s == ".\r\n":
				data = false
				fmt.Fprint(c, "250 ok\r\n")
				got <- b.String()
			case data:
			case strings.HasPrefix(s, "DATA"):
				data = true
				fmt.Fprint(c, "354 go\r\n")
			case strings.HasPrefix(s, "QUIT"):
				fmt.Fprint(c, "221 bye\r\n")
				return
			default:
				fmt.Fprint(c, "250 ok\r\n")
			}
		}
	}()
	r := start(t, t.TempDir(), "")
	r.setUp()
	host := l.Addr().String()
	if _, err := r.ChangeSettings(t.Context(), mailapi.SettingsChange{SmartHost: &host}); err != nil {
		t.Fatal(err)
	}
	if err := r.submit("x@other.example", "out"); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-got:
		if !strings.Contains(s, "RCPT TO:<x@other.example>") || !strings.Contains(s, "Subject: out") {
			t.Errorf("the smart host got %s", s)
		}
	case <-time.After(5 * time.Minute):
		t.Fatal("the smart host got nothing")
	}
}

func TestProvisioning(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "provision.toml")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[box]\nhostname = \"mail.example.org\"\nnonsense = 1\n")
	r := start(t, dir, file)
	s, err := r.Status(t.Context())
	if err != nil || s.SetupDone {
		t.Errorf("set up by a wrong file: %+v, %v", s, err)
	}
	if len(s.LastEvents) == 0 || !strings.Contains(s.LastEvents[len(s.LastEvents)-1].Text, "line 3") {
		t.Errorf("what is wrong is not told: %+v", s.LastEvents)
	}
	r.stop()
	write("[box]\nhostname = \"mail.example.org\"\nadmin_password = \"admin's own words\"\n[[domain]]\nname = \"example.org\"\n[[user]]\naddress = \"ann@example.org\"\npassword = \"ann's own words\"\n")
	r = start(t, dir, file)
	if s, err := r.Status(t.Context()); err != nil || !s.SetupDone || s.Users != 1 {
		t.Errorf("after provisioning: %+v, %v", s, err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the file with its passwords is still there")
	}
	if err := r.VerifyAdmin(t.Context(), mailapi.AdminLogin{Password: "admin's own words"}); err != nil {
		t.Error(err)
	}
	if err := r.submit("ann@example.org", "x"); err != nil {
		t.Error(err)
	}
}

// TestProvisioningIsKept applies a developer's file at each start.
func TestProvisioningIsKept(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "provision.toml")
	if err := os.WriteFile(file, []byte("[box]\nhostname = \"mail.example.org\"\n[[domain]]\nname = \"example.org\"\n[[user]]\naddress = \"ann@example.org\"\npassword = \"ann's own words\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d, err := Open(t.Context(), Config{Data: dir, State: dir, Provision: file, KeepProvision: true, Small: true})
		if err != nil {
			t.Fatal(err)
		}
		if users, err := d.people.Users(t.Context()); err != nil || len(users) != 1 {
			t.Errorf("people: %+v, %v", users, err)
		}
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
}

func TestEncryptedStore(t *testing.T) {
	dir := t.TempDir()
	file, key := filepath.Join(dir, "provision.toml"), filepath.Join(dir, "state", "store.key")
	settings := "[box]\nhostname = \"mail.example.org\"\n[mail]\nencrypt_store = true\n[[domain]]\nname = \"example.org\"\n[[user]]\naddress = \"ann@example.org\"\npassword = \"ann's own words\"\n"
	write := func(path, s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, settings)
	r := start(t, dir, file)
	if err := r.submit("ann@example.org", "x"); err != nil {
		t.Error(err)
	}
	r.stop()
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key: %v, %v", info, err)
	}
	right, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(why string) {
		t.Helper()
		d, err := Open(t.Context(), Config{Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Small: true})
		if err == nil {
			t.Fatal(errors.Join(errors.New("opened"), d.store.Close()))
		}
		if !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), key) {
			t.Errorf("%v, which does not say %q and name the file", err, why)
		}
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	refused("is not there")
	write(key, strings.Repeat("ab", 32)+"\n")
	refused("is not its key")
	write(key, "secret\n")
	refused("64 hexadecimal digits")
	write(key, string(right))
	r = start(t, dir, "")
	if s, err := r.Status(t.Context()); err != nil || s.Messages != 1 {
		t.Errorf("with its key again: %+v, %v", s, err)
	}
	r.stop()

	// A store that is there stays as it is, and the owner hears of it.
	dir = t.TempDir()
	start(t, dir, "").stop()
	write(file, settings)
	r = start(t, dir, file)
	s, err := r.Status(t.Context())
	if err != nil || s.Users != 1 || !slices.ContainsFunc(s.LastEvents, func(e mailapi.Event) bool { return strings.Contains(e.Text, "encrypt_store") }) {
		t.Errorf("late: %+v, %v", s, err)
	}
}

func TestPortInUse(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := Open(t.Context(), Config{
		Data: dir, State: dir, Socket: filepath.Join(dir, "sock"), Listen: "127.0.0.1",
		PortOffset: l.Addr().(*net.TCPAddr).Port - 25, Small: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "smtp") {
		t.Errorf("a port in use: %v", err)
	}
}
