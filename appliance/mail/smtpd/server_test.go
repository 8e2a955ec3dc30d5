package smtpd

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"pillarbox/appliance/mail/conntest"
	"pillarbox/appliance/mail/delivery"
	"pillarbox/appliance/mail/sessions"
	"pillarbox/appliance/store/store"
)

// transaction opens a message to ann@example.org up to the reply to DATA.
func transaction(t *testing.T, c *client) {
	t.Helper()
	for _, step := range [][2]string{
		{"", "220"}, {"HELO client.example", "250"}, {"MAIL FROM:<a@elsewhere.example>", "250"}, {"RCPT TO:<ann@example.org>", "250"}, {"DATA", "354"},
	} {
		if step[0] != "" {
			c.send(step[0] + "\r\n")
		}
		if got := c.reply(); !strings.HasPrefix(got, step[1]) {
			t.Fatalf("%q: %s", step[0], got)
		}
	}
}

func TestShutdownTellsIdleClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(Config{})
		c := s.dial(t, false)
		c.reply()
		synctest.Wait()
		s.stop(t)
		if got := c.line(); got != "421 4.3.2 System is shutting down" {
			t.Errorf("idle client is told %q", got)
		}
		if got := c.line(); got != "<closed>" {
			t.Errorf("and then %q", got)
		}
	})
}

func TestShutdownLetsMessagesFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(Config{})
		c := s.dial(t, false)
		transaction(t, c)
		c.send("Subject: x\r\n")
		done := make(chan error)
		go func() { done <- s.Shutdown(t.Context()) }()
		synctest.Wait()
		c.send("\r\nbody\r\n.\r\n")
		if got := c.line(); !strings.HasPrefix(got, "250 ") {
			t.Errorf("message under way at shutdown: %s", got)
		}
		if got := c.line(); !strings.HasPrefix(got, "421 4.3.2") {
			t.Errorf("after it: %s", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := <-s.served; !errors.Is(err, sessions.ErrClosed) {
			t.Error(err)
		}
		if n := len(s.pipeline.accepted()); n != 1 {
			t.Errorf("%d messages accepted", n)
		}
	})
}

// TestRevokedLogin checks that a session ends whose login is not good any
// more, and the message under way is the last.
func TestRevokedLogin(t *testing.T) {
	for _, within := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			revoked := make(chan struct{})
			s := start(Config{
				Mode: Submission, AllowPlaintext: func() bool { return true },
				Authenticate: func(context.Context, string, string, netip.Addr) (Person, error) {
					return Person{Address: "ann@example.org", Revoked: revoked}, nil
				},
			})
			defer s.stop(t)
			c := s.dial(t, false)
			c.reply()
			c.say("EHLO client.example")
			if got := c.say("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00ann\x00secret"))); !strings.HasPrefix(got, "235 ") {
				t.Fatal(got)
			}
			if within {
				c.say("MAIL FROM:<ann@example.org>")
				c.say("RCPT TO:<bob@example.org>")
				c.say("DATA")
			}
			close(revoked)
			synctest.Wait()
			if within {
				if got := c.say("Subject: x\r\n\r\nbody\r\n."); !strings.HasPrefix(got, "250 ") {
					t.Errorf("message under way: %s", got)
				}
			}
			if got := c.line(); !strings.HasPrefix(got, "421 4.7.0 ") {
				t.Errorf("the client is told %q", got)
			}
			if got := c.line(); got != "<closed>" {
				t.Errorf("and then %q", got)
			}
		})
	}
}

func TestShutdownCutsWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(Config{})
		c := s.dial(t, false)
		transaction(t, c)
		c.send("Subject: x\r\n")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begun := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("shutdown took %v", took)
		}
		if got := c.line(); got != "<closed>" {
			t.Errorf("client is told %q", got)
		}
		if n := len(s.pipeline.accepted()); n != 0 {
			t.Errorf("%d messages accepted", n)
		}
		if err := s.Serve(t.Context(), conntest.Listen()); !errors.Is(err, sessions.ErrClosed) {
			t.Errorf("serving again: %v", err)
		}
		<-s.served
	})
}

// TestCutDoesNotWait checks that a client behind TLS that reads nothing does not
// hold up who cuts it.
func TestCutDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(Config{TLS: conntest.ServerTLS(t)})
		c := s.listener.DialTLS(t, s.cfg.TLS)
		defer c.Close()
		br := bufio.NewReader(c)
		for _, say := range []string{"EHLO x", "MAIL FROM:<>", "RCPT TO:<ann@example.org>", "DATA"} {
			for line := "-"; len(line) < 4 || line[3] == '-'; {
				line, _ = br.ReadString('\n')
			}
			io.WriteString(c, say+"\r\n")
		}
		if line, err := br.ReadString('\n'); !strings.HasPrefix(line, "354 ") {
			t.Fatal(line, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("shutdown took %v", took)
		}
		<-s.served
	})
}

// TestChunksEnd checks that a message in chunks has no more time than another.
func TestChunksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(Config{})
		defer s.stop(t)
		c := s.dial(t, false)
		c.reply()
		c.say("EHLO client.example")
		c.say("MAIL FROM:<>")
		c.say("RCPT TO:<ann@example.org>")
		begun := time.Now()
		for strings.HasPrefix(c.say("BDAT 3\r\nx"), "250 ") {
			time.Sleep(time.Minute)
			if time.Since(begun) > 2*bodyMax {
				t.Fatal("a message in chunks goes on for ever")
			}
		}
		if took := time.Since(begun); took < bodyMax {
			t.Errorf("it ended after %v", took)
		}
	})
}

// clients is a pipeline that keeps who its last message came from.
type clients struct {
	*fakePipeline
	last delivery.Client
}

func (p *clients) Begin(ctx context.Context, e *delivery.Envelope) error {
	p.last = e.Client
	return p.fakePipeline.Begin(ctx, e)
}

// TestRefusedHello checks that a greeting that is refused leaves the client known
// by the one before.
func TestRefusedHello(t *testing.T) {
	for _, hello := range []string{"HELO", "EHLO", "HELO ", "EHLO  "} {
		synctest.Test(t, func(t *testing.T) {
			p := &clients{fakePipeline: &fakePipeline{}}
			s := start(Config{Pipeline: p})
			defer s.stop(t)
			c := s.dial(t, false)
			c.reply()
			c.say("EHLO client.example")
			if got := c.say(hello); !strings.HasPrefix(got, "501 ") {
				t.Errorf("%q: %s", hello, got)
			}
			if got := c.say("MAIL FROM:<>"); !strings.HasPrefix(got, "250 ") {
				t.Errorf("after %q: %s", hello, got)
			}
			if p.last.Hello != "client.example" || !p.last.Extended {
				t.Errorf("after %q it is %+v", hello, p.last)
			}
		})
	}
}

func TestTarpitHoldsBackReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(Config{})
		defer s.stop(t)
		c := s.dial(t, false)
		defer c.Close()
		c.reply()
		for i := range hardErrors - 1 {
			begun := time.Now()
			if got := c.say("NONSENSE"); !strings.HasPrefix(got, "500") {
				t.Fatal(got)
			}
			want := time.Duration(0)
			if i >= softErrors {
				want = tarpit
			}
			if took := time.Since(begun); took != want {
				t.Errorf("error %d answered after %v, want %v", i+1, took, want)
			}
		}
	})
}

func TestIdleCommandsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(Config{})
		defer s.stop(t)
		c := s.dial(t, false)
		c.reply()
		for i := range maxIdleCommands + hardErrors + 1 {
			if strings.HasPrefix(c.say("NOOP"), "421") {
				if i < maxIdleCommands {
					t.Errorf("ended after %d", i)
				}
				return
			}
		}
		t.Error("goes on for ever")
	})
}

func TestRecipientLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(Config{MaxRecipients: 2})
		defer s.stop(t)
		c := s.dial(t, false)
		defer c.Close()
		c.reply()
		c.say("EHLO x")
		c.say("MAIL FROM:<>")
		c.say("RCPT TO:<ann@example.org>")
		c.say("RCPT TO:<bob@example.org>")
		if got := c.say("RCPT TO:<postmaster@example.org>"); !strings.HasPrefix(got, "452 4.5.3") { // RFC 5321 section 4.5.3.1.10
			t.Error(got)
		}
	})
}

// TestFaultsStayInside checks that an error of ours reaches the peer as
// temporary and without its text, and that the session goes on.
func TestFaultsStayInside(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("write /data/vlog: no space left on device"), "451 4.3.0 Local error in processing"},
		{fmt.Errorf("commit: %w", store.ErrNoSpace), "452 4.3.1 Insufficient system storage"},
		{fmt.Errorf("commit: %w", store.ErrReadOnly), "451 4.3.0 Mail cannot be stored at the moment"},
		{fmt.Errorf("commit: %w", &store.AccountError{Account: 1, Err: store.ErrOverQuota}), "452 4.2.2 Mailbox is full"},
		{fmt.Errorf("check: %w", &delivery.Error{Code: 554, Enhanced: [3]int{5, 7, 1}, Message: "Refused", Cause: errors.New("secret")}), "554 5.7.1 Refused"},
		{fmt.Errorf("wrapped: %w", &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 0, 0}, Message: "no"}), "451 4.3.0 Local error in processing"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log strings.Builder
			s := start(Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
			s.pipeline.spoolErr = c.err
			cl := s.dial(t, false)
			transaction(t, cl)
			cl.send("Subject: x\r\n\r\nMAIL FROM:<evil@elsewhere.example>\r\n.\r\n")
			if got := cl.line(); got != c.want {
				t.Errorf("%v: %s, want %s", c.err, got, c.want)
			}
			if got := cl.say("NOOP"); !strings.HasPrefix(got, "250") {
				t.Errorf("%v: then %s", c.err, got)
			}
			s.stop(t)
			if !strings.Contains(log.String(), "refused message") {
				t.Errorf("%v: the log has nothing of it: %s", c.err, log.String())
			}
		})
	}
}

// TestGivenUpWhileStored checks a client that gives up a chunked message
// while the pipeline works on it (with -race: nothing is shared).
func TestGivenUpWhileStored(t *testing.T) {
	for _, last := range []string{"RSET\r\nQUIT\r\n", "QUIT\r\n", ""} {
		s := start(Config{})
		c := s.dial(t, false)
		c.line()
		c.say("EHLO x")
		c.send("MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nBDAT 100000\r\n" + strings.Repeat("0123456\r\n", 5000))
		go func() {
			c.send(strings.Repeat("0123456\r\n", 20000)[:100000-45000] + last)
			if last == "" {
				c.Close()
			}
		}()
		for c.line() != "<closed>" {
		}
		s.stop(t)
		if n := len(s.pipeline.accepted()); n != 0 {
			t.Errorf("%q: %d messages accepted", last, n)
		}
	}
}

// TestManyAtOnce runs sessions side by side over TCP, for the race detector.
func TestManyAtOnce(t *testing.T) {
	s := start(Config{TLS: conntest.ServerTLS(t)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), l) }()
	const clients, each = 8, 20
	errs := make(chan error, clients)
	for range clients {
		go func() {
			errs <- func() error {
				c, err := smtp.DialStartTLS(l.Addr().String(), conntest.ClientTLS())
				if err != nil {
					return err
				}
				defer c.Close()
				for i := range each {
					if err := c.SendMail("a@elsewhere.example", []string{"ann@example.org"}, strings.NewReader(fmt.Sprintf("Subject: %d\r\n\r\n.dot\r\n", i))); err != nil {
						return err
					}
				}
				return c.Quit()
			}()
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := len(s.pipeline.accepted()); n != clients*each {
		t.Errorf("%d messages accepted, want %d", n, clients*each)
	}
	s.stop(t)
	if err := <-served; !errors.Is(err, sessions.ErrClosed) {
		t.Error(err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	s := start(Config{})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, conntest.Listen()) }()
	cancel()
	if err := <-served; !errors.Is(err, sessions.ErrClosed) {
		t.Error(err)
	}
	s.stop(t)
}

// TestPanicEndsOneSession checks that a fault in one session is logged and
// ends that session alone.
func TestPanicEndsOneSession(t *testing.T) {
	var log strings.Builder
	s := start(Config{Pipeline: &panicking{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	c := s.dial(t, false)
	c.reply()
	c.say("EHLO x")
	if got := c.say("MAIL FROM:<>"); !strings.HasPrefix(got, "421") {
		t.Error(got)
	}
	if got := c.line(); got != "<closed>" {
		t.Error(got)
	}
	other := s.dial(t, false)
	if got := other.reply(); !strings.HasPrefix(got, "220") {
		t.Error(got)
	}
	s.stop(t)
	if !strings.Contains(log.String(), "a fault") {
		t.Errorf("log: %s", log.String())
	}
}

type panicking struct{ fakePipeline }

func (*panicking) MaxSize() int64                                  { return 0 }
func (*panicking) Begin(context.Context, *delivery.Envelope) error { panic("a fault") }
func (*panicking) Accept(context.Context, *delivery.Envelope, io.Reader) (delivery.Receipt, error) {
	panic("a fault")
}
