package imapd

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/conntest"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// patience is how long a test waits for what must come: a loaded machine is no fault.
const patience = 2 * time.Minute

// people is an Authenticator for tests: the password is "secret".
type people struct {
	mu  sync.Mutex
	ids map[string]store.AccountID
}

func (p *people) Authenticate(_ context.Context, login, password string, _ netip.Addr) (*account.User, error) {
	if u := p.user(login); u != nil && password == "secret" {
		return u, nil
	}
	return nil, account.ErrBadCredentials
}

func (p *people) user(login string) *account.User {
	id, err := p.Account(strings.ToLower(login))
	if err != nil {
		return nil
	}
	return &account.User{Account: id, Address: strings.ToLower(login)}
}

// Scram offers an app password that nobody uses beside the password, so that
// the server has to find the one that was proven.
func (p *people) Scram(login string, _ netip.Addr) ([]account.ScramOffer, error) {
	salt := []byte("salt of the test")
	var offers []account.ScramOffer
	for _, password := range []string{"other", "secret"} {
		salted, err := pbkdf2.Key(sha256.New, password, salt, 4096, sha256.Size)
		if err != nil {
			return nil, err
		}
		stored := sha256.Sum256(hmacSHA256(salted, "Client Key"))
		offers = append(offers, account.ScramOffer{ScramKeys: &account.ScramKeys{
			Salt: salt, Iterations: 4096, StoredKey: stored[:], ServerKey: hmacSHA256(salted, "Server Key"),
		}, User: p.user(login)})
	}
	return offers, nil
}

func (p *people) ScramResult(context.Context, string, netip.Addr, *account.User) {}

func (p *people) VerifyToken(_ context.Context, _, token string, _ netip.Addr) (*account.User, error) {
	if u := p.user(strings.TrimPrefix(token, "token-of-")); u != nil {
		return u, nil
	}
	return nil, account.ErrBadCredentials
}

func (p *people) Account(address string) (store.AccountID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id, ok := p.ids[address]; ok {
		return id, nil
	}
	return 0, store.ErrNotFound
}

func (p *people) AddressOf(id store.AccountID) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a, i := range p.ids {
		if i == id {
			return a, true
		}
	}
	return "", false
}

// bench is a server on a store of its own with some people.
type bench struct {
	t      testing.TB
	store  *store.Store
	people *people
	server *Server
}

func newBench(t testing.TB, set func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, store: storetest.New(t), people: &people{ids: map[string]store.AccountID{}}}
	for _, who := range []string{"ann@example.org", "bob@example.org"} {
		id, err := b.store.CreateAccount(context.Background(), store.Quota{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.setPerson(who, id)
	}
	cfg := Config{
		Store: b.store, Accounts: b.people, Sharing: b.people, Tokens: b.people, Version: "test",
		AllowPlaintext: func() bool { return true },
		FailureDelay:   -1,
	}
	if set != nil {
		set(&cfg)
	}
	b.server = New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return b
}

func (b *bench) setPerson(who string, id store.AccountID) {
	b.people.mu.Lock()
	defer b.people.mu.Unlock()
	b.people.ids[who] = id
}

// dial connects a client by an in-memory connection.
func (b *bench) dial() *client { return b.dialIn(b.t) }

// dialIn does so for a test within the bench's.
func (b *bench) dialIn(t testing.TB) *client {
	near, far := net.Pipe()
	go b.server.ServeConn(far)
	return newClient(t, near)
}

// client is the client's end of a conversation.
type client struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
	n  int
	at string // where the conversation is, for failures
}

func newClient(t testing.TB, nc net.Conn) *client {
	t.Cleanup(func() { nc.Close() })
	return &client{t: t, nc: nc, r: bufio.NewReaderSize(nc, 64<<10)}
}

func (c *client) send(s string) {
	c.t.Helper()
	c.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c.nc, s); err != nil {
		c.t.Fatalf("%s: send %q: %v", c.at, s, err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(patience))
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%s: read: %v (after %q)", c.at, err, s)
	}
	return strings.TrimSuffix(s, "\r\n")
}

// command sends a command and returns the lines up to its tagged response, that one included.
func (c *client) command(text string) []string {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	c.send(tag + " " + text + "\r\n")
	var lines []string
	for {
		l := c.line()
		lines = append(lines, l)
		if strings.HasPrefix(l, tag+" ") {
			return lines
		}
	}
}

// ok is command that must succeed.
func (c *client) ok(text string) []string {
	c.t.Helper()
	lines := c.command(text)
	if last := lines[len(lines)-1]; !strings.Contains(last, " OK") {
		c.t.Fatalf("%s: %s", text, last)
	}
	return lines
}

func (c *client) login(who string) {
	c.t.Helper()
	c.line()
	c.ok("LOGIN " + who + " secret")
}

// append puts a message into a mailbox.
func (c *client) append(mailbox, args string, msg []byte) string {
	c.t.Helper()
	lines := c.ok(fmt.Sprintf("APPEND %s %s{%d+}\r\n%s", mailbox, args, len(msg), msg))
	return lines[len(lines)-1]
}

// TestConversations plays the conversations in testdata/*.imap. A file is a
// list of lines:
//
//	C: text     the client sends text and CRLF
//	C< file     the client sends testdata/file and CRLF
//	S: pattern  the server's next line
//	S>: pattern lines are passed over until one matches
//	S-          the server closes the connection
//	@login who  logs in, before or instead of saying so in lines
//	@starttls   the client's side of a TLS handshake
//	@load who mailbox file
//	            another client of that person appends the messages of a file
//	            in mbox form; what follows an address in a "From " line are
//	            APPEND's flags and date
//	@compress   the client's side of COMPRESS
//
// "C2:", "S2:" and so on stand for further connections. In a pattern "..." matches
// anything and ${name} anything without a space or bracket, and from then on, in C: lines
// too, what it matched. {<file} is the size of testdata/file in braces.
// Connections without @login begin with the greeting.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.imap")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".imap"), func(t *testing.T) {
			t.Parallel()
			play(t, file)
		})
	}
}

func play(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	plain := true
	b := newBench(t, func(c *Config) {
		c.TLS = conntest.ServerTLS(t)
		c.AllowPlaintext = func() bool { return plain }
		c.AppendLimit = func() int64 { return 1 << 20 }
		c.PerPerson = 4
	})
	if bytes.Contains(text, []byte("@notplain")) {
		plain = false
	}
	clients := map[string]*client{}
	at := func(n string) *client {
		if clients[n] == nil {
			clients[n] = b.dial()
		}
		return clients[n]
	}
	vars := map[string]string{}
	expand := func(s string) string {
		return regexp.MustCompile(`\$\{[a-z0-9]+\}`).ReplaceAllStringFunc(fileSize(t, s), func(m string) string {
			return vars[m[2:len(m)-1]]
		})
	}
	form := regexp.MustCompile(`^([CS])([0-9]*)([:<>-]+)\s?(.*)$`)
	for i, l := range strings.Split(string(text), "\n") {
		where := fmt.Sprintf("%s:%d", file, i+1)
		l = strings.TrimSuffix(l, "\r")
		if strings.TrimSpace(l) == "" || strings.HasPrefix(l, "#") {
			continue
		}
		if word, arg, _ := strings.Cut(l, " "); strings.HasPrefix(word, "@") {
			switch {
			case strings.HasPrefix(word, "@login"):
				at(strings.TrimPrefix(word, "@login")).login(arg)
			case strings.HasPrefix(word, "@starttls"):
				c := at(strings.TrimPrefix(word, "@starttls"))
				c.nc = tls.Client(c.nc, conntest.ClientTLS())
				c.r = bufio.NewReader(c.nc)
			case strings.HasPrefix(word, "@compress"):
				c := at(strings.TrimPrefix(word, "@compress"))
				c.deflate()
			case word == "@load":
				f := strings.Fields(arg)
				b.load(f[0], f[1], readFile(t, f[2]))
			case word == "@quota": // limits: bytes, messages
				var who string
				var q store.Quota
				if _, err := fmt.Sscan(arg, &who, &q.LimitBytes, &q.LimitMessages); err != nil {
					t.Fatalf("%s: %v", where, err)
				}
				if err := b.store.SetQuota(context.Background(), b.people.ids[who], q); err != nil {
					t.Fatalf("%s: %v", where, err)
				}
			case word == "@notplain":
			default:
				t.Fatalf("%s: unknown %s", where, word)
			}
			continue
		}
		m := form.FindStringSubmatch(l)
		if m == nil {
			t.Fatalf("%s: what is %q?", where, l)
		}
		c := at(m[2])
		c.at = where
		arg := m[4]
		switch m[1] + m[3] {
		case "C:":
			c.send(unescape(expand(arg)) + "\r\n")
		case "C<":
			c.send(readFile(t, arg) + "\r\n")
		case "S:", "S>:":
			for {
				got := c.line()
				if match(arg, got, vars) {
					break
				}
				if m[3] == ":" {
					t.Fatalf("%s:\n got %s\nwant %s", where, got, expand(arg))
				}
			}
		case "S-":
			c.nc.SetReadDeadline(time.Now().Add(patience))
			if s, err := c.r.ReadString('\n'); err == nil {
				t.Fatalf("%s: connection is not closed: %s", where, s)
			}
		default:
			t.Fatalf("%s: what is %q?", where, l)
		}
	}
}

// load appends the messages of a mbox.
func (b *bench) load(who, mailbox, mbox string) {
	c := b.dial()
	c.login(who)
	for _, part := range strings.Split("\r\n"+mbox, "\r\nFrom ")[1:] {
		head, msg, _ := strings.Cut(part, "\r\n")
		_, args, _ := strings.Cut(head, " ")
		if args != "" {
			args += " "
		}
		c.append(mailbox, args, []byte(strings.TrimSuffix(msg, "\r\n")+"\r\n"))
	}
	c.ok("LOGOUT")
}

// deflate compresses from here on.
func (c *client) deflate() {
	d := &deflated{Conn: c.nc}
	var err error
	if d.w, err = flate.NewWriter(&d.b, flate.BestSpeed); err != nil {
		c.t.Fatal(err)
	}
	c.nc = d
	c.r = bufio.NewReader(flate.NewReader(c.r))
}

// deflated sends each Write in one piece: the server may answer before it has
// taken all of what ends a block.
type deflated struct {
	net.Conn
	b bytes.Buffer
	w *flate.Writer
}

func (d *deflated) Write(p []byte) (int, error) {
	if _, err := d.w.Write(p); err != nil {
		return 0, err
	}
	if err := d.w.Flush(); err != nil {
		return 0, err
	}
	_, err := d.b.WriteTo(d.Conn)
	return len(p), err
}

// unescape replaces \xNN, for bytes a text file should not hold.
func unescape(s string) string {
	return regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllStringFunc(s, func(h string) string {
		var c byte
		fmt.Sscanf(h[2:], "%x", &c)
		return string([]byte{c})
	})
}

func readFile(t testing.TB, name string) string {
	b, err := os.ReadFile(filepath.Join("testdata", strings.TrimSpace(name)))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n", "\r\n")
}

func fileSize(t *testing.T, s string) string {
	return regexp.MustCompile(`\{<[^}+]+`).ReplaceAllStringFunc(s, func(m string) string {
		return fmt.Sprintf("{%d", len(readFile(t, m[2:])))
	})
}

var placeholder = regexp.MustCompile(`\\\.\\\.\\\.|\\\$\\\{[a-z0-9]+\\\}`)

// match compares a line with a pattern and fills vars.
func match(pattern, line string, vars map[string]string) bool {
	var names []string
	re := placeholder.ReplaceAllStringFunc(regexp.QuoteMeta(unescape(pattern)), func(m string) string {
		if strings.HasPrefix(m, `\.`) {
			return `.*`
		}
		name := m[4 : len(m)-2]
		if v, ok := vars[name]; ok {
			return regexp.QuoteMeta(v)
		}
		names = append(names, name)
		return `([^ \[\]()]+)`
	})
	m := regexp.MustCompile(`^(?s:` + re + `)$`).FindStringSubmatch(line)
	if m == nil {
		return false
	}
	for i, n := range names {
		vars[n] = m[i+1]
	}
	return true
}
