package smtpd

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/emersion/go-smtp"

	"pillarbox/appliance/mail/delivery"
)

// expect says what the conn does with the engine's next reply.
type expect uint8

const (
	expectNothing  expect = iota // pass it on
	expectGreeting               // put our greeting in its place
	expectHello                  // put our own in its place if it is positive
	expectGoAhead                // drop it if it is 354: BDAT has no such reply
	expectDropped                // drop it: the client has given up the message
)

// Write takes the engine's replies, line by line.
func (c *conn) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			c.partial = append(c.partial, p...)
			return n, nil
		}
		line := p[:i+1]
		if len(c.partial) > 0 {
			c.partial = append(c.partial, line...)
			line = c.partial
		}
		p = p[i+1:]
		c.engineLine(line)
		c.partial = c.partial[:0]
	}
}

// engineLine deals with one line of a reply of the engine's.
func (c *conn) engineLine(line []byte) {
	if len(line) < 6 {
		return
	}
	code, err := strconv.Atoi(string(line[:3]))
	if err != nil {
		return
	}
	last := line[3] == ' '
	expected := c.expect
	if last {
		c.expect = expectNothing
	}
	switch {
	case c.ended: // the last words have been said
	case expected == expectDropped, expected == expectGoAhead && code == 354:
	case expected == expectGreeting:
		if last {
			c.say(220, c.server.cfg.Hostname()+" ESMTP Pillarbox")
		}
	case expected == expectHello && code == 250:
		if last {
			c.hello()
		}
	case !last:
		c.out = append(c.out, line...)
	default:
		code, text := c.wording(code, string(line[4:len(line)-2]))
		c.reply(code, text)
	}
}

// wording puts the standard's codes and plain words in place of some of the
// engine's.
func (c *conn) wording(code int, text string) (int, string) {
	parameter := len(text) > 5 && text[:5] == "5.5.4"
	switch {
	case c.verb == "MAIL" && code == 250:
		return 250, "2.1.0 Sender ok"
	case c.verb == "RCPT" && code == 250:
		return 250, "2.1.5 Recipient ok"
	case c.verb == "NOOP" && code == 250:
		return 250, "2.0.0 Ok"
	case c.verb == "AUTH" && code == 235: // RFC 4954 section 4
		return 235, "2.7.0 Authentication successful"
	case c.verb == "AUTH" && code == 502: // without a mechanism
		return 501, text
	case c.verb == "AUTH" && code == 454 && len(text) > 6 && text[6:] == "Invalid base64 data":
		return 501, "5.5.2 " + text[6:]
	case (c.verb == "MAIL" || c.verb == "RCPT") && parameter && (code == 500 || code == 504):
		return 555, text // RFC 5321 section 4.1.1.11
	default:
		return code, text
	}
}

// reply answers the client and counts what it did wrong.
func (c *conn) reply(code int, text string) {
	c.say(code, text)
	if c.final {
		c.ended = true
	}
	if code < 500 && (c.verb != "AUTH" || code < 400) {
		return
	}
	c.failed()
}

// failed counts an error of the client's, slows down who makes many and ends
// the connection of who makes too many.
func (c *conn) failed() {
	c.errors++
	switch {
	case c.errors >= hardErrors:
		c.say(421, "4.7.0 Too many errors")
		c.ended = true
	case c.errors > softErrors:
		t := time.NewTimer(tarpit)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.ctx.Done():
		}
	}
}

// say puts a reply of one line among those to be sent.
func (c *conn) say(code int, text string) {
	c.code = code
	c.out = fmt.Appendf(c.out, "%d %s\r\n", code, text)
}

// sayLines puts a reply of several lines among those to be sent.
func (c *conn) sayLines(code int, lines ...string) {
	c.code = code
	for i, line := range lines {
		sep := '-'
		if i == len(lines)-1 {
			sep = ' '
		}
		c.out = fmt.Appendf(c.out, "%d%c%s\r\n", code, sep, line)
	}
}

// hello is the reply to EHLO and HELO. One that is refused leaves everything as
// it was (RFC 5321 section 4.1.4).
func (c *conn) hello() {
	s := c.session
	s.greeted, s.hello, s.extended = true, c.greeting, c.verb == "EHLO"
	host := c.server.cfg.Hostname()
	if !s.extended {
		c.say(250, host)
		return
	}
	lines := []string{host, "PIPELINING", "SIZE"}
	if limit := c.server.cfg.Pipeline.MaxSize(); limit > 0 {
		lines[2] = "SIZE " + strconv.FormatInt(limit, 10)
	}
	if c.canStartTLS() {
		lines = append(lines, "STARTTLS")
	}
	if c.canLogin() {
		lines = append(lines, "AUTH PLAIN LOGIN")
	}
	// RFC 9422 for LIMITS.
	lines = append(lines, "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "SMTPUTF8",
		"LIMITS RCPTMAX="+strconv.Itoa(c.server.cfg.MaxRecipients))
	c.sayLines(250, lines...)
}

// engineError is the one way an error gets to the engine: always with a code
// and with no more text than the peer may see.
func engineError(err error) error {
	if err == nil {
		return nil
	}
	d := delivery.AsError(err)
	return &smtp.SMTPError{Code: d.Code, EnhancedCode: d.Enhanced, Message: d.Message}
}
