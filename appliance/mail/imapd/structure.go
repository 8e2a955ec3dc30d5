package imapd

import (
	"slices"
	"strings"

	"pillarbox/appliance/mail/imapd/imapwire"
	"pillarbox/appliance/mail/mimeindex"
)

// writeEnvelope writes an envelope (RFC 9051 section 7.5.2). Sender and
// Reply-To stand for From where they are missing.
func writeEnvelope(e *imapwire.Encoder, v *mimeindex.Envelope) {
	or := func(list []mimeindex.Address) []mimeindex.Address {
		if len(list) == 0 {
			return v.From
		}
		return list
	}
	e.Byte('(').NString(v.Date).SP().NString(v.Subject)
	for _, list := range [...][]mimeindex.Address{v.From, or(v.Sender), or(v.ReplyTo), v.To, v.Cc, v.Bcc} {
		e.SP()
		writeAddresses(e, list)
	}
	e.SP().NString(v.InReplyTo).SP().NString(v.MessageID).Byte(')')
}

// maxAddressList is where an address list of an envelope is cut off, bytes.
// Clients bound the line they read (Python's imaplib: a million bytes), and one
// that gives up loses the whole mailbox, not the rest of a list of thousands.
// All six lists together stay below. The header itself is served whole.
const maxAddressList = 150_000

// writeAddresses writes an address list. Only the marks of a group have no
// host, so a mailbox without one has an empty host.
func writeAddresses(e *imapwire.Encoder, list []mimeindex.Address) {
	if len(list) == 0 {
		e.Nil()
		return
	}
	e.Byte('(')
	left, group := maxAddressList, false
	for i := range list {
		a := &list[i]
		const around = len(`("" "" "" "")`)
		if left -= len(a.Name) + len(a.Route) + len(a.Mailbox) + len(a.Host) + around; left < 0 {
			if group {
				e.Raw("(NIL NIL NIL NIL)")
			}
			break
		}
		switch a.Kind {
		case mimeindex.GroupStart:
			group = true
			e.Raw("(NIL NIL ").String(a.Mailbox).Raw(" NIL)")
		case mimeindex.GroupEnd:
			group = false
			e.Raw("(NIL NIL NIL NIL)")
		default:
			e.Byte('(').NString(a.Name).SP().NString(a.Route).SP().String(a.Mailbox).SP().String(a.Host).Byte(')')
		}
	}
	e.Byte(')')
}

// writeStructure writes the structure of a part: BODYSTRUCTURE, or, without
// the extension data, BODY (RFC 9051 section 7.5.2).
func writeStructure(e *imapwire.Encoder, p *mimeindex.Part, extension bool) {
	e.Byte('(')
	if len(p.Children) > 0 {
		for i := range p.Children {
			writeStructure(e, &p.Children[i], extension)
		}
		e.SP().String(p.Subtype)
		if extension {
			e.SP()
			writeParams(e, p.Params)
			writeExtension(e, p)
		}
		e.Byte(')')
		return
	}
	e.String(p.Type).SP().String(p.Subtype).SP()
	params := p.Params
	if p.Is("text", "") && params.Text("charset") == "" && params.Get("charset") == "" {
		// What is assumed without it is told (RFC 2046 section 4.1.2).
		params = append(slices.Clip(params), mimeindex.Param{Name: "charset", Value: "us-ascii"})
	}
	writeParams(e, params)
	e.SP().NString(p.ID).SP().NString(p.Description).SP().String(p.Encoding).SP().Num(uint64(p.BodySize))
	switch {
	case p.Embedded != nil && (e.UTF8 || strings.EqualFold(p.Subtype, "rfc822")):
		// To IMAP4rev1 message/global is a type like others: its clients
		// expect an envelope with message/rfc822 alone.
		env := p.Embedded.Envelope
		if env == nil {
			env = &mimeindex.Envelope{}
		}
		e.SP()
		writeEnvelope(e, env)
		e.SP()
		writeStructure(e, p.Embedded, extension)
		e.SP().Num(uint64(p.Lines))
	case p.Is("text", ""):
		e.SP().Num(uint64(p.Lines))
	}
	if extension {
		e.SP().NString(p.MD5)
		writeExtension(e, p)
	}
	e.Byte(')')
}

// writeExtension writes disposition, languages and location, each after a space.
func writeExtension(e *imapwire.Encoder, p *mimeindex.Part) {
	e.SP()
	if p.Disposition == "" {
		e.Nil()
	} else {
		e.Byte('(').String(p.Disposition).SP()
		writeParams(e, p.DispositionParams)
		e.Byte(')')
	}
	e.SP()
	if len(p.Language) == 0 {
		e.Nil()
	} else {
		e.Byte('(')
		for i, l := range p.Language {
			if i > 0 {
				e.SP()
			}
			e.String(l)
		}
		e.Byte(')')
	}
	e.SP().NString(p.Location)
}

func writeParams(e *imapwire.Encoder, params mimeindex.Params) {
	if len(params) == 0 {
		e.Nil()
		return
	}
	e.Byte('(')
	for i, p := range params {
		if i > 0 {
			e.SP()
		}
		e.String(p.Name).SP().String(p.Value)
	}
	e.Byte(')')
}
