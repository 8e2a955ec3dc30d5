package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

const (
	// bodyBlock is how much of the body is read and written at a time.
	bodyBlock = 32 << 10
	// lastWords is how long a server that stopped reading the body is listened
	// to for its reason.
	lastWords = 5 * time.Second
)

// Transaction is one message with its envelope.
type Transaction struct {
	Sender     string // RFC 5321 reverse-path without angle brackets, "" for bounces
	Recipients []Recipient
	Body       io.Reader
	Size       int64 // bytes of Body, for SIZE (RFC 1870)
	UTF8Header bool  // the header holds bytes above 127 (RFC 6532)

	// For servers with DSN (RFC 3461), in the form of the wire (xtext); "" leaves out.
	EnvelopeID string // ENVID
	Return     string // RET: FULL or HDRS
}

// Recipient is one recipient of a transaction.
type Recipient struct {
	Address  string // without angle brackets
	Notify   string // NOTIFY (RFC 3461 section 4.1)
	Original string // ORCPT, type and xtext (RFC 3461 section 4.2)
}

// Outcome answers a Transaction.
type Outcome struct {
	// Errors has one element a recipient, in order; nil where the server took
	// the message for it.
	Errors []*Error
	// Reply is the server's answer to the body, where it came to that.
	Reply Reply
}

// Alive tells whether another transaction may be sent.
func (c *Client) Alive() bool { return !c.dead }

// Send carries out one transaction. Where the server has PIPELINING (RFC
// 2920), MAIL, all RCPT and DATA leave together.
func (c *Client) Send(ctx context.Context, t Transaction) Outcome {
	s := &sending{Client: c, t: t, errs: make([]*Error, len(t.Recipients))}
	if c.dead {
		s.failOpen(c.refuse(PhaseConnect, Status{4, 4, 2}, "the conversation is over"))
		return Outcome{Errors: s.errs}
	}
	defer c.watch(ctx)()
	s.run(ctx)
	return Outcome{Errors: s.errs, Reply: s.reply}
}

// sending is a transaction under way.
type sending struct {
	*Client
	t     Transaction
	errs  []*Error
	reply Reply
}

// failOpen settles every recipient that is not settled yet.
func (s *sending) failOpen(err *Error) {
	for i := range s.errs {
		if s.errs[i] == nil {
			s.errs[i] = err
		}
	}
}

// open lists the recipients not settled yet.
func (s *sending) open() []int {
	var is []int
	for i, err := range s.errs {
		if err == nil {
			is = append(is, i)
		}
	}
	return is
}

func (s *sending) run(ctx context.Context) {
	mail := s.mailLine()
	rcpts := s.recipientLines()
	open := s.open()
	if len(open) == 0 {
		return
	}
	if s.dirty {
		if r, err := s.command(ctx, PhaseMail, "RSET"); err != nil {
			s.failOpen(err)
			return
		} else if !r.positive() {
			s.drop()
			s.failOpen(replyError(PhaseHello, s.o.Host, r)) // of the host: another connection will do
			return
		}
	}
	s.dirty = true
	steps := []step{{PhaseMail, -1, mail, s.o.Timeouts.Command}}
	for _, i := range open {
		steps = append(steps, step{PhaseRecipient, i, rcpts[i], s.o.Timeouts.Command})
	}
	steps = append(steps, step{PhaseData, -1, "DATA", s.o.Timeouts.Data})
	var goAhead bool
	if _, ok := s.ext["PIPELINING"]; ok {
		goAhead = s.pipelined(ctx, steps)
	} else {
		goAhead = s.oneByOne(ctx, steps)
	}
	switch taken := len(s.open()); {
	case !goAhead:
	case taken == 0:
		// 354 although nobody is left to take it: end it with nothing in it (RFC 2920 section 3.1).
		if s.write(ctx, PhaseData, []byte(".\r\n"), s.o.Timeouts.Command) == nil {
			_, _ = s.read(ctx, PhaseData, s.o.Timeouts.Data) // every recipient is settled
		}
	default:
		s.body(ctx)
	}
}

// step is one command of the envelope.
type step struct {
	phase Phase
	rcpt  int // index of the recipient of an RCPT
	line  string
	limit time.Duration
}

// take judges the reply to a step; goAhead is set by the 354 to DATA.
func (s *sending) take(st step, r Reply) (goAhead bool) {
	switch {
	case st.phase == PhaseMail && !r.positive():
		s.failOpen(replyError(PhaseMail, s.o.Host, r))
	case st.phase == PhaseRecipient && !r.positive():
		if s.errs[st.rcpt] == nil { // MAIL's refusal says more than the 503 that follows from it
			s.errs[st.rcpt] = s.recipientError(r)
		}
	case st.phase == PhaseData && r.Code == 354:
		return true
	case st.phase == PhaseData && (r.positive() || r.Code/100 == 3):
		s.drop() // nobody knows what it waits for now
		s.failOpen(s.refuse(PhaseData, Status{4, 5, 0}, fmt.Sprintf("unexpected reply %d to DATA", r.Code)))
	case st.phase == PhaseData:
		s.failOpen(replyError(PhaseData, s.o.Host, r))
	}
	return false
}

// recipientError is the Error of a refused RCPT. 552 there means too many
// recipients at a time, in an old spelling of 452 (RFC 5321 section 4.5.3.1.10).
func (s *sending) recipientError(r Reply) *Error {
	e := replyError(PhaseRecipient, s.o.Host, r)
	if r.Code == 552 && (r.Status == Status{} || r.Status == Status{5, 5, 3}) {
		e.Permanent = false
	}
	return e
}

func (s *sending) oneByOne(ctx context.Context, steps []step) bool {
	for _, st := range steps {
		if len(s.open()) == 0 {
			return false
		}
		err := s.write(ctx, st.phase, []byte(st.line+"\r\n"), s.o.Timeouts.Command)
		var r Reply
		if err == nil {
			r, err = s.read(ctx, st.phase, st.limit)
		}
		if err != nil {
			s.failOpen(err)
			return false
		}
		if s.take(st, r) {
			return true
		}
	}
	return false
}

// pipelined writes all steps while it reads the replies: a server may well
// answer the first before it reads the last, and neither must wait for the
// other with full buffers (RFC 2920 section 3.1).
func (s *sending) pipelined(ctx context.Context, steps []step) (goAhead bool) {
	var lines strings.Builder
	for _, st := range steps {
		lines.WriteString(st.line + "\r\n")
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.o.Timeouts.Command)); err != nil {
		s.failOpen(s.broken(ctx, PhaseMail, err))
		return false
	}
	written := make(chan error, 1)
	go func() {
		_, err := io.WriteString(s.conn, lines.String())
		written <- err
	}()
	for _, st := range steps {
		r, err := s.read(ctx, st.phase, st.limit)
		if err != nil { // the connection is closed by now, which ends the write as well
			s.failOpen(err)
			goAhead = false
			break
		}
		goAhead = s.take(st, r)
		if r.Code == 421 { // nothing more will come
			s.drop()
			s.failOpen(replyError(st.phase, s.o.Host, r))
			break
		}
	}
	if err := <-written; err != nil && !s.dead {
		s.failOpen(s.broken(ctx, PhaseData, err))
		return false
	}
	return goAhead && !s.dead
}

// body sends the message for the recipients still open and settles them.
func (s *sending) body(ctx context.Context) {
	dots := newDotStuffer()
	in, out := make([]byte, bodyBlock), make([]byte, 0, 2*bodyBlock+8)
	for {
		n, readErr := s.t.Body.Read(in)
		out = dots.append(out[:0], in[:n])
		ended := errors.Is(readErr, io.EOF)
		if readErr != nil && !ended { // ours to blame: never end what is not whole
			s.drop()
			s.failOpen(&Error{Phase: PhaseBody, Status: Status{4, 3, 0}, Text: "the message could not be read", Cause: readErr, local: true})
			return
		}
		if ended {
			out = dots.end(out)
		}
		if err := s.block(ctx, out); err != nil {
			s.failOpen(err)
			return
		}
		if ended {
			break
		}
	}
	r, err := s.read(ctx, PhaseEnd, s.o.Timeouts.End)
	switch {
	case err != nil:
		s.failOpen(err)
	case r.positive():
		s.reply, s.dirty = r, false
	case r.Code/100 == 3:
		s.drop()
		s.failOpen(s.refuse(PhaseEnd, Status{4, 5, 0}, fmt.Sprintf("unexpected reply %d to the body", r.Code)))
	default:
		s.dirty = false // the transaction is over either way (RFC 5321 section 4.1.1.4)
		s.failOpen(replyError(PhaseEnd, s.o.Host, r))
	}
}

// block writes a piece of the body. A server that refuses in the middle says
// why and closes: its words are worth more than our broken pipe.
func (s *sending) block(ctx context.Context, b []byte) *Error {
	err := s.conn.SetWriteDeadline(time.Now().Add(s.o.Timeouts.Block))
	if err == nil {
		_, err = s.conn.Write(b)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && s.conn.SetReadDeadline(time.Now().Add(lastWords)) == nil {
		if r, readErr := readReply(s.br); readErr == nil && r.Code >= 400 {
			s.drop()
			return replyError(PhaseBody, s.o.Host, r)
		}
	}
	return s.broken(ctx, PhaseBody, err)
}

// mailLine writes MAIL FROM. What the server cannot carry settles all recipients.
func (s *sending) mailLine() string {
	if limit, ok := s.ext["SIZE"]; ok {
		if n, err := strconv.ParseInt(strings.TrimSpace(limit), 10, 64); err == nil && n > 0 && s.t.Size > n {
			s.failOpen(s.refuse(PhaseMail, Status{5, 3, 4}, fmt.Sprintf("the message has %d bytes, the server takes %d", s.t.Size, n)))
			return ""
		}
	}
	sender, ok := s.path(s.t.Sender)
	if !ok {
		s.failOpen(s.refuse(PhaseMail, Status{5, 1, 7}, "the sender's address cannot be sent"))
		return ""
	}
	_, utf8OK := s.ext["SMTPUTF8"]
	switch {
	case utf8OK:
	case !isASCII(sender):
		s.failOpen(s.refuse(PhaseMail, Status{5, 6, 7}, "the server takes no addresses beyond ASCII (SMTPUTF8)"))
		return ""
	case s.t.UTF8Header: // RFC 6531 section 3.5
		s.failOpen(s.refuse(PhaseMail, Status{5, 6, 9}, "the server takes no headers beyond ASCII (SMTPUTF8)"))
		return ""
	}
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + sender + ">")
	if _, ok := s.ext["SIZE"]; ok && s.t.Size > 0 {
		fmt.Fprintf(&b, " SIZE=%d", s.t.Size)
	}
	if _, ok := s.ext["8BITMIME"]; ok { // true of a body of seven bits, too (RFC 6152)
		b.WriteString(" BODY=8BITMIME")
	}
	if utf8OK && s.needsUTF8() {
		b.WriteString(" SMTPUTF8")
	}
	if _, ok := s.ext["DSN"]; ok {
		param(&b, "RET", s.t.Return)
		param(&b, "ENVID", s.t.EnvelopeID)
	}
	return b.String()
}

// recipientLines writes the RCPT TO of each recipient. Those that this server
// cannot be asked for are settled.
func (s *sending) recipientLines() []string {
	_, utf8OK := s.ext["SMTPUTF8"]
	_, dsn := s.ext["DSN"]
	lines := make([]string, len(s.t.Recipients))
	for i, rcpt := range s.t.Recipients {
		if s.errs[i] != nil {
			continue
		}
		address, ok := s.path(rcpt.Address)
		switch {
		case !ok || address == "":
			s.errs[i] = s.refuse(PhaseRecipient, Status{5, 1, 3}, "the address cannot be sent")
			continue
		case !utf8OK && !isASCII(address):
			s.errs[i] = s.refuse(PhaseRecipient, Status{5, 6, 7}, "the server takes no addresses beyond ASCII (SMTPUTF8)")
			continue
		}
		var b strings.Builder
		b.WriteString("RCPT TO:<" + address + ">")
		if dsn {
			param(&b, "NOTIFY", rcpt.Notify)
			param(&b, "ORCPT", rcpt.Original)
		}
		lines[i] = b.String()
	}
	return lines
}

func (s *sending) needsUTF8() bool {
	if s.t.UTF8Header || !isASCII(s.t.Sender) {
		return true
	}
	for _, r := range s.t.Recipients {
		if !isASCII(r.Address) {
			return true
		}
	}
	return false
}

// path gives an address as this server can take it: as it is with SMTPUTF8,
// else with its domain in ASCII (RFC 5890). It refuses whatever would leave
// the angle brackets: addresses were checked long before, this is the fence.
func (s *sending) path(address string) (string, bool) {
	quoted := false
	for i := 0; i < len(address); i++ {
		switch c := address[i]; {
		case c < ' ' || c == 0x7f:
			return "", false
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
			if i < len(address) && (address[i] < ' ' || address[i] == 0x7f) {
				return "", false
			}
		case !quoted && (c == ' ' || c == '<' || c == '>'):
			return "", false
		}
	}
	if quoted {
		return "", false
	}
	if _, ok := s.ext["SMTPUTF8"]; ok || isASCII(address) {
		return address, true
	}
	at := strings.LastIndexByte(address, '@')
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if at < 0 || err != nil {
		return address, true // stays beyond ASCII; the caller refuses it
	}
	return address[:at+1] + domain, true
}

// param adds an ESMTP parameter whose value may leave as it is (esmtp-value,
// RFC 5321 section 4.1.2); any other is left out.
func param(b *strings.Builder, name, value string) {
	if value == "" {
		return
	}
	for i := 0; i < len(value); i++ {
		if c := value[i]; c <= ' ' || c > '~' || c == '=' {
			return
		}
	}
	b.WriteString(" " + name + "=" + value)
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
