package imapd

import (
	"context"
	"strings"
)

// cmdIdle answers IDLE (RFC 2177, RFC 9051 section 6.3.13): changes are told
// as they happen, until the client says DONE.
func (c *conn) cmdIdle(ctx context.Context, _ *call) error {
	if err := c.dec.End(); err != nil {
		return err
	}
	c.enc.Raw("+ idling").End()
	if c.sel != nil {
		if err := c.sync(ctx, true); err != nil {
			return err
		}
	}
	if err := c.flush(); err != nil {
		return err
	}
	var line []byte
	c.waiting.Store(true)
	err := c.announceWhile(func() (err error) {
		line, err = c.dec.Line()
		return err
	}, true, true)
	c.waiting.Store(false)
	if err != nil {
		return &connError{err}
	}
	if !strings.EqualFold(string(line), "DONE") {
		return bad("DONE expected")
	}
	return nil
}
