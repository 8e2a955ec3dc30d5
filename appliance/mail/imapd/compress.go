package imapd

import (
	"bytes"
	"context"
	"io"

	"github.com/klauspost/compress/flate"

	"pillarbox/appliance/mail/imapd/inflate"
)

// squasher writes compressed (RFC 4978). Each buffer is compressed by itself
// and ends at a byte, so that nothing is held between two responses: a
// thousand idle connections have no compressor each.
type squasher struct{ dst io.Writer }

func (s *squasher) Write(p []byte) (int, error) {
	// The compressor writes in bits and pieces: each would be a TLS record.
	var b bytes.Buffer
	if err := flate.StatelessDeflate(&b, p, false, nil); err != nil {
		return 0, err
	}
	if _, err := s.dst.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// cmdCompress answers COMPRESS (RFC 4978).
func (c *conn) cmdCompress(_ context.Context, cl *call) error {
	c.dec.SP()
	method := c.dec.Keyword()
	if err := c.dec.End(); err != nil {
		return err
	}
	if method != "DEFLATE" {
		return no("", "Only DEFLATE is supported")
	}
	if c.compressed {
		return no("COMPRESSIONACTIVE", "Compression is active already")
	}
	c.enc.Raw(cl.tag).Raw(" OK Compression begins").End()
	if err := c.flush(); err != nil {
		return err
	}
	ahead := bytes.Clone(c.dec.Unread())
	c.compressed = true
	c.dec.SetSource(inflate.NewReader(io.MultiReader(bytes.NewReader(ahead), c.wire)))
	c.enc.SetDestination(&squasher{c.wire})
	return errAnswered
}
