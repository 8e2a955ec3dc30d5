package dsn

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// subject tells the outcome first; the message's own subject helps to find it again.
func (n *Notification) subject(original header) string {
	s := map[Action]string{
		Failed:    "Your message was not delivered",
		Delayed:   "Your message is delayed",
		Delivered: "Your message was delivered",
		Relayed:   "Your message was passed on",
	}[n.Recipients[0].Action]
	if original.subject == "" {
		return s
	}
	subject := original.subject
	if r := []rune(subject); len(r) > 60 {
		subject = string(r[:60]) + "…"
	}
	return mime.QEncoding.Encode("utf-8", s+": "+subject)
}

// writeText writes the part for people.
func (n *Notification) writeText(b *bytes.Buffer, original header) {
	p := func(format string, args ...any) { wrap(b, "", fmt.Sprintf(format, args...)) }
	one := len(n.Recipients) == 1
	switch n.Recipients[0].Action {
	case Failed:
		if one {
			p("Your message could not be delivered to this recipient:")
		} else {
			p("Your message could not be delivered to these recipients:")
		}
	case Delayed:
		p("Your message has not been delivered to the following yet. The server keeps trying; there is no need to send it again.")
	case Delivered:
		p("Your message was delivered to:")
	case Relayed:
		p("Your message was passed on to the next server, which will not report any further, for:")
	}
	for _, r := range n.Recipients {
		b.WriteString("\r\n")
		wrap(b, "  ", clean(r.Address))
		if r.Action == Failed || r.Action == Delayed {
			wrap(b, "    ", explain(r))
		}
		switch {
		case r.Reply != "" && r.Remote != "":
			wrap(b, "    ", fmt.Sprintf("The server %s said: %s", clean(r.Remote), clean(r.Reply)))
		case r.Reply != "":
			wrap(b, "    ", "The server said: "+clean(r.Reply))
		}
		if r.Action == Delayed && !r.RetryUntil.IsZero() {
			wrap(b, "    ", "The server gives up on "+r.RetryUntil.Format("Monday, 2 January 2006, 15:04 MST")+".")
		}
	}
	b.WriteString("\r\n")
	if original.subject != "" || original.date != "" {
		p("The message:")
		if original.subject != "" {
			wrap(b, "  ", "Subject: "+original.subject)
		}
		if original.date != "" {
			wrap(b, "  ", "Date: "+original.date)
		}
		b.WriteString("\r\n")
	}
	if len(n.Returned) > 0 {
		if n.HeaderOnly {
			p("Its header is attached.")
		} else {
			p("It is attached.")
		}
	}
	p("This report was written by the mail server %s.", clean(n.Hostname))
}

// explain says what a failure means to somebody who knows nothing of SMTP.
// Servers use the codes loosely, so only those are interpreted that are used
// alike by most.
func explain(r Recipient) string {
	if r.Explanation != "" {
		first, size := utf8.DecodeRuneInString(r.Explanation)
		return string(unicode.ToUpper(first)) + r.Explanation[size:] + "."
	}
	class, code := r.Status[0], [2]int{r.Status[1], r.Status[2]}
	switch {
	case code == [2]int{1, 1}:
		return "There is no such mailbox. Please check the part before the @."
	case code == [2]int{1, 2}, code == [2]int{1, 10}:
		return "The domain takes no mail. Please check the part after the @."
	case code == [2]int{2, 1}:
		return "The mailbox is disabled."
	case code == [2]int{2, 2}:
		return "The recipient's mailbox is full."
	case code == [2]int{2, 3}, code == [2]int{3, 4}:
		return "The message is too large for the recipient's server."
	case code[0] == 4:
		return "The recipient's server could not be reached."
	case code[0] == 7 && class == 5:
		return "The recipient's server refuses the message by its rules."
	case class == 5:
		return "The recipient's server refused the message."
	default:
		return "The recipient's server did not take the message in time."
	}
}

// wrap writes a paragraph in lines of lineWidth with an indent.
func wrap(b *bytes.Buffer, indent, s string) {
	line := indent
	for _, word := range strings.Fields(s) {
		for len(word) > lineLimit {
			cut := lineLimit
			for !utf8.RuneStart(word[cut]) {
				cut--
			}
			b.WriteString(line + "\r\n")
			line, word = indent+word[:cut], word[cut:]
		}
		if line != indent && len(line)+1+len(word) > lineWidth {
			b.WriteString(line + "\r\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\r\n")
}
