package mimeindex

import (
	"bytes"
	"strings"
)

// wanted are the fields that are read of a header. The order is that of values.
const (
	fContentType = iota
	fDisposition
	fID
	fDescription
	fEncoding
	fMD5
	fLanguage
	fLocation
	fDate
	fSubject
	fInReplyTo
	fMessageID
	fReferences
	fFrom // from here on lists of addresses
	fSender
	fReplyTo
	fTo
	fCc
	fBcc
	fieldCount
)

func wanted(name []byte) int {
	names := [fieldCount]string{
		"Content-Type", "Content-Disposition", "Content-ID", "Content-Description", "Content-Transfer-Encoding",
		"Content-MD5", "Content-Language", "Content-Location", "Date", "Subject", "In-Reply-To", "Message-ID",
		"References", "From", "Sender", "Reply-To", "To", "Cc", "Bcc",
	}
	for i, n := range names {
		if len(n) == len(name) && strings.EqualFold(n, string(name)) {
			return i
		}
	}
	return -1
}

// header collects the fields of one header block that are of use.
type header struct {
	envelope bool // of a message, not of a part

	fields     int   // seen so far
	strays     int   // lines since the last field that are no fields
	stray      int64 // where they begin
	strayLines int64 // line feeds before that

	current int // the wanted field under way, -1 for another one
	skip    bool
	values  [fieldCount][]byte
	seen    [fieldCount]bool

	left          int // of maxFields, of all headers
	leftAddresses int // of maxAddresses
	leftList      int // of maxList
}

func (h *header) init() { h.left, h.leftAddresses, h.leftList = maxFields, maxAddresses, maxList }

// begin makes ready for the next header block.
func (h *header) begin(envelope bool) {
	*h = header{envelope: envelope, current: -1, left: h.left, leftAddresses: h.leftAddresses, leftList: h.leftList}
}

// skipLine drops what is still to come of a line that is no part of the header.
func (h *header) skipLine() { h.skip = true }

// line takes a line of the header that begins at an offset, or the beginning of
// a long one. lines counts the line feeds so far, its own among them.
func (h *header) line(b []byte, at, lines int64) {
	h.skip = false
	if isWSP(b[0]) && (h.fields > 0 || h.strays > 0) {
		if h.strays == 0 {
			h.more(b)
		}
		return
	}
	c := colon(b)
	if c < 0 {
		if h.strays == 0 {
			h.stray, h.strayLines = at, lines
			if b[len(b)-1] == '\n' {
				h.strayLines--
			}
		}
		h.strays++
		h.current = -1
		return
	}
	h.fields++
	h.strays = 0
	h.current = wanted(bytes.TrimRight(b[:c], " \t"))
	if h.current < 0 {
		return
	}
	switch {
	case !h.envelope && h.current >= fDate:
		h.current = -1
	case h.seen[h.current] && h.current < fFrom:
		h.current = -1 // the first of several counts
	case h.seen[h.current]:
		h.more([]byte{','}) // lists of addresses add up
	}
	if h.current >= 0 {
		h.seen[h.current] = true
		h.more(b[c+1:])
	}
}

// more takes more of the line that came last.
func (h *header) more(b []byte) {
	if h.skip {
		return
	}
	if h.current < 0 || h.strays > 0 {
		return
	}
	room := &h.left
	n := len(b)
	if h.current >= fFrom {
		room = &h.leftAddresses
	} else {
		n = min(n, maxField-len(h.values[h.current]))
	}
	n = max(0, min(n, *room))
	*room -= n
	h.values[h.current] = append(h.values[h.current], b[:n]...)
}

func (h *header) text(field int) string { return Unfold(h.values[field]) }

func (h *header) addresses(field int) []Address {
	list := parseAddresses(h.values[field], h.leftList)
	h.leftList = max(0, h.leftList-len(list))
	return list
}

// finish fills a part, and its envelope where it is a message.
func (h *header) finish(p *Part, x *Index, root, digest bool) {
	p.Type, p.Subtype, p.Encoding = "text", "plain", "7bit"
	if digest {
		p.Type, p.Subtype = "message", "rfc822"
	}
	if h.seen[fContentType] {
		contentType(p, h.text(fContentType))
	}
	if d, params := valueAndParams(h.text(fDisposition)); d != "" { // parameters of nothing say nothing
		p.Disposition, p.DispositionParams = d, params
	}
	if e := token(h.text(fEncoding)); e != "" {
		p.Encoding = e
	}
	p.ID, p.Description = h.text(fID), h.text(fDescription)
	p.MD5, p.Location = h.text(fMD5), strings.ReplaceAll(h.text(fLocation), " ", "")
	for _, l := range strings.Split(h.text(fLanguage), ",") {
		if l = token(l); l != "" && len(p.Language) < maxParams {
			p.Language = append(p.Language, l)
		}
	}
	if !h.envelope {
		return
	}
	p.Envelope = &Envelope{
		Date: h.text(fDate), Subject: h.text(fSubject), InReplyTo: h.text(fInReplyTo), MessageID: h.text(fMessageID),
		From: h.addresses(fFrom), Sender: h.addresses(fSender), ReplyTo: h.addresses(fReplyTo),
		To: h.addresses(fTo), Cc: h.addresses(fCc), Bcc: h.addresses(fBcc),
	}
	if root {
		x.References = references(h.text(fReferences), p.Envelope.InReplyTo)
	}
}

// contentType reads a Content-Type; one that cannot be read is text/plain (RFC
// 2045 section 5.2).
func contentType(p *Part, value string) {
	v, params := valueAndParams(value)
	typ, subtype, ok := strings.Cut(v, "/")
	typ, subtype = token(typ), token(subtype)
	switch {
	case ok && typ != "" && subtype != "":
		p.Type, p.Subtype, p.Params = typ, subtype, params
	case strings.EqualFold(typ, "text"), typ == "":
		p.Type, p.Subtype, p.Params = "text", "plain", params
	case strings.EqualFold(typ, "multipart"):
		p.Type, p.Subtype, p.Params = typ, "mixed", params
	default:
		p.Type, p.Subtype, p.Params = "application", "octet-stream", params
	}
}

// references are the ids of References, else the first of In-Reply-To (RFC
// 5256 section 2.2), without their brackets, the last maxReferences of them.
func references(refs, inReplyTo string) []string {
	ids := messageIDs(refs)
	if len(ids) == 0 {
		if ids = messageIDs(inReplyTo); len(ids) > 1 {
			ids = ids[:1]
		}
	}
	return ids[max(0, len(ids)-maxReferences):]
}

// messageIDs are the ids in a field. Ids that a program cut or wrote without
// brackets are no ids.
func messageIDs(s string) (ids []string) {
	for {
		_, rest, ok := strings.Cut(s, "<")
		if !ok {
			return ids
		}
		id, after, ok := strings.Cut(rest, ">")
		if !ok {
			return ids
		}
		if id = strings.Join(strings.Fields(id), ""); id != "" && !strings.Contains(id, "<") {
			ids = append(ids, id)
		}
		s = after
	}
}
