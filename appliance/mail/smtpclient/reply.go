package smtpclient

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// maxReplyLine bounds one line of a reply. RFC 5321 section 4.5.3.1.5
	// allows 512 bytes; servers with long links in their refusals send more.
	maxReplyLine = 4096
	// maxReplyLines bounds a reply. The longest honest one, to EHLO, has some
	// thirty lines.
	maxReplyLines = 128
	// maxText is what is kept of a reply's text for logs and bounces.
	maxText = 1024
)

// Faults of a reply that end the conversation.
var (
	errReplyTooLong = errors.New("reply too long")
	errReplySyntax  = errors.New("not an SMTP reply")
)

// Reply is a server's answer (RFC 5321 section 4.2).
type Reply struct {
	Code   int      // 200 to 599
	Status Status   // RFC 2034; zero where the server gave none
	Lines  []string // text of each line without the codes, as sent
}

// Text is the whole text on one line, printable, at most maxText bytes.
func (r Reply) Text() string { return printable(strings.Join(r.Lines, " "), maxText) }

func (r Reply) positive() bool { return r.Code/100 == 2 }

// readReply reads one reply. br's buffer must hold maxReplyLine bytes. Lines
// that end in a bare LF are taken too: there is nothing to smuggle into us.
func readReply(br *bufio.Reader) (Reply, error) {
	var r Reply
	for n := 0; ; n++ {
		if n == maxReplyLines {
			return Reply{}, errReplyTooLong
		}
		line, err := br.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return Reply{}, errReplyTooLong
		case err != nil:
			return Reply{}, err
		}
		code, last, text, ok := splitReplyLine(strings.TrimRight(string(line), "\r\n"))
		if !ok || n > 0 && code != r.Code {
			return Reply{}, fmt.Errorf("%w: %q", errReplySyntax, printable(string(line), 80))
		}
		r.Code = code
		if st, rest, ok := cutStatus(code, text); ok {
			if n == 0 {
				r.Status = st
			}
			text = rest
		}
		r.Lines = append(r.Lines, text)
		if last {
			return r, nil
		}
	}
}

// splitReplyLine takes a line apart: three digits, then "-" where more lines
// follow, a space, or nothing (RFC 5321 section 4.2 asks clients to take it).
func splitReplyLine(line string) (code int, last bool, text string, ok bool) {
	if len(line) < 3 {
		return 0, false, "", false
	}
	for _, d := range []byte(line[:3]) {
		if d < '0' || d > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(d-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, "", false
	}
	if len(line) == 3 {
		return code, true, "", true
	}
	switch line[3] {
	case ' ':
		return code, true, line[4:], true
	case '-':
		return code, false, line[4:], true
	}
	return 0, false, "", false
}

// cutStatus takes an enhanced status code off a line's text. It counts only
// where its class is that of the reply (RFC 2034 section 4), and is looked
// for whether or not the server announced the extension: many do not.
func cutStatus(code int, text string) (Status, string, bool) {
	word, rest, _ := strings.Cut(text, " ")
	class, more, ok := strings.Cut(word, ".")
	if !ok || len(class) != 1 || int(class[0]-'0') != code/100 || code/100 == 3 {
		return Status{}, text, false
	}
	subject, detail, ok := strings.Cut(more, ".")
	s, ok1 := statusNumber(subject)
	d, ok2 := statusNumber(detail)
	if !ok || !ok1 || !ok2 {
		return Status{}, text, false
	}
	return Status{code / 100, s, d}, rest, true
}

// statusNumber reads one to three digits (RFC 3463 section 2).
func statusNumber(s string) (int, bool) {
	if len(s) < 1 || len(s) > 3 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// printable makes text of a stranger fit for logs, screens and bounces:
// valid UTF-8 without control characters, at most limit bytes.
func printable(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
