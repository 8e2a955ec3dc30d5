package imapd

import (
	"bytes"
	"context"
	"strconv"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// maxMetadataEntries bounds the entries of one command.
const maxMetadataEntries = 100

// cmdGetMetadata answers GETMETADATA (RFC 5464 section 4.2).
func (c *conn) cmdGetMetadata(ctx context.Context, cl *call) error {
	limit, depth := int64(-1), 0
	c.dec.SP()
	options := func() {
		c.dec.List(false, func() {
			switch c.dec.Keyword() {
			case "MAXSIZE":
				c.dec.SP()
				limit = int64(c.dec.Number())
			case "DEPTH":
				c.dec.SP()
				switch c.dec.Keyword() {
				case "0":
					depth = 0
				case "1":
					depth = 1
				case "INFINITY":
					depth = -1
				default:
					c.dec.Fail("0, 1 or infinity expected")
				}
			default:
				c.dec.Fail("Unknown option")
			}
		})
		c.dec.SP()
	}
	// The options stand before the mailbox in the grammar, and after it in the
	// examples and in clients.
	if c.dec.Peek() == '(' {
		options()
	}
	name, ok := c.dec.Mailbox()
	c.dec.SP()
	if c.dec.NextIs("(MAXSIZE ") || c.dec.NextIs("(DEPTH ") {
		options()
	}
	var entries []string
	take := func() {
		e := c.dec.AString()
		valid := session.ValidEntry(e) || depth != 0 && session.IsRoot(e)
		if !valid || len(entries) >= maxMetadataEntries {
			c.dec.Fail("Bad entry name")
		}
		entries = append(entries, e)
	}
	if c.dec.Peek() == '(' {
		c.dec.List(false, take)
	} else {
		take()
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	if !ok {
		return store.ErrNotFound
	}
	longest, any := int64(0), false
	err := c.user.Metadata(ctx, name, entries, depth, func(a session.Annotation) error {
		if limit >= 0 && int64(len(a.Value)) > limit {
			longest = max(longest, int64(len(a.Value)))
			return nil
		}
		if any {
			c.enc.SP()
		} else {
			c.enc.Raw("* METADATA ").Mailbox(name).Raw(" (")
			any = true
		}
		c.enc.AString(a.Entry).SP()
		writeMetadataValue(c, a.Value)
		return c.enc.Err()
	})
	if any {
		c.enc.Byte(')').End()
	}
	if err != nil {
		return err
	}
	if longest > 0 {
		cl.code = "METADATA LONGENTRIES " + strconv.FormatInt(longest, 10)
	}
	return nil
}

func writeMetadataValue(c *conn, v []byte) {
	if v == nil {
		c.enc.Nil()
		return
	}
	// RFC 5464 section 5: a literal8 where a literal cannot hold it.
	binary := bytes.IndexByte(v, 0) >= 0
	c.enc.BeginLiteral(int64(len(v)), binary)
	if binary {
		c.enc.BinaryChunk(v)
	} else {
		c.enc.Chunk(v)
	}
}

// cmdSetMetadata answers SETMETADATA (RFC 5464 section 4.3).
func (c *conn) cmdSetMetadata(ctx context.Context, _ *call) error {
	name, ok := c.mailboxArg()
	c.dec.SP()
	var changes []session.Annotation
	c.dec.List(false, func() {
		a := session.Annotation{Entry: c.dec.AString()}
		if !session.ValidEntry(a.Entry) || len(changes) >= maxMetadataEntries {
			c.dec.Fail("Bad entry name")
		}
		c.dec.SP()
		if v, there := c.dec.NString(); there {
			a.Value = []byte(v)
		}
		changes = append(changes, a)
	})
	if err := c.dec.End(); err != nil {
		return err
	}
	if !ok {
		return store.ErrNotFound
	}
	return c.user.SetMetadata(ctx, name, changes)
}
