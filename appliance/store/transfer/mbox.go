package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"pillarbox/appliance/store/store"
)

// mboxSource is one mbox file or a tree of them. Thunderbird keeps the
// children of folder F in a directory F.sbd beside it, and indexes in .msf files.
type mboxSource struct {
	root   string
	files  []string
	loose  map[string]bool // folders whose files are messages, see findLoose
	others passedOver      // what may have been meant as mail among them
	total  int64
}

func openMbox(path string) (*mboxSource, error) {
	s := &mboxSource{root: path, loose: map[string]bool{}}
	perFolder := map[string][]string{}
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return s.others.unreadable(p, path, err)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return s.others.unreadable(p, path, err)
		}
		if p != path {
			dir := filepath.Dir(p)
			perFolder[dir] = append(perFolder[dir], p)
			if !isMbox(p) {
				if st.Size() > 0 && !besideMbox(p) {
					s.others = append(s.others, Broken{p, errNotMbox})
				}
				return nil
			}
		}
		s.files = append(s.files, p)
		s.total += st.Size()
		return nil
	})
	for dir, files := range perFolder {
		s.loose[dir] = areLoose(files)
	}
	return s, err
}

// looseFiles is how many files of one message each there must be in a folder for
// them to be taken for its messages. Nobody has so many mailboxes side by side
// with a single message each, and no other.
const looseFiles = 20

// areLoose tells whether the files of a folder are messages, as programs save
// them one by one with the separator of an mbox before each, rather than
// mailboxes: made into a mailbox each, thousands of them would be of no use.
func areLoose(files []string) bool {
	n := 0
	for _, f := range files {
		switch ext := strings.ToLower(filepath.Ext(f)); {
		case ext == ".msf": // which Thunderbird keeps beside a mailbox
			return false
		case isMbox(f):
			n++
		case ext == ".mbox": // an empty one
			return false
		}
	}
	return n >= looseFiles && !slices.ContainsFunc(files, func(f string) bool { return isMbox(f) && !holdsOne(f) })
}

// holdsOne tells whether an mbox has one message, and is none that an export
// wrote: those are mailboxes, whatever is in them.
func holdsOne(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	m := &mboxReader{r: bufio.NewReaderSize(f, 64<<10)}
	start, _ := m.r.Peek(512)
	first, next, _ := bytes.Cut(start, []byte("\n"))
	if bytes.HasPrefix(first, []byte(exportFrom)) && bytes.HasPrefix(next, []byte(exportStatus)) {
		return false
	}
	if _, err := m.next(); err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, m); err != nil {
		return false
	}
	_, err = m.next()
	return err == io.EOF
}

// besideMbox knows what mail programs keep beside their mboxes: indexes, filter
// rules, logs.
func besideMbox(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	switch filepath.Ext(name) {
	case ".msf", ".dat", ".html", ".json", ".log", ".sqlite", ".plist", ".ini":
		return true
	}
	return strings.HasPrefix(name, ".") || name == "table_of_contents"
}

func (s *mboxSource) size() int64 { return s.total }

// folder names the mailbox a file stands for.
func (s *mboxSource) folder(file string) string {
	if dir := filepath.Dir(file); s.loose[dir] {
		if dir == s.root {
			return ""
		}
		file = dir
	}
	rel, err := filepath.Rel(s.root, file)
	if err != nil || rel == "." {
		rel = filepath.Base(file)
	}
	levels := strings.Split(filepath.ToSlash(rel), "/")
	for i, l := range levels {
		l = strings.TrimSuffix(l, ".sbd")
		if i == len(levels)-1 {
			l = strings.TrimSuffix(l, ".mbox")
		}
		levels[i] = l
	}
	// Apple Mail exports Name.mbox/mbox.
	if n := len(levels); n > 1 && levels[n-1] == "mbox" {
		levels = levels[:n-1]
		levels[n-2] = strings.TrimSuffix(levels[n-2], ".mbox")
	}
	return strings.Join(levels, "/")
}

func (s *mboxSource) walk(ctx context.Context, message func(*Message) error, broken func(string, error) error) error {
	if err := s.others.tell(broken); err != nil {
		return err
	}
	var before int64
	for _, file := range s.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := s.walkFile(file, before, message)
		before += n
		if err != nil {
			var e *sourceError
			if !errors.As(err, &e) {
				return err
			}
			if err := broken(file, e.err); err != nil {
				return err
			}
		}
	}
	return nil
}

var errNotMbox = errors.New("not an mbox: does not begin with a From line")

// sourceError is trouble with the source, as against with what is done with its messages.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

func (s *mboxSource) walkFile(file string, before int64, message func(*Message) error) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, &sourceError{err}
	}
	defer f.Close()
	m := &mboxReader{r: bufio.NewReaderSize(f, 64<<10)}
	folder := s.folder(file)
	for n := 1; ; n++ {
		date, err := m.next()
		if err == io.EOF {
			return m.read, nil
		}
		if err != nil {
			return m.read, &sourceError{err}
		}
		head, body, err := peekHeader(m)
		if err != nil {
			return m.read, &sourceError{err}
		}
		flags, keep := statusFlags(head)
		body = dropStatus(head, body)
		msg := &Message{Folder: folder, Flags: flags, Date: date, Body: body, Where: file + ", message " + strconv.Itoa(n), Read: before + m.read}
		if keep {
			if err := message(msg); err != nil {
				return m.read, err
			}
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return m.read, &sourceError{err}
		}
	}
}

// isSeparator tells a "From " line that begins a message from body text that
// begins alike: it must end in a date (RFC 4155 appendix A).
func isSeparator(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("From ")) {
		return false
	}
	_, ok := separatorDate(line)
	return ok
}

var separatorLayouts = []string{
	"Mon Jan _2 15:04:05 2006",
	"Mon Jan _2 15:04:05 2006 -0700",
	"Mon Jan _2 15:04:05 -0700 2006",
	"Mon Jan _2 15:04:05 MST 2006",
	"Mon Jan _2 15:04 2006",
	"Mon, _2 Jan 2006 15:04:05 -0700",
}

func separatorDate(line []byte) (time.Time, bool) {
	fields := strings.Fields(string(line))
	// The address may be missing, or hold spaces: the date is at the end.
	for i := 1; i < len(fields) && i < 6; i++ {
		s := strings.Join(fields[i:], " ")
		for _, layout := range separatorLayouts {
			if t, err := time.Parse(strings.ReplaceAll(layout, "_2", "2"), s); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// mboxReader reads the messages of an mbox one after the other. Between next
// and the following next, Read gives one message, with the ">From " quoting
// of mboxrd taken back.
type mboxReader struct {
	r       *bufio.Reader
	read    int64
	pending []byte // rest of the present line
	partial bool   // pending is the middle of a long line
	blank   []byte // an empty line held back: it may belong to the separator
	sep     []byte // separator of the next message
	ended   bool   // the present message has ended
}

// next moves to the next message and tells the date of its separator; io.EOF after the last.
func (m *mboxReader) next() (time.Time, error) {
	if m.sep == nil { // the file's first line
		for m.sep == nil {
			line, err := m.line()
			if err != nil {
				return time.Time{}, err
			}
			if isSeparator(line) {
				m.sep = bytes.Clone(line)
			} else if len(bytes.TrimSpace(line)) > 0 {
				return time.Time{}, errNotMbox
			}
		}
	}
	if len(m.sep) == 0 {
		return time.Time{}, io.EOF
	}
	date, _ := separatorDate(m.sep)
	m.ended, m.pending, m.blank, m.partial = false, nil, nil, false
	return date, nil
}

func (m *mboxReader) line() ([]byte, error) {
	line, err := m.r.ReadSlice('\n')
	m.read += int64(len(line))
	if len(line) > 0 && (err == nil || err == io.EOF || errors.Is(err, bufio.ErrBufferFull)) {
		return line, nil
	}
	return nil, err
}

func (m *mboxReader) Read(p []byte) (int, error) {
	for len(m.pending) == 0 {
		if m.ended {
			return 0, io.EOF
		}
		if err := m.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, m.pending)
	m.pending = m.pending[n:]
	return n, nil
}

// fill makes the next line of the message pending, or ends it.
func (m *mboxReader) fill() error {
	line, err := m.line()
	if err == io.EOF {
		m.ended, m.sep, m.pending = true, []byte{}, nil
		return nil
	}
	if err != nil {
		return err
	}
	start := !m.partial
	m.partial = line[len(line)-1] != '\n'
	if !start {
		m.pending = line
		return nil
	}
	if m.blank != nil && isSeparator(line) {
		m.ended, m.sep, m.blank = true, bytes.Clone(line), nil
		return nil
	}
	if q := bytes.TrimLeft(line, ">"); len(q) < len(line) && bytes.HasPrefix(q, []byte("From ")) {
		line = line[1:]
	}
	if isBlank(line) {
		if m.blank != nil {
			m.pending = m.blank
		}
		m.blank = bytes.Clone(line)
		return nil
	}
	if m.blank != nil {
		m.pending = append(m.blank, line...)
		m.blank = nil
		return nil
	}
	m.pending = line
	return nil
}

func isBlank(line []byte) bool { return len(bytes.TrimRight(line, "\r\n")) == 0 }

// headLimit is how much of a message is looked at for flags.
const headLimit = 64 << 10

// peekHeader reads a message's header and gives a reader of the whole message.
func peekHeader(r io.Reader) (header []byte, whole io.Reader, err error) {
	var head bytes.Buffer
	buf := make([]byte, 4096)
	for head.Len() < headLimit {
		n, err := r.Read(buf)
		head.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if headerEnd(head.Bytes()) >= 0 {
			break
		}
	}
	h := head.Bytes()
	if i := headerEnd(h); i >= 0 {
		h = h[:i]
	}
	return h, io.MultiReader(bytes.NewReader(head.Bytes()), r), nil
}

func headerEnd(b []byte) int {
	if i := bytes.Index(b, []byte("\n\n")); i >= 0 {
		if j := bytes.Index(b[:i], []byte("\r\n\r\n")); j >= 0 {
			return j + 2
		}
		return i + 1
	}
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return i + 2
	}
	return -1
}

// statusFlags reads the flags that mail programs keep in headers of an mbox.
// keep is false for what Thunderbird deleted but has not yet compacted away.
func statusFlags(header []byte) (f store.Flags, keep bool) {
	keep = true
	top := true
	for line := range bytes.Lines(header) {
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		name = strings.ToLower(name)
		top = top && besideMessage(name)
		if strings.HasPrefix(name, "x-mozilla-") && !top {
			continue
		}
		switch name {
		case "status", "x-status":
			for _, c := range value {
				switch c {
				case 'R':
					f.System |= store.Seen
				case 'A':
					f.System |= store.Answered
				case 'F':
					f.System |= store.Flagged
				case 'D':
					f.System |= store.Deleted
				case 'T':
					f.System |= store.Draft
				}
			}
		case "x-keywords", "x-mozilla-keys":
			f.Keywords = append(f.Keywords, keywords(value)...)
		case "x-mozilla-status":
			bits, err := strconv.ParseUint(value, 16, 16)
			if err != nil {
				continue
			}
			// nsMsgMessageFlags: read, replied, marked, expunged.
			for bit, flag := range map[uint64]store.SystemFlags{1: store.Seen, 2: store.Answered, 4: store.Flagged} {
				if bits&bit != 0 {
					f.System |= flag
				}
			}
			keep = bits&8 == 0
		}
	}
	return f, keep
}

// isStatusField tells the fields that mail programs add to a message in an mbox: the flags
// of the place it lies in, not a part of what was sent.
func isStatusField(name string) bool {
	switch name {
	case "status", "x-status", "x-keywords", "x-mozilla-status", "x-mozilla-status2", "x-mozilla-keys":
		return true
	}
	return false
}

// besideMessage tells the fields that a mail program puts in front of a message
// in an mbox. Thunderbird's are believed there alone: one farther down came with
// the message, and its sender must not have the import leave it out.
func besideMessage(name string) bool {
	return isStatusField(name) || name == "x-account-key" || name == "x-uidl"
}

// dropStatus gives a message without its status fields. header is what
// peekHeader found at the beginning of whole.
func dropStatus(header []byte, whole io.Reader) io.Reader {
	var kept bytes.Buffer
	dropping, any, top := false, false, true
	for line := range bytes.Lines(header) {
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			field := strings.ToLower(string(name))
			top = top && besideMessage(field)
			dropping = isStatusField(field) && (top || !strings.HasPrefix(field, "x-mozilla-"))
		}
		if dropping {
			any = true
			continue
		}
		kept.Write(line)
	}
	if !any {
		return whole
	}
	return io.MultiReader(&kept, &skip{r: whole, n: int64(len(header))})
}

// skip passes over the first n bytes of a reader.
type skip struct {
	r io.Reader
	n int64
}

func (s *skip) Read(p []byte) (int, error) {
	if s.n > 0 {
		n, err := io.CopyN(io.Discard, s.r, s.n)
		if s.n -= n; err != nil {
			return 0, err
		}
	}
	return s.r.Read(p)
}

// keywords splits a list of keywords and leaves out what IMAP could not name
// (RFC 3501 section 9, flag-keyword).
func keywords(list string) []string {
	var out []string
	for _, k := range strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' }) {
		if strings.IndexFunc(k, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r) }) < 0 {
			out = append(out, k)
		}
	}
	return out
}
