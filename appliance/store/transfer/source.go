package transfer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pillarbox/appliance/store/store"
)

// Format is a way of keeping mail in files.
type Format string

// The formats.
const (
	Mbox    Format = "mbox"
	Maildir Format = "maildir"
	EML     Format = "eml"
)

// ErrUnknownFormat means that a path holds none of the formats.
var ErrUnknownFormat = errors.New("neither mbox nor Maildir nor EML files")

// Message is one message of a source. Its reader is good until the next one is asked for.
type Message struct {
	Folder string // UTF-8, "/" between levels, "" for the inbox
	Flags  store.Flags
	Date   time.Time // arrival, zero where the source does not tell
	Body   io.Reader // as in the source, line ends included
	Where  string    // file, and place in it, for people
	Read   int64     // bytes of the source passed so far, for progress
}

// source walks the messages of a tree of files.
type source interface {
	// walk calls message for each and broken for what cannot be read; an
	// error of either ends the walk.
	walk(ctx context.Context, message func(*Message) error, broken func(where string, err error) error) error
	// size is the bytes a walk passes, for progress.
	size() int64
}

// Detect tells which format a file or folder holds.
func Detect(path string) (Format, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !st.IsDir() {
		if isMbox(path) {
			return Mbox, nil
		}
		if isEML(path) {
			return EML, nil
		}
		return "", fmt.Errorf("%s: %w", path, ErrUnknownFormat)
	}
	if isMaildir(path) {
		return Maildir, nil
	}
	found := Format("")
	err = filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		switch {
		case err != nil && p == path:
			return err
		case err != nil:
			return nil // the walk tells of it
		case d.IsDir() && isMaildir(p):
			found = Maildir
		case d.Type().IsRegular() && isEML(p):
			found = EML
		case d.Type().IsRegular() && isMbox(p):
			found = Mbox
		default:
			return nil
		}
		return filepath.SkipAll
	})
	if err != nil {
		return "", err
	}
	if found == "" {
		return "", fmt.Errorf("%s: %w", path, ErrUnknownFormat)
	}
	return found, nil
}

// errOther is mail in another format than that of the source around it.
var errOther = errors.New("mail in another format than the rest: import it by itself")

// passedOver are the files and folders a source does not read.
type passedOver []Broken

// unreadable notes a folder that cannot be listed; without the root there is no source.
func (o *passedOver) unreadable(path, root string, err error) error {
	if path == root {
		return err
	}
	*o = append(*o, Broken{path, err})
	return nil
}

// tell names them.
func (o passedOver) tell(broken func(where string, err error) error) error {
	for _, b := range o {
		if err := broken(b.Where, b.Err); err != nil {
			return err
		}
	}
	return nil
}

func open(path string, f Format) (source, error) {
	switch f {
	case Mbox:
		return openMbox(path)
	case Maildir:
		return openMaildir(path)
	case EML:
		return openEML(path)
	}
	return nil, fmt.Errorf("format %q: %w", f, ErrUnknownFormat)
}

// isMbox looks for the separator line that an mbox begins with (RFC 4155 appendix A).
func isMbox(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	line, _ := bufio.NewReaderSize(f, 512).ReadSlice('\n')
	return isSeparator(line)
}

func isEML(path string) bool { return strings.EqualFold(filepath.Ext(path), ".eml") }

func isMaildir(path string) bool {
	for _, sub := range []string{"cur", "new"} {
		if st, err := os.Stat(filepath.Join(path, sub)); err != nil || !st.IsDir() {
			return false
		}
	}
	return true
}

// crlf turns bare LF into CRLF on the way through; CRLF and lone CR stay.
type crlf struct {
	r    *bufio.Reader
	last byte
	held bool // a LF is still to come after a CR that was put in
}

func newCRLF(r io.Reader) *crlf { return &crlf{r: bufio.NewReaderSize(r, 32<<10)} }

func (c *crlf) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if c.held {
			p[n] = '\n'
			c.last, c.held = '\n', false
			n++
			continue
		}
		b, err := c.r.ReadByte()
		if err != nil {
			if n > 0 && err == io.EOF {
				return n, nil
			}
			return n, err
		}
		if b == '\n' && c.last != '\r' {
			p[n] = '\r'
			c.held = true
		} else {
			p[n] = b
		}
		c.last = b
		n++
	}
	return n, nil
}
