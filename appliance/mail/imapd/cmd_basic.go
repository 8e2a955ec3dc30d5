package imapd

import (
	"context"
	"strings"
)

// cmdNoop answers NOOP and CHECK (RFC 9051 section 6.1.2, RFC 3501 section
// 6.4.1): what changed is told after every command.
func (c *conn) cmdNoop(_ context.Context, _ *call) error { return c.dec.End() }

// cmdLogout answers LOGOUT (RFC 9051 section 6.1.3).
func (c *conn) cmdLogout(_ context.Context, cl *call) error {
	if err := c.dec.End(); err != nil {
		return err
	}
	c.enc.Raw("* BYE Goodbye").End()
	c.leaving = true
	cl.noSync = true
	return nil
}

// maxIDFields bounds what a client may tell of itself (RFC 2971 section 3.3).
const maxIDFields = 30

// maxIDLogged bounds what of that the log keeps, in octets: programs tell their
// name, version and system in less.
const maxIDLogged = 512

// cmdID answers ID (RFC 2971).
func (c *conn) cmdID(_ context.Context, _ *call) error {
	var told []string
	size := 0
	c.dec.SP()
	if !c.dec.Nil() {
		n := 0
		c.dec.List(true, func() {
			if n++; n > maxIDFields {
				c.dec.Fail("Too many fields")
				return
			}
			field := c.dec.Str()
			c.dec.SP()
			value, _ := c.dec.NString()
			if len(value) > 1024 || len(field) > 30 {
				c.dec.Fail("Field too long")
				return
			}
			if size += len(field) + len(value); size <= maxIDLogged {
				told = append(told, strings.ToLower(field)+"="+value)
			}
		})
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	if len(told) > 0 && !c.identified {
		c.identified = true // what is told again would only fill the log
		c.log.Info("imap client", "id", told)
	}
	c.enc.Raw(`* ID ("name" "Pillarbox"`)
	if v := c.srv.cfg.Version; v != "" && c.user != nil {
		c.enc.Raw(` "version" `).String(v)
	}
	c.enc.Byte(')').End()
	return nil
}
