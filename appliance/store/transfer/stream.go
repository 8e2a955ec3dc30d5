package transfer

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"pillarbox/appliance/store/store"
)

// The stream carries mail between a program that has files and the daemon that
// has the store. It is a sequence of frames, each a line of JSON (frame); one of
// a message is followed by its bytes in pieces: their length as four octets,
// big endian, then as many octets, and a length of 0 at the end, or brokenOff.

const (
	streamVersion = 1
	maxFrame      = 1 << 20
	pieceSize     = 64 << 10
	maxPiece      = 1 << 20
	brokenOff     = 0xffffffff // in place of the length at the end: the message is not whole
)

// ErrStream is a stream that is cut short or damaged.
var ErrStream = errors.New("the stream of mail is damaged")

// frame is one thing in a stream.
type frame struct {
	Version   int           `json:"version,omitempty"`   // in the first one
	Mailboxes []mailboxHead `json:"mailboxes,omitempty"` // an export begins with them
	More      bool          `json:"more,omitempty"`      // mailboxes, in the next frame
	Message   *head         `json:"message,omitempty"`
	Broken    string        `json:"broken,omitempty"` // what could not be read, and why
	Where     string        `json:"where,omitempty"`
	End       bool          `json:"end,omitempty"` // of a mailbox in an export, else of the stream
}

// mailboxHead is what an export is told of a mailbox.
type mailboxHead struct {
	Name string `json:"name"`
	Size int64  `json:"size,omitempty"`
}

// frameMailboxes is how many mailboxes a frame holds: few enough that the
// longest names fit.
const frameMailboxes = 100

// head is what a message comes with.
type head struct {
	Folder   string            `json:"folder,omitempty"`
	System   store.SystemFlags `json:"system,omitempty"`
	Keywords []string          `json:"keywords,omitempty"`
	Date     time.Time         `json:"date,omitzero"`
	Where    string            `json:"where,omitempty"`
	UID      store.UID         `json:"uid,omitempty"`
	Size     int64             `json:"size,omitempty"`
}

type streamWriter struct{ w *bufio.Writer }

func newStreamWriter(w io.Writer) *streamWriter {
	return &streamWriter{bufio.NewWriterSize(w, pieceSize)}
}

func (s *streamWriter) frame(f frame) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = s.w.Write(append(raw, '\n'))
	return err
}

// message writes a message. Where r fails the reader of the stream learns that
// the message is broken; the error is w's alone.
func (s *streamWriter) message(h head, r io.Reader) error {
	if err := s.frame(frame{Message: &h}); err != nil {
		return err
	}
	buf := make([]byte, 4+pieceSize)
	for {
		n, err := io.ReadFull(r, buf[4:])
		if n > 0 {
			binary.BigEndian.PutUint32(buf, uint32(n))
			if _, err := s.w.Write(buf[:4+n]); err != nil {
				return err
			}
		}
		if err == nil {
			continue
		}
		end := uint32(0)
		if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			end = brokenOff
		}
		_, err = s.w.Write(binary.BigEndian.AppendUint32(nil, end))
		return err
	}
}

// errBroken is a message that its sender could not read to its end.
var errBroken = fmt.Errorf("%w: it could not be read to its end", store.ErrDamaged)

type streamReader struct {
	r    *bufio.Reader
	left uint32 // of the piece under way
	open bool   // within a message
}

func newStreamReader(r io.Reader) (*streamReader, error) {
	s := &streamReader{r: bufio.NewReaderSize(r, pieceSize)}
	f, err := s.next()
	if err != nil {
		return nil, err
	}
	if f.Version != streamVersion {
		return nil, fmt.Errorf("%w: version %d", ErrStream, f.Version)
	}
	return s, nil
}

// next reads over what is left of a message and gives the next frame.
func (s *streamReader) next() (f frame, err error) {
	if s.open {
		if _, err := io.Copy(io.Discard, s); err != nil && !errors.Is(err, errBroken) {
			return f, err
		}
	}
	var line []byte
	for {
		part, err := s.r.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > maxFrame {
			return f, fmt.Errorf("%w: %w", ErrStream, err)
		}
	}
	if err := json.Unmarshal(line, &f); err != nil {
		return f, fmt.Errorf("%w: %w", ErrStream, err)
	}
	s.open, s.left = f.Message != nil, 0
	return f, nil
}

// Read reads the message under way.
func (s *streamReader) Read(p []byte) (int, error) {
	if !s.open {
		return 0, io.EOF
	}
	if s.left == 0 {
		var b [4]byte
		if _, err := io.ReadFull(s.r, b[:]); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrStream, err)
		}
		s.left = binary.BigEndian.Uint32(b[:])
		if s.left == brokenOff {
			s.open, s.left = false, 0
			return 0, errBroken
		}
		if s.left > maxPiece {
			return 0, fmt.Errorf("%w: a piece of %d octets", ErrStream, s.left)
		}
		if s.left == 0 {
			s.open = false
			return 0, io.EOF
		}
	}
	n, err := s.r.Read(p[:min(len(p), int(s.left))])
	s.left -= uint32(n)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrStream, err)
	}
	return n, err
}

// Send writes the mail in a file or folder to a stream that Import.Receive
// takes. progress, where set, is told the bytes of the source passed and how
// many there are.
func Send(ctx context.Context, w io.Writer, path string, f Format, progress func(done, total int64)) error {
	src, err := open(path, f)
	if err != nil {
		return err
	}
	s := newStreamWriter(w)
	if err := s.frame(frame{Version: streamVersion}); err != nil {
		return err
	}
	total := src.size()
	err = src.walk(ctx, func(m *Message) error {
		if progress != nil {
			progress(m.Read, total)
		}
		return s.message(head{Folder: m.Folder, System: m.Flags.System, Keywords: m.Flags.Keywords, Date: m.Date, Where: m.Where}, m.Body)
	}, func(where string, err error) error {
		return s.frame(frame{Broken: err.Error(), Where: where})
	})
	if err != nil {
		return err
	}
	if progress != nil {
		progress(total, total)
	}
	if err := s.frame(frame{End: true}); err != nil {
		return err
	}
	return s.w.Flush()
}

// Receive imports what Send writes.
func (im *Import) Receive(ctx context.Context, r io.Reader) (*Result, error) {
	s, err := newStreamReader(r)
	if err != nil {
		return nil, err
	}
	return im.from(ctx, streamed{s})
}

// streamed is a source whose messages come by a stream.
type streamed struct{ s *streamReader }

func (streamed) size() int64 { return 0 }

func (st streamed) walk(ctx context.Context, message func(*Message) error, broken func(where string, err error) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := st.s.next()
		switch {
		case err != nil:
			return err
		case f.End:
			return nil
		case f.Broken != "":
			err = broken(f.Where, errors.New(f.Broken))
		case f.Message != nil:
			h := f.Message
			err = message(&Message{Folder: h.Folder, Flags: store.Flags{System: h.System, Keywords: h.Keywords}, Date: h.Date, Where: h.Where, Body: st.s})
		}
		if err != nil {
			return err
		}
	}
}

// SendMailboxes writes an account's mail, or one mailbox with those below it,
// to a stream that Export.Receive takes. A body that is damaged is told in its place.
func SendMailboxes(ctx context.Context, w io.Writer, st Reader, id store.AccountID, mailbox string) error {
	chosen, err := choose(ctx, st, id, mailbox)
	if err != nil {
		return err
	}
	s := newStreamWriter(w)
	if err := s.frame(frame{Version: streamVersion}); err != nil {
		return err
	}
	for rest := chosen; ; {
		f := frame{}
		for _, m := range rest[:min(frameMailboxes, len(rest))] {
			f.Mailboxes = append(f.Mailboxes, mailboxHead{m.Name, m.Size})
		}
		rest = rest[len(f.Mailboxes):]
		f.More = len(rest) > 0
		if err := s.frame(f); err != nil {
			return err
		}
		if !f.More {
			break
		}
	}
	for _, m := range chosen {
		_, err := st.Entries(ctx, m.ID, 1, 0, func(e store.Entry) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			body, err := st.OpenBody(ctx, e.Blob)
			if err == nil {
				h := head{System: e.Flags.System, Keywords: e.Flags.Keywords, Date: e.InternalDate, UID: e.UID, Size: e.Size}
				err = errors.Join(s.message(h, body), body.Close())
			}
			if unreadable(err) {
				return s.frame(frame{Broken: err.Error(), Where: fmt.Sprintf("%s, UID %d", m.Name, e.UID)})
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := s.frame(frame{End: true}); err != nil {
			return err
		}
	}
	return s.w.Flush()
}

// Receive writes what SendMailboxes sends into dir, as Run does.
func (ex *Export) Receive(ctx context.Context, r io.Reader, dir string, f Format) (*Result, error) {
	s, err := newStreamReader(r)
	if err != nil {
		return nil, err
	}
	in := &streamedStore{s: s}
	for more := true; more; {
		f, err := s.next()
		if err != nil {
			return nil, err
		}
		for _, m := range f.Mailboxes {
			in.boxes = append(in.boxes, store.Mailbox{Name: m.Name, Size: m.Size})
		}
		more = f.More
	}
	ex.Store = in
	res, err := ex.Run(ctx, dir, f)
	if res != nil {
		res.Failed += int64(len(in.broken))
		res.Broken = append(res.Broken, in.broken...)
	}
	return res, err
}

// streamedStore gives an export the mailboxes of a stream, in their order.
type streamedStore struct {
	s      *streamReader
	boxes  []store.Mailbox
	broken []Broken
}

func (st *streamedStore) Mailboxes(context.Context, store.AccountID) ([]store.Mailbox, error) {
	return st.boxes, nil
}

func (st *streamedStore) Entries(ctx context.Context, _ store.MailboxID, _, _ store.UID, fn func(store.Entry) error) (store.Mailbox, error) {
	for {
		if err := ctx.Err(); err != nil {
			return store.Mailbox{}, err
		}
		f, err := st.s.next()
		switch {
		case err != nil:
			return store.Mailbox{}, err
		case f.End:
			return store.Mailbox{}, nil
		case f.Broken != "":
			if len(st.broken) < maxBroken {
				st.broken = append(st.broken, Broken{f.Where, errors.New(f.Broken)})
			}
		case f.Message != nil:
			h := f.Message
			if err := fn(store.Entry{UID: h.UID, Flags: store.Flags{System: h.System, Keywords: h.Keywords}, InternalDate: h.Date, Size: h.Size}); err != nil {
				return store.Mailbox{}, err
			}
		}
	}
}

func (st *streamedStore) OpenBody(context.Context, store.BlobID) (store.Body, error) {
	return streamedBody{st.s}, nil
}

// streamedBody is the message under way; it can only be read through.
type streamedBody struct{ *streamReader }

func (streamedBody) Close() error { return nil }
func (streamedBody) ReadAt([]byte, int64) (int, error) {
	return 0, errors.New("a message of a stream is read from its beginning to its end")
}
func (streamedBody) Seek(int64, int) (int64, error) {
	return 0, errors.New("a message of a stream is read from its beginning to its end")
}
func (streamedBody) Size() int64 { return -1 }
