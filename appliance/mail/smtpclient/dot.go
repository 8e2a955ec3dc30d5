package smtpclient

// dotStuffer turns a body into what follows 354 on the wire (RFC 5321
// section 4.5.2): a dot that begins a line is doubled, the end is
// CRLF "." CRLF. See the package comment for stray line ends.
type dotStuffer struct {
	lineStart bool // the next byte begins a line
	cr        bool // the last byte was a CR, held back until the next is known
}

func newDotStuffer() *dotStuffer { return &dotStuffer{lineStart: true} }

// append adds the wire form of p to dst. It grows by at most twice p's length and one byte.
func (d *dotStuffer) append(dst, p []byte) []byte {
	for _, c := range p {
		if d.cr {
			d.cr = false
			if c == '\n' {
				dst = append(dst, '\r', '\n')
				d.lineStart = true
				continue
			}
			dst = append(dst, ' ')
			d.lineStart = false
		}
		switch {
		case c == '\r':
			d.cr = true
		case c == '\n':
			dst = append(dst, '\r', '\n')
			d.lineStart = true
		case c == '.' && d.lineStart:
			dst = append(dst, '.', '.')
			d.lineStart = false
		default:
			dst = append(dst, c)
			d.lineStart = false
		}
	}
	return dst
}

// end adds the end of the data, with a line end before it where the body has none.
func (d *dotStuffer) end(dst []byte) []byte {
	if d.cr || !d.lineStart {
		dst = append(dst, '\r', '\n')
	}
	return append(dst, '.', '\r', '\n')
}
