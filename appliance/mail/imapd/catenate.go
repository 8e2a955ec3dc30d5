package imapd

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/imapwire"
	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// maxPieces bounds the pieces of one CATENATE.
const maxPieces = 1000

// catenate puts a message together from literals and parts of messages that
// are here already (RFC 4469 section 3).
func (c *conn) catenate(ctx context.Context, batch *session.Append, m *session.Message) error {
	var failed error
	pieces := 0
	c.dec.List(false, func() {
		if pieces++; pieces > maxPieces {
			failed = no(imap.ResponseCodeLimit, "Too many pieces")
		}
		switch c.dec.Keyword() {
		case "TEXT":
			c.dec.SP()
			if failed == nil {
				failed = c.appendLiteral(ctx, batch, m, false)
			}
		case "URL":
			c.dec.SP()
			link := c.dec.AString()
			if failed == nil && c.dec.Err() == nil {
				failed = c.appendURL(ctx, batch, m, link)
			}
		default:
			c.dec.Fail("TEXT or URL expected")
		}
		if failed != nil {
			// Nothing more of the command is of use; what of it comes is skipped.
			c.dec.Fail("Given up")
		}
	})
	if failed != nil {
		return failed
	}
	return c.dec.Err()
}

// appendURL adds the part a URL names.
func (c *conn) appendURL(ctx context.Context, batch *session.Append, m *session.Message, link string) error {
	ref, ok := parseURL(link)
	if !ok {
		return badURL(link)
	}
	r, size, err := c.user.OpenPart(ctx, ref)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, session.ErrNoRight) {
			return badURL(link)
		}
		return err
	}
	defer r.Close()
	if size > c.srv.cfg.AppendLimit()-m.Size() {
		return errTooLarge
	}
	if err := batch.Fits(ctx, size); err != nil {
		return err
	}
	_, err = m.ReadFrom(r)
	return err
}

// badURL answers a URL that leads nowhere (RFC 4469 section 4).
func badURL(link string) error {
	return no(imap.ResponseCode(`BADURL "`+oneLine(strings.NewReplacer(`"`, "", `\`, "").Replace(link))+`"`), "No such part")
}

// parseURL reads a URL relative to this server (RFC 5092 section 7.1):
// /mailbox;UIDVALIDITY=1/;UID=2/;SECTION=1.2/;PARTIAL=0.100
func parseURL(link string) (*session.PartRef, bool) {
	box, rest, ok := strings.Cut(strings.TrimPrefix(link, "/"), "/;")
	if !ok || !strings.HasPrefix(link, "/") {
		return nil, false
	}
	ref := &session.PartRef{Count: -1}
	if i := strings.LastIndex(strings.ToUpper(box), ";UIDVALIDITY="); i >= 0 {
		n, err := strconv.ParseUint(box[i+len(";UIDVALIDITY="):], 10, 32)
		if err != nil || n == 0 {
			return nil, false
		}
		box, ref.UIDValidity = box[:i], uint32(n)
	}
	name, err := url.PathUnescape(box)
	if err != nil {
		return nil, false
	}
	if ref.Mailbox, ok = imapwire.DecodeMailbox(name, true); !ok {
		return nil, false
	}
	for param := range strings.SplitSeq(rest, "/;") {
		key, value, _ := strings.Cut(param, "=")
		switch strings.ToUpper(key) {
		case "UID":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil || n == 0 {
				return nil, false
			}
			ref.UID = store.UID(n)
		case "SECTION":
			text, err := url.PathUnescape(value)
			if err != nil || strings.ContainsAny(text, "\r\n") {
				return nil, false
			}
			d := imapwire.NewDecoder(strings.NewReader("["+text+"]\n"), len(text)+2, nil)
			if d.Begin() != nil {
				return nil, false
			}
			takeSection(d, &ref.Section)
			if d.End() != nil {
				return nil, false
			}
		case "PARTIAL":
			off, count, has := strings.Cut(value, ".")
			n, err := strconv.ParseUint(off, 10, 62)
			if err != nil {
				return nil, false
			}
			ref.Offset = int64(n)
			if has {
				k, err := strconv.ParseUint(count, 10, 62)
				if err != nil {
					return nil, false
				}
				ref.Count = int64(k)
			}
		default:
			return nil, false
		}
	}
	return ref, ref.UID != 0
}
