package mimeindex

import (
	"iter"
	"strings"
	"time"
)

const (
	// maxDepth is how deep parts may nest. Mail from people nests five deep;
	// bounces of bounces twenty. The reader's stack and the clients' are spared
	// what is made to break them.
	maxDepth = 100
	// maxParts bounds the parts of a message: each costs a few hundred bytes.
	maxParts = 10_000
	// maxHeader is how much of the message's header block is kept, bytes.
	maxHeader = 64 << 10
	// maxField is the longest header field read, other than those with
	// addresses, bytes.
	maxField = 64 << 10
	// maxFields bounds what is read of all those fields of all headers.
	maxFields = 4 << 20
	// maxAddresses bounds what is read of address fields of all headers, bytes:
	// room for a hundred thousand recipients.
	maxAddresses = 8 << 20
	// maxReferences is how many ids of a References field are kept.
	maxReferences = 100
	// maxPreview is the length of a preview in characters (RFC 8970 section 3.1).
	maxPreview = 200
)

// Index is what is known of a message.
type Index struct {
	Size  int64 // bytes
	Lines int64 // line feeds
	Root  Part  // the message itself

	// What follows is there after Parse and Finish alone; the stored form is
	// without it, for the store keeps it elsewhere.

	Header          []byte   // raw header block, at most 64 KiB
	HeaderTruncated bool     // the header is longer than that
	References      []string // ids without brackets, oldest first, at most 100
	Preview         string   // RFC 8970
}

// Envelope is the envelope of the message; never nil.
func (x *Index) Envelope() *Envelope {
	if x.Root.Envelope == nil {
		return &Envelope{}
	}
	return x.Root.Envelope
}

// Part is one MIME entity: the message itself, a part of a multipart, or the
// message in a message/rfc822.
//
// Strings from the header are as they were written but for folding, comments
// and quotes, in whatever charset; see Decode for text that people can read.
type Part struct {
	Type, Subtype     string // as written; "text", "plain" by default
	Params            Params // of Content-Type
	Disposition       string // "" where there is none
	DispositionParams Params
	ID                string // with its brackets
	Description       string // raw
	Encoding          string // transfer encoding as written; "7bit" by default
	MD5               string
	Language          []string
	Location          string

	HeaderOffset int64
	BodyOffset   int64
	BodySize     int64
	Lines        int64 // line feeds in the body

	Children []Part // of a multipart
	Embedded *Part  // of message/rfc822 and message/global
	Envelope *Envelope
}

// Is reports whether the part has this type, and this subtype unless that is "".
func (p *Part) Is(typ, subtype string) bool {
	return strings.EqualFold(p.Type, typ) && (subtype == "" || strings.EqualFold(p.Subtype, subtype))
}

// isMessage reports whether the part holds a message that is looked into.
func (p *Part) isMessage() bool { return p.Is("message", "rfc822") || p.Is("message", "global") }

// IsAttachment reports whether the sender meant the part to be saved rather
// than shown (RFC 2183 section 2.2).
func (p *Part) IsAttachment() bool {
	return p.Disposition != "" && !strings.EqualFold(p.Disposition, "inline")
}

// Charset is the charset parameter, "" where there is none.
func (p *Part) Charset() string { return p.Params.Get("charset") }

// Filename is the name the sender gave the part, decoded; "" where there is none.
func (p *Part) Filename() string {
	if s := p.DispositionParams.Text("filename"); s != "" {
		return s
	}
	return p.Params.Text("name")
}

// All goes through the part and all below it, parts before what they hold. The
// depth of the part itself is 0.
func (p *Part) All() iter.Seq2[int, *Part] {
	return func(yield func(int, *Part) bool) { p.walk(0, yield) }
}

func (p *Part) walk(depth int, yield func(int, *Part) bool) bool {
	if !yield(depth, p) {
		return false
	}
	for i := range p.Children {
		if !p.Children[i].walk(depth+1, yield) {
			return false
		}
	}
	return p.Embedded == nil || p.Embedded.walk(depth+1, yield)
}

// end is the offset after the part.
func (p *Part) end() int64 { return p.BodyOffset + p.BodySize }

// Envelope holds the fields of a header that lists of messages show (RFC 9051
// section 2.3.5). Strings are raw: unfolded, encoded words as they are. A
// server of IMAP answers From for an empty Sender or ReplyTo (RFC 9051 section
// 7.5.2).
type Envelope struct {
	Date      string
	Subject   string
	InReplyTo string
	MessageID string
	From      []Address
	Sender    []Address
	ReplyTo   []Address
	To        []Address
	Cc        []Address
	Bcc       []Address
}

// Sent is the Date field's time in the sender's zone, zero where it cannot be read.
func (e *Envelope) Sent() time.Time {
	t, _ := ParseDate(e.Date)
	return t
}

// AddressKind tells mailboxes from the marks around a group.
type AddressKind uint8

// The kinds of entries in an address list.
const (
	Mailbox    AddressKind = iota
	GroupStart             // Mailbox is the name of the group
	GroupEnd               // all fields are empty
)

// Address is an entry in an address list. What the sender left out is "".
type Address struct {
	Kind    AddressKind
	Name    string // display name or comment without quotes, encoded words as they are
	Route   string // obsolete source route, as @a,@b (RFC 5322 section 4.4)
	Mailbox string // local part without quotes
	Host    string
}

// DisplayName is Name, or of a group its name, as people read it.
func (a *Address) DisplayName() string {
	if a.Kind == GroupStart {
		return Decode(a.Mailbox)
	}
	return Decode(a.Name)
}

// Addr is mailbox@host, or what there is of it, "" for the marks of a group.
func (a *Address) Addr() string {
	switch {
	case a.Kind != Mailbox:
		return ""
	case a.Host == "":
		return a.Mailbox
	}
	return a.Mailbox + "@" + a.Host
}

// SortName is what SORT by display name compares (RFC 5957 section 3): the
// display name of the first address, else its local part and host.
func SortName(list []Address) string {
	for i := range list {
		a := &list[i]
		if a.Kind == GroupEnd {
			continue
		}
		if s := a.DisplayName(); s != "" {
			return s
		}
		return a.Addr()
	}
	return ""
}

// SortMailbox is what SORT by address compares (RFC 5256 section 3): the local
// part of the first address, or the name of the group that comes first.
func SortMailbox(list []Address) string {
	if len(list) == 0 {
		return ""
	}
	return list[0].Mailbox
}
