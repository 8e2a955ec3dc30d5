package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	domain   = "bench.example"
	users    = 50
	password = "bench-pass"
	// startTime bounds how long a server may take to answer on its ports.
	startTime = 60 * time.Second
)

func user(n int) string { return fmt.Sprintf("u%d@%s", n%users+1, domain) }

// server is a mail server under measurement, running on an empty store.
type server struct {
	name        string
	smtp        string // address of port 25
	submission  string // 465, "" where not measured
	imap        string
	imaps       string // 993, "" where not measured
	pids        []int
	delivered   func() (int, error) // messages in mailboxes, nil: the 250 says so
	maildirRoot string
	stop        func() error
}

func (s *server) cpu() (time.Duration, error) { return treeCPU(s.pids...) }

// startPillarbox starts maild on a fresh store with the bench's people.
func (b *bench) startPillarbox(ctx context.Context) (*server, error) {
	dir := filepath.Join(b.dir, "pillarbox")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var p bytes.Buffer
	fmt.Fprintf(&p, "[box]\nhostname = \"mail.%s\"\nadmin_password = %q\n[mail]\nallow_plaintext_login = true\n[[domain]]\nname = %q\n", domain, password+"-admin", domain)
	for n := range users {
		fmt.Fprintf(&p, "[[user]]\naddress = %q\npassword = %q\n", user(n), password)
	}
	provision := filepath.Join(dir, "provision.toml")
	if err := os.WriteFile(provision, p.Bytes(), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "maild.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	const offset = 32000
	if err := free(addr(25+offset), addr(143+offset)); err != nil {
		return nil, err
	}
	cmd := exec.Command(b.maild, "--dev", "--data", filepath.Join(dir, "data"), "--provision", provision, "--port-offset", strconv.Itoa(offset))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{
		name: "Pillarbox", pids: []int{cmd.Process.Pid},
		smtp: addr(25 + offset), submission: addr(465 + offset), imap: addr(143 + offset), imaps: addr(993 + offset),
	}
	s.stop = func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return cmd.Wait()
	}
	if err := waitFor(ctx, s.smtp, s.imap); err != nil {
		return nil, errors.Join(fmt.Errorf("maild: %w; see %s", err, log.Name()), s.stop())
	}
	return s, nil
}

// startPeer starts Postfix and Dovecot on empty mailboxes.
func (b *bench) startPeer(ctx context.Context) (*server, error) {
	dir := filepath.Join(b.dir, "peer")
	out, err := exec.CommandContext(ctx, b.peer, "start", dir).Output()
	if err != nil {
		return nil, fmt.Errorf("%s start: %w", b.peer, err)
	}
	s := &server{name: "Postfix+Dovecot", smtp: addr(31025), imap: addr(31143), maildirRoot: filepath.Join(dir, "dovecot", "mail")}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 2 {
			if pid, err := strconv.Atoi(f[1]); err == nil {
				s.pids = append(s.pids, pid)
			}
		}
	}
	if len(s.pids) != 2 {
		return nil, fmt.Errorf("%s start printed %q, want two process ids", b.peer, out)
	}
	s.stop = func() error { return exec.Command(b.peer, "stop", dir).Run() }
	s.delivered = func() (int, error) { return countMaildirs(s.maildirRoot) }
	if err := waitFor(ctx, s.smtp, s.imap); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func countMaildirs(root string) (int, error) {
	boxes, err := os.ReadDir(root)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, box := range boxes {
		files, err := os.ReadDir(filepath.Join(root, box.Name(), "new"))
		if err != nil && !os.IsNotExist(err) {
			return 0, err
		}
		n += len(files)
	}
	return n, nil
}

func addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// free makes sure that it is our server that will answer.
func free(addrs ...string) error {
	for _, a := range addrs {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// waitFor waits until each address greets.
func waitFor(ctx context.Context, addrs ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for _, a := range addrs {
		for {
			conn, err := net.Dial("tcp", a)
			if err == nil {
				conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				_, err = bufio.NewReader(conn).ReadString('\n')
				conn.Close()
				if err == nil {
					break
				}
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s does not answer: %w", a, err)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// smtpConn is the plainest SMTP client: the same for every server.
type smtpConn struct {
	net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

// smtpMode says how a message is handed in.
type smtpMode struct {
	implicitTLS bool
	login       string // AUTH PLAIN as this user
	keepOpen    bool   // all messages of a worker over one connection
}

func dialSMTP(address string, m smtpMode) (*smtpConn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if m.implicitTLS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // loopback, the server's own certificate
	}
	c := &smtpConn{conn, bufio.NewReader(conn), bufio.NewWriterSize(conn, 64<<10)}
	if err := c.expect(220); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := c.cmd(250, "EHLO client.elsewhere.example"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if m.login != "" {
		if err := c.cmd(235, "AUTH PLAIN "+plain(m.login, password)); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return c, nil
}

func (c *smtpConn) cmd(code int, line string) error {
	c.w.WriteString(line)
	c.w.WriteString("\r\n")
	if err := c.w.Flush(); err != nil {
		return err
	}
	return c.expect(code)
}

func (c *smtpConn) expect(code int) error {
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		if len(line) >= 4 && line[3] == '-' {
			continue
		}
		if got, err := strconv.Atoi(line[:min(3, len(line))]); err != nil || got != code {
			return fmt.Errorf("answer %q, want %d", strings.TrimSpace(line), code)
		}
		return nil
	}
}

func (c *smtpConn) send(from, to string, msg []byte) error {
	if err := c.cmd(250, "MAIL FROM:<"+from+">"); err != nil {
		return err
	}
	if err := c.cmd(250, "RCPT TO:<"+to+">"); err != nil {
		return err
	}
	if err := c.cmd(354, "DATA"); err != nil {
		return err
	}
	c.w.Write(msg)
	return c.cmd(250, ".")
}

func (c *smtpConn) quit() error {
	err := c.cmd(221, "QUIT")
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, c.Close())
}
