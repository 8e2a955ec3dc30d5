package smtpd

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"pillarbox/appliance/mail/address"
)

// verb is a command's name in capitals.
type verb string

// command looks at a command before the engine does: it answers those that are
// the conn's own and those that come at the wrong time, and feeds the rest to
// the engine in a form the engine reads right.
func (c *conn) command(line []byte) error {
	name, arg, _ := bytes.Cut(line, []byte(" "))
	c.verb = verb(bytes.ToUpper(name))
	if !utf8.Valid(line) {
		c.verb = ""
	}
	s := c.session
	switch c.verb {
	case "HELO", "EHLO":
		// A client has to see what the server can before it sends more (RFC
		// 2920 section 3.1). Who does not wait is no mail client, or a request
		// that somebody else's program was made to send here.
		if c.r < c.w {
			return errDesync
		}
		if s.greeted {
			c.passTime()
		}
		c.greeting, _, _ = strings.Cut(strings.TrimSpace(string(arg)), " ")
		c.expect = expectHello
	case "MAIL":
		return c.path(line, string(arg), "FROM:", address.ParseReversePath)
	case "RCPT":
		return c.path(line, string(arg), "TO:", address.ParseForwardPath)
	case "DATA":
		if code, text := c.mayTransfer(); code != 0 {
			c.reply(code, text)
			if c.r < c.w { // the client sent the message with it: not to be read as commands
				return errDesync
			}
			return nil
		}
		if len(bytes.TrimSpace(arg)) > 0 {
			c.reply(501, "5.5.4 DATA takes no argument")
			return nil
		}
		s.content = content{}
	case "BDAT":
		return c.firstChunk(string(arg))
	case "AUTH":
		if code, text := c.mayLogin(); code != 0 {
			c.reply(code, text)
			return nil
		}
	case "STARTTLS":
		if code, text := c.mayStartTLS(len(arg) > 0); code != 0 {
			c.reply(code, text)
			return nil
		}
		return c.startTLS()
	case "HELP":
		c.passTime()
		c.reply(214, "2.0.0 See RFC 5321")
		return nil
	case "NOOP", "RSET", "VRFY":
		c.passTime()
	case "QUIT":
	case "EXPN", "SEND", "SOML", "SAML", "TURN", "ETRN", "LHLO":
		c.reply(502, "5.5.1 Command not implemented")
		return nil
	case "GET", "POST", "PUT", "CONNECT", "OPTIONS":
		// An HTTP client that was sent to this port, perhaps to send mail in
		// its body: the next lines are not for reading.
		return errNotSMTP
	default:
		c.reply(500, "5.5.2 Command not recognized")
		return nil
	}
	c.feed = append(c.feed[:0], line...)
	c.feed = append(c.feed, "\r\n"...)
	return nil
}

// passTime counts a command that does nothing for the mail.
func (c *conn) passTime() {
	if c.idle++; c.idle > maxIdleCommands {
		c.failed()
	}
}

// path answers MAIL and RCPT where they come at the wrong time or the path is
// not valid. The engine gets the path in its canonical form; the session takes
// it from the conn, since the engine takes quoting off.
func (c *conn) path(line []byte, arg, keyword string, parse func(string) (address.Address, string, error)) error {
	s := c.session
	var code int
	var text string
	if c.verb == "MAIL" {
		code, text = c.mayMail()
	} else if s.envelope == nil {
		code, text = 503, "5.5.1 Say MAIL first"
	}
	if code != 0 {
		c.reply(code, text)
		return nil
	}
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		c.reply(501, "5.5.4 Syntax: "+string(c.verb)+" "+keyword+"<address>")
		return nil
	}
	// The space that many clients put after the colon is not in the grammar
	// and does no harm.
	a, rest, err := parse(strings.TrimLeft(arg[len(keyword):], " "))
	if err != nil {
		enhanced := "5.1.3 " // RFC 3463 section 3.2
		if c.verb == "MAIL" {
			enhanced = "5.1.7 "
		}
		c.reply(501, enhanced+"Address is not valid")
		return nil
	}
	if c.verb == "MAIL" {
		rest = readableSize(rest)
	}
	s.path, s.pathUTF8 = a, !isASCII(line)
	shown := a.String()
	if a.IsBarePostmaster() {
		shown += "@" + c.server.cfg.Hostname() // for the engine, which knows no bare one
	}
	c.feed = append(c.feed[:0], c.verb...)
	c.feed = append(c.feed, ' ')
	c.feed = append(c.feed, keyword...)
	c.feed = append(c.feed, '<')
	c.feed = append(c.feed, shown...)
	c.feed = append(c.feed, '>')
	c.feed = append(c.feed, rest...)
	c.feed = append(c.feed, "\r\n"...)
	return nil
}

// readableSize puts the largest number that the engine reads in place of a
// larger SIZE, which may have twenty digits (RFC 1870 section 3). No limit is
// as high, so the reply is the same: too large.
func readableSize(parameters string) string {
	fields := strings.Fields(parameters)
	for i, f := range fields {
		name, size, _ := strings.Cut(f, "=")
		if strings.EqualFold(name, "SIZE") && len(size) > 9 && len(size) <= 20 && strings.Trim(size, "0123456789") == "" {
			if n, err := strconv.ParseUint(size, 10, 64); err != nil || n > math.MaxUint32 {
				fields[i] = "SIZE=" + strconv.FormatUint(math.MaxUint32, 10)
				return " " + strings.Join(fields, " ")
			}
		}
	}
	return parameters
}

func (c *conn) mayMail() (code int, text string) {
	s := c.session
	switch {
	case !s.greeted:
		return 503, "5.5.1 Say EHLO first"
	case s.envelope != nil: // RFC 5321 section 4.1.4
		return 503, "5.5.1 A message is under way"
	case c.server.cfg.Mode == Submission && s.user == "": // RFC 4954 section 6
		return 530, "5.7.0 Authentication required"
	}
	return 0, ""
}

func (c *conn) mayTransfer() (code int, text string) {
	s := c.session
	switch {
	case s.envelope == nil:
		return 503, "5.5.1 Say MAIL first"
	case s.envelope.Recipients() == 0: // RFC 5321 section 3.3
		return 554, "5.5.1 No valid recipients"
	}
	return 0, ""
}

func (c *conn) mayLogin() (code int, text string) {
	s := c.session
	switch {
	case c.server.cfg.Mode != Submission:
		return 502, "5.5.1 There is no login here"
	case !s.greeted:
		return 503, "5.5.1 Say EHLO first"
	case s.user != "":
		return 503, "5.5.1 Already logged in"
	case s.envelope != nil: // RFC 4954 section 4
		return 503, "5.5.1 A message is under way"
	case !c.canLogin():
		return 538, "5.7.11 Encryption required, say STARTTLS first"
	}
	return 0, ""
}

func (c *conn) mayStartTLS(argument bool) (code int, text string) {
	s := c.session
	switch {
	case argument: // RFC 3207 section 4
		return 501, "5.5.4 STARTTLS takes no argument"
	case c.tls != nil:
		return 503, "5.5.1 TLS is active already"
	case c.server.cfg.TLS == nil:
		return 502, "5.5.1 TLS is not available"
	case s.user != "" || s.envelope != nil:
		return 503, "5.5.1 Too late for STARTTLS"
	}
	return 0, ""
}

// canStartTLS reports whether EHLO offers STARTTLS.
func (c *conn) canStartTLS() bool { return c.tls == nil && c.server.cfg.TLS != nil }

// canLogin reports whether a login is possible on this connection.
func (c *conn) canLogin() bool {
	return c.server.cfg.Mode == Submission && (c.tls != nil || c.server.cfg.AllowPlaintext())
}

// chunk reads the argument of BDAT (RFC 3030 section 2).
func chunk(arg string) (size int64, last, ok bool) {
	fields := strings.Fields(arg)
	if len(fields) == 2 && strings.EqualFold(fields[1], "LAST") {
		last = true
	} else if len(fields) != 1 {
		return 0, false, false
	}
	size, err := strconv.ParseInt(fields[0], 10, 64)
	return size, last, err == nil && size >= 0 && fields[0][0] != '+'
}

// firstChunk begins a message that comes in chunks. The engine sees DATA; the
// session's content reads the chunks.
func (c *conn) firstChunk(arg string) error {
	size, last, ok := chunk(arg)
	if !ok { // how much to read over is unknown
		c.reply(501, "5.5.4 Syntax: BDAT size [LAST]")
		return errClose
	}
	if code, text := c.mayTransfer(); code != 0 {
		// The chunk follows whatever the reply is (RFC 3030 section 2).
		c.session.content = content{chunked: true, left: size, last: true}
		newReader(c).drain()
		if !c.ended {
			c.reply(code, text)
		}
		return nil
	}
	c.session.content = content{chunked: true, left: size, last: last}
	c.expect = expectGoAhead
	c.feed = append(c.feed[:0], "DATA\r\n"...)
	return nil
}

func isASCII(b []byte) bool {
	for _, x := range b {
		if x >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
