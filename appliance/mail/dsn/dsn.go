// Package dsn writes delivery status notifications: messages that tell a
// sender what became of mail, in words for people and in fields for programs
// (RFC 3462, RFC 3464; RFC 6533 where addresses go beyond ASCII).
//
// Invariants:
//
//   - What others said (reply texts, addresses, the returned header) can
//     neither end a field, nor a line, nor a part: texts are cleaned and
//     folded, the boundary does not occur in the returned part.
//   - Lines written here stay within 78 characters where words allow it, and
//     end in CRLF. The returned part is passed on as it came.
//   - The notification is marked as automatic (RFC 3834), so that no program
//     answers it; its envelope sender, null, is for the caller to set.
//
// A notification is small (the returned part is bounded by the caller), so it
// is put together in memory.
package dsn

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"mime"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"
)

// Action is what happened to a recipient (RFC 3464 section 2.3.3).
type Action string

// The actions.
const (
	Failed    Action = "failed"    // given up
	Delayed   Action = "delayed"   // not there yet, still trying
	Delivered Action = "delivered" // in the mailbox
	Relayed   Action = "relayed"   // with a server that reports no further
)

// Notification is one report to one sender. All recipients have one Action.
type Notification struct {
	Hostname   string // of the reporting server
	To         string // the sender of the message reported on
	EnvelopeID string // ENVID of that message in xtext, "" where it had none
	Arrived    time.Time
	Now        time.Time
	Recipients []Recipient

	// Returned is the message reported on, or its header: from the top, as
	// much of it as is to be returned. Nil where it cannot be read.
	Returned []byte
	// HeaderOnly says that Returned ends with the header.
	HeaderOnly bool
}

// Recipient is what became of one recipient.
type Recipient struct {
	Address  string // the address mail was sent to
	Original string // ORCPT: type, ";", address in xtext; "" where there was none
	Action   Action
	Status   [3]int // RFC 3463
	Remote   string // name of the server that said it, "" where none did
	// Reply is the server's reply with its code, as "550 5.1.1 No such user";
	// Explanation our own words where no server said anything.
	Reply, Explanation string
	LastAttempt        time.Time
	RetryUntil         time.Time // for Delayed
}

// errNobody is a mistake of the caller's.
var errNobody = errors.New("dsn: a notification about nobody")

// Compose writes the notification.
func (n *Notification) Compose() ([]byte, error) {
	if len(n.Recipients) == 0 {
		return nil, errNobody
	}
	original := readHeader(n.Returned)
	utf8Needed := n.utf8Addresses()
	boundary := n.boundary()
	eightBit := utf8Needed || !isASCII(n.Returned)

	var text, status bytes.Buffer
	n.writeText(&text, original)
	n.writeStatus(&status, utf8Needed)
	eightBit = eightBit || !isASCII(text.Bytes())

	var b bytes.Buffer
	field(&b, "From", fmt.Sprintf("Mail Delivery System <MAILER-DAEMON@%s>", clean(n.Hostname)))
	field(&b, "To", angle(n.To))
	field(&b, "Subject", n.subject(original))
	field(&b, "Date", n.Now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	field(&b, "Message-ID", fmt.Sprintf("<%s@%s>", strings.ToLower(rand.Text()), clean(n.Hostname)))
	if original.id != "" {
		field(&b, "In-Reply-To", original.id)
		field(&b, "References", original.id)
	}
	field(&b, "Auto-Submitted", "auto-replied")
	field(&b, "MIME-Version", "1.0")
	field(&b, "Content-Type", `multipart/report; report-type=delivery-status; boundary="`+boundary+`"`)
	encoding(&b, eightBit)
	b.WriteString("\r\nThis is a report about a message, in MIME format.\r\n")

	part := func(typ string, content []byte, description string) {
		fmt.Fprintf(&b, "\r\n--%s\r\n", boundary)
		field(&b, "Content-Type", typ)
		field(&b, "Content-Description", description)
		encoding(&b, !isASCII(content))
		b.WriteString("\r\n")
		b.Write(content)
	}
	part(`text/plain; charset=utf-8`, text.Bytes(), "What happened")
	if utf8Needed {
		part("message/global-delivery-status", status.Bytes(), "Delivery report")
	} else {
		part("message/delivery-status", status.Bytes(), "Delivery report")
	}
	if len(n.Returned) > 0 {
		part(n.returnedType(), n.Returned, "Returned message")
	}
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes(), nil
}

// returnedType is the type of the last part (RFC 3462 section 2, RFC 6533 section 3).
func (n *Notification) returnedType() string {
	header := n.Returned
	if i := bytes.Index(header, []byte("\r\n\r\n")); i >= 0 {
		header = header[:i]
	}
	switch ascii := isASCII(header); {
	case n.HeaderOnly && ascii:
		return "text/rfc822-headers"
	case n.HeaderOnly:
		return "message/global-headers"
	case ascii:
		return "message/rfc822"
	default:
		return "message/global"
	}
}

// boundary gives one that does not occur in the returned part.
func (n *Notification) boundary() string {
	for {
		if s := "report-" + rand.Text(); !bytes.Contains(n.Returned, []byte(s)) {
			return s
		}
	}
}

func (n *Notification) utf8Addresses() bool {
	for _, r := range n.Recipients {
		if !isASCII([]byte(r.Address)) || !isASCII([]byte(r.Original)) {
			return true
		}
	}
	return false
}

// writeStatus writes the fields for programs (RFC 3464 section 2).
func (n *Notification) writeStatus(b *bytes.Buffer, utf8Needed bool) {
	if n.EnvelopeID != "" {
		field(b, "Original-Envelope-Id", fromXtext(n.EnvelopeID))
	}
	field(b, "Reporting-MTA", "dns; "+n.Hostname)
	if !n.Arrived.IsZero() {
		field(b, "Arrival-Date", n.Arrived.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	}
	for _, r := range n.Recipients {
		b.WriteString("\r\n")
		if typ, addr, ok := strings.Cut(r.Original, ";"); ok {
			field(b, "Original-Recipient", typ+"; "+fromXtext(addr))
		}
		typ := "rfc822; "
		if utf8Needed && !isASCII([]byte(r.Address)) {
			typ = "utf-8; "
		}
		field(b, "Final-Recipient", typ+r.Address)
		field(b, "Action", string(r.Action))
		field(b, "Status", fmt.Sprintf("%d.%d.%d", r.Status[0], r.Status[1], r.Status[2]))
		if r.Remote != "" {
			field(b, "Remote-MTA", "dns; "+r.Remote)
		}
		if r.Reply != "" {
			reply := r.Reply
			if !utf8Needed { // fields of the older form are ASCII
				reply = toASCII(reply)
			}
			field(b, "Diagnostic-Code", "smtp; "+reply)
		}
		if !r.LastAttempt.IsZero() {
			field(b, "Last-Attempt-Date", r.LastAttempt.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
		}
		if r.Action == Delayed && !r.RetryUntil.IsZero() {
			field(b, "Will-Retry-Until", r.RetryUntil.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
		}
	}
}

// header is what is used of the returned message's header.
type header struct {
	id      string // with angle brackets, "" where it is not fit to be repeated
	subject string // decoded, one line
	date    string
}

func readHeader(returned []byte) header {
	block := returned
	if i := bytes.Index(block, []byte("\r\n\r\n")); i >= 0 {
		block = block[:i]
	}
	m, err := mail.ReadMessage(bytes.NewReader(append(bytes.Clone(block), "\r\n\r\n"...)))
	if err != nil { // the report stands without it
		return header{}
	}
	h := header{date: clean(m.Header.Get("Date"))}
	if s, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err == nil {
		h.subject = clean(s)
	}
	id := strings.TrimSpace(m.Header.Get("Message-Id"))
	if len(id) > 2 && len(id) < 250 && id[0] == '<' && id[len(id)-1] == '>' && isASCII([]byte(id)) && !strings.ContainsAny(id, " \t\r\n") {
		h.id = id
	}
	return h
}

// encoding names how a part travels: as it is.
func encoding(b *bytes.Buffer, eightBit bool) {
	if eightBit {
		field(b, "Content-Transfer-Encoding", "8bit")
	} else {
		field(b, "Content-Transfer-Encoding", "7bit")
	}
}

const (
	lineWidth = 76
	// lineLimit is where a word without spaces is cut (RFC 5322 section 2.1.1 allows 998).
	lineLimit = 900
)

// field writes a header field, folded at spaces (RFC 5322 section 2.2.3).
func field(b *bytes.Buffer, name, value string) {
	line := name + ":"
	for _, word := range strings.Fields(clean(value)) {
		for len(word) > lineLimit {
			cut := lineLimit
			for !utf8.RuneStart(word[cut]) {
				cut--
			}
			b.WriteString(line + "\r\n")
			line, word = " "+word[:cut], word[cut:]
		}
		if len(line)+1+len(word) > lineWidth && line != name+":" && strings.TrimSpace(line) != "" {
			b.WriteString(line + "\r\n")
			line = ""
		}
		line += " " + word
	}
	b.WriteString(line + "\r\n")
}

// clean makes one line of valid UTF-8 without control characters.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "?")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s))
}

// toASCII replaces what a field of the older form cannot hold.
func toASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, s)
}

// fromXtext decodes xtext (RFC 3461 section 4); what is not xtext stays as it is.
func fromXtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '+' && i+2 < len(s) {
			hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return clean(b.String())
}

const hexDigits = "0123456789ABCDEF"

func angle(address string) string { return "<" + clean(address) + ">" }

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
