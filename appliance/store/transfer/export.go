package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"pillarbox/appliance/store/store"
)

// Reader is what an export needs of the store.
type Reader interface {
	Mailboxes(ctx context.Context, id store.AccountID) ([]store.Mailbox, error)
	Entries(ctx context.Context, id store.MailboxID, lo, hi store.UID, fn func(store.Entry) error) (store.Mailbox, error)
	OpenBody(ctx context.Context, id store.BlobID) (store.Body, error)
}

// Export writes an account's mail to files.
type Export struct {
	Store   Reader
	Account store.AccountID
	// Mailbox exports one mailbox with those below it; "" exports all.
	Mailbox  string
	Progress func(Progress)
}

// Run writes into dir, which is made where missing and must be empty. A body
// that is damaged is noted and passed over.
func (ex *Export) Run(ctx context.Context, dir string, f Format) (*Result, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if names, err := os.ReadDir(dir); err != nil {
		return nil, err
	} else if len(names) > 0 {
		return nil, fmt.Errorf("%s is not empty", dir)
	}
	chosen, err := choose(ctx, ex.Store, ex.Account, ex.Mailbox)
	if err != nil {
		return nil, err
	}
	e := &exporter{ex: ex, dir: dir, names: map[string]bool{}}
	for _, m := range chosen {
		e.res.Total += m.Size
	}
	for _, m := range chosen {
		var err error
		switch f {
		case Mbox:
			err = e.mbox(ctx, m)
		case Maildir:
			err = e.maildir(ctx, m)
		case EML:
			err = e.eml(ctx, m)
		default:
			return nil, fmt.Errorf("format %q: %w", f, ErrUnknownFormat)
		}
		if err != nil {
			return &e.res, fmt.Errorf("mailbox %q: %w", m.Name, err)
		}
	}
	return &e.res, nil
}

// choose finds a mailbox with those below it, or all of an account.
func choose(ctx context.Context, st Reader, id store.AccountID, mailbox string) (chosen []store.Mailbox, err error) {
	boxes, err := st.Mailboxes(ctx, id)
	if err != nil {
		return nil, err
	}
	if mailbox != "" {
		if mailbox, err = store.CleanName(mailbox); err != nil {
			return nil, err
		}
	}
	for _, m := range boxes {
		if !m.NonExistent && (mailbox == "" || m.Name == mailbox || strings.HasPrefix(m.Name, mailbox+"/")) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 && mailbox != "" {
		return nil, fmt.Errorf("mailbox %q: %w", mailbox, store.ErrNotFound)
	}
	return chosen, nil
}

type exporter struct {
	ex    *Export
	dir   string
	names map[string]bool // file names in use, to keep mailboxes apart
	res   Result
}

// each calls fn with every message of a mailbox, its body open.
func (e *exporter) each(ctx context.Context, m store.Mailbox, fn func(store.Entry, io.Reader) error) error {
	_, err := e.ex.Store.Entries(ctx, m.ID, 1, 0, func(entry store.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		body, err := e.ex.Store.OpenBody(ctx, entry.Blob)
		if err == nil {
			err = fn(entry, body)
			err = errors.Join(err, body.Close())
		}
		if unreadable(err) {
			e.res.Failed++
			if len(e.res.Broken) < maxBroken {
				e.res.Broken = append(e.res.Broken, Broken{fmt.Sprintf("%s, UID %d", m.Name, entry.UID), err})
			}
			return nil
		}
		if err != nil {
			return err
		}
		e.res.Imported++
		e.res.Bytes += entry.Size
		if e.ex.Progress != nil && e.res.Imported%batchMessages == 0 {
			e.ex.Progress(e.res.Progress)
		}
		return nil
	})
	return err
}

// maxFileName is the longest name of a file that is made, bytes: file systems
// take 255, and a number may be put behind one.
const maxFileName = 240

// cut shortens a name to so many bytes, between characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// unreadable tells trouble with one message from trouble with all. One that is
// not there any more was expunged meanwhile.
func unreadable(err error) bool {
	return errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrNotFound)
}

// path makes a mailbox's name a path below dir that no other mailbox has and
// that no file system stumbles over.
func (e *exporter) path(name, suffix string) string {
	levels := strings.Split(name, "/")
	for i, l := range levels {
		l = strings.Map(func(r rune) rune {
			if r < ' ' || strings.ContainsRune(`\:*?"<>|`, r) {
				return '_'
			}
			return r
		}, l)
		if l == "." || l == ".." || l == "" {
			l = "_" + l
		}
		l = cut(l, maxFileName-len(suffix))
		if i < len(levels)-1 && suffix != "" && strings.HasSuffix(strings.ToLower(l), suffix) {
			l += "_" // a folder must not have the name of a mailbox's file
		}
		levels[i] = l
	}
	p := filepath.Join(levels...)
	for n := 2; e.names[strings.ToLower(p)+suffix]; n++ {
		p = fmt.Sprintf("%s (%d)", filepath.Join(levels...), n)
	}
	e.names[strings.ToLower(p)+suffix] = true
	return filepath.Join(e.dir, p+suffix)
}

func (e *exporter) mbox(ctx context.Context, m store.Mailbox) error {
	path := e.path(m.Name, ".mbox")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 256<<10)
	err = e.each(ctx, m, func(entry store.Entry, body io.Reader) error { return writeMboxrd(w, entry, body) })
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// exportFrom and exportStatus begin the first two lines of each message in an mbox.
const (
	exportFrom   = "From MAILER-DAEMON "
	exportStatus = "Status: "
)

// writeMboxrd writes a message as mboxrd has it: lines that begin with any
// number of ">" and "From " get one more, so that reading restores them.
func writeMboxrd(w *bufio.Writer, entry store.Entry, body io.Reader) error {
	fmt.Fprintf(w, exportFrom+"%s\n", entry.InternalDate.UTC().Format("Mon Jan _2 15:04:05 2006"))
	status, more := "O", ""
	for _, s := range []struct {
		bit    store.SystemFlags
		letter string
		into   *string
	}{{store.Seen, "R", &status}, {store.Answered, "A", &more}, {store.Flagged, "F", &more}, {store.Deleted, "D", &more}, {store.Draft, "T", &more}} {
		if entry.Flags.System&s.bit != 0 {
			*s.into = s.letter + *s.into
		}
	}
	fmt.Fprintf(w, exportStatus+"%s\n", status)
	if more != "" {
		fmt.Fprintf(w, "X-Status: %s\n", more)
	}
	if len(entry.Flags.Keywords) > 0 {
		fmt.Fprintf(w, "X-Keywords: %s\n", strings.Join(entry.Flags.Keywords, " "))
	}
	r := bufio.NewReaderSize(body, 64<<10)
	start, last := true, byte('\n')
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			if start && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
				w.WriteByte('>')
			}
			start = line[len(line)-1] == '\n'
			if text, ok := bytes.CutSuffix(line, []byte("\r\n")); ok {
				if len(text) > 0 {
					last = text[len(text)-1]
				}
				if last != '\r' { // else a CR by itself would be taken for a part of the line's end
					line = append(text, '\n')
				}
			}
			w.Write(line)
			last = line[len(line)-1]
		}
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	if last != '\n' {
		w.WriteByte('\n')
	}
	return w.WriteByte('\n')
}

func (e *exporter) maildir(ctx context.Context, m store.Mailbox) error {
	dir := e.dir
	if m.Name != "INBOX" {
		name := strings.ReplaceAll(m.Name, ".", "_")
		for len(encodeUTF7(name)) > maxFileName {
			name = strings.TrimRight(cut(name, len(name)-1), "/")
		}
		first := filepath.Join(e.dir, "."+strings.ReplaceAll(encodeUTF7(name), "/", "."))
		dir = first
		for n := 2; e.names[dir]; n++ {
			dir = fmt.Sprintf("%s_%d", first, n)
		}
		e.names[dir] = true
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	kw := map[string]byte{}
	err := e.each(ctx, m, func(entry store.Entry, body io.Reader) error {
		name := fmt.Sprintf("%d.U%010d.pillarbox,S=%d:2,%s", entry.InternalDate.Unix(), entry.UID, entry.Size, maildirInfo(entry.Flags, kw))
		return writeFile(filepath.Join(dir, "cur", name), entry, body)
	})
	if err != nil || len(kw) == 0 {
		return err
	}
	var list strings.Builder
	for c := byte('a'); c <= 'z'; c++ {
		for name, letter := range kw {
			if letter == c {
				fmt.Fprintf(&list, "%d %s\n", c-'a', name)
			}
		}
	}
	return os.WriteFile(filepath.Join(dir, "dovecot-keywords"), []byte(list.String()), 0o600)
}

// maildirInfo is the flags part of a file name, letters in ASCII order as the
// format wants; kw gathers the letters of the keywords.
func maildirInfo(f store.Flags, kw map[string]byte) string {
	var s []byte
	for _, x := range []struct {
		bit    store.SystemFlags
		letter byte
	}{{store.Draft, 'D'}, {store.Flagged, 'F'}, {store.Answered, 'R'}, {store.Seen, 'S'}, {store.Deleted, 'T'}} {
		if f.System&x.bit != 0 {
			s = append(s, x.letter)
		}
	}
	for _, k := range f.Keywords {
		letter, ok := kw[k]
		if !ok && len(kw) < 26 {
			letter, ok = 'a'+byte(len(kw)), true
			kw[k] = letter
		}
		if ok {
			s = append(s, letter)
		}
	}
	return string(s)
}

func (e *exporter) eml(ctx context.Context, m store.Mailbox) error {
	dir := e.path(m.Name, "")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return e.each(ctx, m, func(entry store.Entry, body io.Reader) error {
		return writeFile(filepath.Join(dir, fmt.Sprintf("%s-%d.eml", entry.InternalDate.UTC().Format("20060102-150405"), entry.UID)), entry, body)
	})
}

// writeFile writes a message to a file of its own, with the message's date.
func writeFile(path string, entry store.Entry, body io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Chtimes(path, entry.InternalDate, entry.InternalDate)
}
