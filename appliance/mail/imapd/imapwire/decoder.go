package imapwire

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/emersion/go-imap/v2"
)

const (
	// readSize is what is asked of the connection at a time while a command
	// arrives: a TLS record.
	readSize = 16 << 10
	// idleSize is what stays allocated while waiting for a command: most
	// commands fit, and a thousand idle connections cost half a megabyte.
	idleSize = 512
	// keepCommand is the command buffer kept from one command to the next.
	keepCommand = 4 << 10
	// discardLimit bounds what is read and thrown away to find the end of a
	// command that was refused. A client that goes on is cut off.
	discardLimit = 128 << 20
	// depthLimit bounds nested parentheses: no client needs more, and
	// recursive parsing must not exhaust the stack.
	depthLimit = 100
)

// ErrTooBig means that a command or literal is longer than allowed.
var ErrTooBig = &imap.Error{Type: imap.StatusResponseTypeBad, Code: imap.ResponseCodeTooBig, Text: "Command too long"}

// ErrAbandoned means that the rest of a refused command cannot be skipped: the
// connection is of no more use.
var ErrAbandoned = errors.New("imapwire: refused command does not end")

// Bad makes the error of a command the grammar does not allow.
func Bad(text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeBad, Text: text}
}

// literal is the announcement of a literal at the end of a line.
type literal struct {
	size   int64
	sync   bool // the client waits for a continuation request
	binary bool // literal8 (RFC 3516 section 4.4)
	start  int  // where the announcement begins in cmd
}

// Decoder reads commands. It is not for concurrent use.
type Decoder struct {
	// Limit is the most bytes a command may take, its literals included.
	Limit int
	// UTF8 says that mailbox names come as UTF-8 (RFC 6855 section 3,
	// RFC 9051 section 5.1), not in modified UTF-7.
	UTF8 bool

	src      io.Reader
	goAhead  func() error // writes a continuation request
	in       []byte       // read from src and not used yet: in[r:w]
	r, w     int
	pooled   bool // in comes from readBuffers
	small    [idleSize]byte
	cmd      []byte // the command so far: its lines without line ends, its literals
	pos      int    // parsed up to here
	lit      *literal
	litBuf   literal
	stream   *Stream
	depth    int
	err      error
	srcErr   error
	overflow bool // the line was longer than the limit and is not read to its end
}

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// NewDecoder reads commands from src. goAhead is called when the client waits
// for leave to send a literal; it must write a continuation request and flush.
func NewDecoder(src io.Reader, limit int, goAhead func() error) *Decoder {
	d := &Decoder{Limit: limit, src: src, goAhead: goAhead}
	d.in = d.small[:]
	return d
}

// SetSource changes the source between two commands (STARTTLS, COMPRESS) and
// forgets the bytes read ahead.
func (d *Decoder) SetSource(src io.Reader) {
	d.src, d.srcErr = src, nil
	d.r, d.w = 0, 0
}

// Buffered is the number of bytes read ahead of the command that was parsed.
func (d *Decoder) Buffered() int { return d.w - d.r }

// Unread gives the bytes read ahead, for a layer that takes the source over
// after SetSource (COMPRESS). They are valid until the next call.
func (d *Decoder) Unread() []byte { return d.in[d.r:d.w] }

// Begin waits for a command and reads its first line. Its errors are those of
// the source (io.EOF between commands); ErrTooBig is kept for the command.
func (d *Decoder) Begin() error {
	d.reset()
	if err := d.Wait(); err != nil {
		return err
	}
	return d.line()
}

// Wait blocks until at least one byte of the next command is there. While it
// waits, the decoder holds small buffers only.
func (d *Decoder) Wait() error {
	if d.r < d.w {
		return nil
	}
	d.shrink()
	return d.fill()
}

func (d *Decoder) reset() {
	d.pos, d.err, d.lit, d.stream, d.depth, d.overflow = 0, nil, nil, nil, 0, false
	if cap(d.cmd) > keepCommand {
		d.cmd = nil
	}
	d.cmd = d.cmd[:0]
}

// shrink gives back the large read buffer. Nothing must be buffered.
func (d *Decoder) shrink() {
	if d.pooled {
		readBuffers.Put((*[readSize]byte)(d.in))
		d.in, d.pooled = d.small[:], false
	}
	d.r, d.w = 0, 0
	if cap(d.cmd) > keepCommand {
		d.cmd = nil
	}
}

// Release gives back buffers when the connection ends.
func (d *Decoder) Release() {
	d.shrink()
	d.cmd = nil
}

// fill reads more bytes from the source. All that was read must be used up.
func (d *Decoder) fill() error {
	if d.srcErr != nil {
		return d.srcErr
	}
	if d.w == len(d.in) && !d.pooled {
		// More than a short command comes in: take a large buffer.
		d.in, d.pooled = readBuffers.Get().(*[readSize]byte)[:], true
	}
	d.r, d.w = 0, 0
	for range 100 {
		n, err := d.src.Read(d.in)
		d.w = n
		if err != nil {
			d.srcErr = err
		}
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// line appends a line without its end to the command and looks for a literal
// at its end. CRLF ends a line; a bare LF is taken as well.
func (d *Decoder) line() error {
	start := len(d.cmd)
	for {
		if d.r == d.w {
			if err := d.fill(); err != nil {
				return eofInside(err)
			}
		}
		chunk := d.in[d.r:d.w]
		i := bytes.IndexByte(chunk, '\n')
		if i >= 0 {
			chunk = chunk[:i]
		}
		if len(d.cmd)+len(chunk) > d.Limit {
			// The beginning is kept, so that the answer can bear the tag.
			room := max(d.Limit-len(d.cmd), 0)
			d.cmd = append(d.cmd, chunk[:min(room, len(chunk))]...)
			d.overflow = true
			d.fail(ErrTooBig)
			return nil
		}
		d.cmd = append(d.cmd, chunk...)
		d.r += len(chunk)
		if i >= 0 {
			d.r++ // the LF
			break
		}
	}
	if n := len(d.cmd); n > start && d.cmd[n-1] == '\r' {
		d.cmd = d.cmd[:n-1]
	}
	d.lit = d.announced(start)
	return nil
}

// announced finds a literal announced at the end of the line that begins at
// start: {n}, {n+}, ~{n} or ~{n+} (RFC 9051 section 4.3, RFC 7888, RFC 3516).
// {n-} was never a client's form.
func (d *Decoder) announced(start int) *literal {
	b := d.cmd[start:]
	n := len(b)
	if n < 3 || b[n-1] != '}' {
		return nil
	}
	open := bytes.LastIndexByte(b, '{')
	if open < 0 {
		return nil
	}
	digits, sync := b[open+1:n-1], true
	if len(digits) > 0 && digits[len(digits)-1] == '+' {
		digits, sync = digits[:len(digits)-1], false
	}
	size, ok := parseUint(digits, 1<<62)
	if !ok {
		return nil
	}
	lit := &d.litBuf
	*lit = literal{size: int64(size), sync: sync, start: start + open}
	if open > 0 && b[open-1] == '~' {
		lit.binary, lit.start = true, lit.start-1
	}
	return lit
}

// Err is the command's first error.
func (d *Decoder) Err() error { return d.err }

// fail keeps the command's first error.
func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// Fail marks the command as wrong, for checks the caller makes itself.
func (d *Decoder) Fail(text string) { d.fail(Bad(text)) }

// End checks that the command ends here and gives its first error. Spaces after
// it are passed over, as other servers do.
func (d *Decoder) End() error {
	for d.Accept(' ') {
	}
	if d.err == nil && d.pos != len(d.cmd) {
		d.Fail("Unexpected text at end of command")
	}
	return d.err
}

// Skip reads what is left of the command and forgets it: after it the next
// command can begin. Literals that the client was not yet asked to send are not
// waited for (RFC 9051 section 4.3). It returns an error only when the
// connection is of no more use.
func (d *Decoder) Skip() error {
	left := int64(discardLimit)
	if d.stream != nil {
		if err := d.stream.drain(&left); err != nil {
			return err
		}
	}
	for {
		if d.overflow {
			if err := d.skipLine(&left); err != nil {
				return err
			}
		}
		if d.lit == nil || d.lit.sync || d.pos > d.lit.start {
			return nil
		}
		if err := d.discard(d.lit.size, &left); err != nil {
			return err
		}
		d.cmd, d.pos, d.lit = d.cmd[:0], 0, nil
		if err := d.line(); err != nil {
			return err
		}
	}
}

// skipLine drops the rest of an overlong line, keeping its last bytes to see
// whether it announces a literal.
func (d *Decoder) skipLine(left *int64) error {
	const tail = 32 // longer than any announcement
	d.overflow = false
	d.cmd, d.pos, d.lit = d.cmd[:0], 0, nil
	for {
		if d.r == d.w {
			if err := d.fill(); err != nil {
				return eofInside(err)
			}
		}
		chunk := d.in[d.r:d.w]
		i := bytes.IndexByte(chunk, '\n')
		if i >= 0 {
			chunk = chunk[:i]
		}
		d.r += len(chunk)
		if *left -= int64(len(chunk)); *left < 0 {
			return ErrAbandoned
		}
		d.cmd = append(d.cmd, chunk[max(0, len(chunk)-tail):]...)
		if n := len(d.cmd); n > tail {
			d.cmd = append(d.cmd[:0], d.cmd[n-tail:]...)
		}
		if i >= 0 {
			d.r++
			break
		}
	}
	d.cmd = bytes.TrimSuffix(d.cmd, []byte{'\r'})
	d.lit = d.announced(0)
	return nil
}

func (d *Decoder) discard(n int64, left *int64) error {
	if *left -= n; *left < 0 {
		return ErrAbandoned
	}
	for n > 0 {
		if d.r == d.w {
			if err := d.fill(); err != nil {
				return eofInside(err)
			}
		}
		k := min(n, int64(d.w-d.r))
		d.r += int(k)
		n -= k
	}
	return nil
}

// literalHere is the literal announced at the parser's place, if there is one.
func (d *Decoder) literalHere() *literal {
	if d.err == nil && d.lit != nil && d.pos == d.lit.start {
		return d.lit
	}
	return nil
}

// takeLiteral reads the announced literal into the command, and the line after it.
func (d *Decoder) takeLiteral(lit *literal) []byte {
	if lit.size > int64(d.Limit-len(d.cmd)) {
		d.fail(ErrTooBig)
		return nil
	}
	if lit.sync {
		if err := d.goAhead(); err != nil {
			d.srcFail(err)
			return nil
		}
	}
	d.lit = nil
	start := len(d.cmd)
	for n := int(lit.size); n > 0; {
		if d.r == d.w {
			if err := d.fill(); err != nil {
				d.srcFail(eofInside(err))
				return nil
			}
		}
		k := min(n, d.w-d.r)
		d.cmd = append(d.cmd, d.in[d.r:d.r+k]...)
		d.r += k
		n -= k
	}
	b := d.cmd[start:len(d.cmd):len(d.cmd)]
	d.pos = len(d.cmd)
	if err := d.line(); err != nil {
		d.srcFail(err)
		return nil
	}
	return b
}

// SourceError is the error of the connection, where the command ended with it.
func (d *Decoder) SourceError() error {
	var broken *sourceError
	if errors.As(d.err, &broken) {
		return broken.err
	}
	return nil
}

type sourceError struct{ err error }

func (e *sourceError) Error() string { return "imapwire: reading a command: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

func (d *Decoder) srcFail(err error) { d.fail(&sourceError{err}) }

func eofInside(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Stream is a literal that is read as it comes instead of being held.
type Stream struct {
	Size   int64
	Binary bool // literal8

	d    *Decoder
	left int64
	sync bool // not asked for yet
}

// Stream takes the literal at this place as a stream. The client is asked to
// send it at the first Read, so that the caller can still refuse it without it
// being sent; one that does not wait sends it all the same, and Skip drops it.
// After the last byte call Resume to go on parsing.
func (d *Decoder) Stream() *Stream {
	lit := d.literalHere()
	if lit == nil {
		d.Fail("Literal expected")
		return nil
	}
	s := &Stream{Size: lit.size, Binary: lit.binary, d: d, left: lit.size, sync: lit.sync}
	d.lit, d.stream = nil, s
	d.pos = len(d.cmd)
	return s
}

// Begin asks the client for the literal, if it waits to be asked. Read does so by itself.
func (s *Stream) Begin() error {
	if s.sync {
		s.sync = false
		if err := s.d.goAhead(); err != nil {
			s.d.srcFail(err)
			return err
		}
	}
	return nil
}

// Read reads the literal's bytes; io.EOF at its end.
func (s *Stream) Read(p []byte) (int, error) {
	if err := s.Begin(); err != nil {
		return 0, err
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	d := s.d
	if d.r == d.w {
		if err := d.fill(); err != nil {
			d.srcFail(eofInside(err))
			return 0, eofInside(err)
		}
	}
	n := copy(p[:min(int64(len(p)), s.left)], d.in[d.r:d.w])
	d.r += n
	s.left -= int64(n)
	return n, nil
}

// drain drops what was not read of a stream, and reads the line after it.
func (s *Stream) drain(left *int64) error {
	d := s.d
	d.stream = nil
	if s.sync {
		return nil // it was never asked for and will not come
	}
	if err := d.discard(s.left, left); err != nil {
		return err
	}
	d.cmd, d.pos, d.lit = d.cmd[:0], 0, nil
	return d.line()
}

// Resume reads the line after a streamed literal. The literal must have been read to its end.
func (d *Decoder) Resume() {
	s := d.stream
	if s == nil || d.err != nil {
		return
	}
	if s.left != 0 || s.sync {
		if s.Size != 0 {
			d.fail(errors.New("imapwire: literal not read to its end"))
			return
		}
		if err := s.Begin(); err != nil {
			return
		}
	}
	d.stream = nil
	// What came before is parsed and can go, so that many literals in one
	// command (MULTIAPPEND) do not add up.
	d.cmd, d.pos = d.cmd[:0], 0
	if err := d.line(); err != nil {
		d.srcFail(err)
	}
}

// Line reads a line that is no command: the answer to a continuation request
// (AUTHENTICATE, IDLE). It forgets the command. The bytes are valid until the
// next call; a line over the limit is skipped and gives ErrTooBig.
func (d *Decoder) Line() ([]byte, error) {
	d.reset()
	if err := d.Wait(); err != nil {
		return nil, eofInside(err)
	}
	if err := d.line(); err != nil {
		return nil, err
	}
	if d.overflow {
		left := int64(discardLimit)
		if err := d.skipLine(&left); err != nil {
			return nil, err
		}
		d.reset()
		return nil, ErrTooBig
	}
	d.lit = nil // "{" has no meaning here
	d.pos = len(d.cmd)
	return d.cmd, nil
}
