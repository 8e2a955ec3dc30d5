package mimeindex

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	formVersion = 1
	// maxLevels bounds the recursion of Unmarshal: parts and the messages in them.
	maxLevels = 2*maxDepth + 2
)

// Bits of a part's mark.
const (
	hasType = 1 << iota
	hasParams
	hasDisposition
	hasID
	hasDescription
	hasEncoding
	hasMD5
	hasLanguage
	hasLocation
	hasChildren
	hasEmbedded
)

// ErrForm is a stored form that is damaged or of another version.
var ErrForm = errors.New("mimeindex: not an index of this version")

// dictionary holds strings that most messages have. It may grow at its end
// only: its places are on disk.
var dictionary = [...]string{
	"text", "plain", "html", "multipart", "mixed", "alternative", "related", "application", "octet-stream", "image",
	"png", "jpeg", "gif", "pdf", "message", "rfc822", "7bit", "8bit", "base64", "quoted-printable",
	"charset", "utf-8", "UTF-8", "us-ascii", "iso-8859-1", "ISO-8859-1", "boundary", "name", "filename", "attachment",
	"inline", "format", "flowed", "delsp", "signed", "report", "delivery-status", "windows-1252", "Windows-1252", "type",
	"text/html", "multipart/alternative", "protocol", "micalg", "size", "creation-date", "modification-date", "gmail.com", "binary", "calendar",
}

// MarshalBinary gives the stored form; see the package comment. The error is nil.
func (x *Index) MarshalBinary() ([]byte, error) {
	w := &formWriter{places: map[string]uint64{}}
	for i, s := range dictionary {
		w.places[s] = uint64(i)
	}
	w.b = append(w.b, formVersion)
	w.number(uint64(x.Size))
	w.number(uint64(x.Lines))
	env := &formWriter{places: w.places}
	env.envelope(x.Envelope())
	w.number(uint64(len(env.b)))
	w.b = append(w.b, env.b...)
	w.part(&x.Root, x.Root.HeaderOffset)
	return w.b, nil
}

type formWriter struct {
	b      []byte
	places map[string]uint64
}

func (w *formWriter) number(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *formWriter) string(s string) {
	if place, ok := w.places[s]; ok {
		w.number(place<<1 | 1)
		return
	}
	w.number(uint64(len(s)) << 1)
	w.b = append(w.b, s...)
}

func (w *formWriter) params(p Params) {
	w.number(uint64(len(p)))
	for _, q := range p {
		w.string(q.Name)
		w.string(q.Value)
	}
}

func (w *formWriter) envelope(e *Envelope) {
	for _, s := range []string{e.Date, e.Subject, e.InReplyTo, e.MessageID} {
		w.string(s)
	}
	lists := [][]Address{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc}
	for _, l := range lists {
		w.number(uint64(len(l)))
	}
	for _, l := range lists {
		for i := range l {
			w.address(&l[i])
		}
	}
}

func (w *formWriter) address(a *Address) {
	mark := byte(a.Kind)
	if a.Name != "" {
		mark |= 4
	}
	if a.Route != "" {
		mark |= 8
	}
	w.b = append(w.b, mark)
	if a.Kind != GroupEnd {
		w.string(a.Mailbox)
	}
	if a.Kind == Mailbox {
		w.string(a.Host)
	}
	if a.Name != "" {
		w.string(a.Name)
	}
	if a.Route != "" {
		w.string(a.Route)
	}
}

func (w *formWriter) part(p *Part, from int64) {
	var mark uint64
	for _, f := range []struct {
		bit uint64
		has bool
	}{
		{hasType, p.Type != "text" || p.Subtype != "plain"}, {hasParams, len(p.Params) > 0}, {hasDisposition, p.Disposition != ""},
		{hasID, p.ID != ""}, {hasDescription, p.Description != ""}, {hasEncoding, p.Encoding != "7bit"}, {hasMD5, p.MD5 != ""},
		{hasLanguage, len(p.Language) > 0}, {hasLocation, p.Location != ""}, {hasChildren, len(p.Children) > 0}, {hasEmbedded, p.Embedded != nil},
	} {
		if f.has {
			mark |= f.bit
		}
	}
	w.number(mark)
	w.number(uint64(p.HeaderOffset - from))
	w.number(uint64(p.BodyOffset - p.HeaderOffset))
	w.number(uint64(p.BodySize))
	w.number(uint64(p.Lines))
	if mark&hasType != 0 {
		w.string(p.Type)
		w.string(p.Subtype)
	}
	if mark&hasParams != 0 {
		w.params(p.Params)
	}
	if mark&hasDisposition != 0 {
		w.string(p.Disposition)
		w.params(p.DispositionParams)
	}
	for _, f := range []struct {
		bit uint64
		s   string
	}{{hasID, p.ID}, {hasDescription, p.Description}, {hasEncoding, p.Encoding}, {hasMD5, p.MD5}} {
		if mark&f.bit != 0 {
			w.string(f.s)
		}
	}
	if mark&hasLanguage != 0 {
		w.number(uint64(len(p.Language)))
		for _, l := range p.Language {
			w.string(l)
		}
	}
	if mark&hasLocation != 0 {
		w.string(p.Location)
	}
	from = p.BodyOffset
	if mark&hasChildren != 0 {
		w.number(uint64(len(p.Children)))
		for i := range p.Children {
			w.part(&p.Children[i], from)
			from = p.Children[i].end()
		}
	}
	if mark&hasEmbedded != 0 {
		env := p.Embedded.Envelope
		if env == nil {
			env = &Envelope{}
		}
		w.envelope(env)
		w.part(p.Embedded, from)
	}
}

// Unmarshal reads the stored form. A damaged one gives ErrForm or an Index that
// holds to the invariants of the package comment, and never more memory than a
// hundred times its length.
func Unmarshal(b []byte) (*Index, error) {
	if len(b) == 0 || b[0] != formVersion {
		return nil, ErrForm
	}
	r := formReader{b: b[1:], s: string(b[1:])}
	x := &Index{Size: r.offset(), Lines: r.offset()}
	n := r.number()
	if n > uint64(len(r.b)) {
		return nil, ErrForm
	}
	env := formReader{b: r.b[:n], s: r.s[:n]}
	e := env.envelope()
	r.skip(int(n))
	x.Root = r.part(0, 0)
	x.Root.Envelope = e
	switch {
	case env.failed || r.failed || len(env.b) > 0 || len(r.b) > 0:
		return nil, ErrForm
	case x.Root.HeaderOffset != 0, x.Root.end() > x.Size:
		return nil, fmt.Errorf("%w: the parts are not those of a message of this size", ErrForm)
	}
	return x, nil
}

// formReader reads what is left of a form. Strings share the memory of one copy
// of it.
type formReader struct {
	b      []byte
	s      string // of the same bytes
	failed bool
}

func (r *formReader) fail() {
	r.failed = true
	r.b, r.s = nil, ""
}

func (r *formReader) skip(n int) { r.b, r.s = r.b[n:], r.s[n:] }

func (r *formReader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.skip(size)
	return n
}

// offset is a number that is a place in a message or a size.
func (r *formReader) offset() int64 {
	n := r.number()
	if n > 1<<48 {
		r.fail()
		return 0
	}
	return int64(n)
}

// count is a number of things that take a byte each at least.
func (r *formReader) count() int {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *formReader) string() string {
	n := r.number()
	if n&1 != 0 {
		if n >>= 1; n < uint64(len(dictionary)) {
			return dictionary[n]
		}
		r.fail()
		return ""
	}
	n >>= 1
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	s := r.s[:n]
	r.skip(int(n))
	return s
}

func (r *formReader) params() (p Params) {
	n := r.count()
	for range n {
		p = append(p, Param{r.string(), r.string()})
	}
	return p
}

func (r *formReader) envelope() *Envelope {
	e := &Envelope{Date: r.string(), Subject: r.string(), InReplyTo: r.string(), MessageID: r.string()}
	lists := []*[]Address{&e.From, &e.Sender, &e.ReplyTo, &e.To, &e.Cc, &e.Bcc}
	var counts [6]int
	for i := range lists {
		counts[i] = r.count()
	}
	for i, l := range lists {
		if counts[i] > len(r.b) {
			r.fail()
			return e
		}
		if counts[i] == 0 {
			continue
		}
		*l = make([]Address, 0, counts[i])
		for range counts[i] {
			*l = append(*l, r.address())
		}
	}
	return e
}

func (r *formReader) address() (a Address) {
	if len(r.b) == 0 {
		r.fail()
		return a
	}
	mark := r.b[0]
	r.skip(1)
	a.Kind = AddressKind(mark & 3)
	if a.Kind > GroupEnd {
		r.fail()
		return a
	}
	if a.Kind != GroupEnd {
		a.Mailbox = r.string()
	}
	if a.Kind == Mailbox {
		a.Host = r.string()
	}
	if mark&4 != 0 {
		a.Name = r.string()
	}
	if mark&8 != 0 {
		a.Route = r.string()
	}
	return a
}

func (r *formReader) part(from int64, level int) (p Part) {
	if level > maxLevels {
		r.fail()
		return p
	}
	mark := r.number()
	p.Type, p.Subtype, p.Encoding = "text", "plain", "7bit"
	p.HeaderOffset = from + r.offset()
	p.BodyOffset = p.HeaderOffset + r.offset()
	p.BodySize, p.Lines = r.offset(), r.offset()
	if mark&hasType != 0 {
		p.Type, p.Subtype = r.string(), r.string()
	}
	if mark&hasParams != 0 {
		p.Params = r.params()
	}
	if mark&hasDisposition != 0 {
		p.Disposition, p.DispositionParams = r.string(), r.params()
	}
	for _, f := range []struct {
		bit uint64
		s   *string
	}{{hasID, &p.ID}, {hasDescription, &p.Description}, {hasEncoding, &p.Encoding}, {hasMD5, &p.MD5}} {
		if mark&f.bit != 0 {
			*f.s = r.string()
		}
	}
	if mark&hasLanguage != 0 {
		n := r.count()
		for range n {
			p.Language = append(p.Language, r.string())
		}
	}
	if mark&hasLocation != 0 {
		p.Location = r.string()
	}
	from = p.BodyOffset
	if mark&hasChildren != 0 {
		n := r.count()
		for range n {
			if r.failed {
				return p
			}
			c := r.part(from, level+1)
			from = c.end()
			if c.end() > p.end() {
				r.fail()
			}
			p.Children = append(p.Children, c)
		}
	}
	if mark&hasEmbedded != 0 {
		env := r.envelope()
		c := r.part(from, level+1)
		c.Envelope = env
		if c.end() > p.end() {
			r.fail()
		}
		p.Embedded = &c
	}
	// What reads a tree relies on these.
	if (len(p.Children) > 0) != p.Is("multipart", "") || (p.Embedded != nil) != p.isMessage() {
		r.fail()
	}
	return p
}
