package transfer

import (
	"bufio"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"pillarbox/appliance/store/store"
)

// maildirSource is a Maildir, with the folders of Maildir++ in it (".A.B"
// stands for A/B), or a plain tree of Maildirs.
type maildirSource struct {
	root    string
	folders []maildirFolder
	others  passedOver
	total   int64
}

type maildirFolder struct {
	dir      string
	name     string
	messages []string // paths, in order of arrival
	keywords map[byte]string
}

func openMaildir(root string) (*maildirSource, error) {
	s := &maildirSource{root: root}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return s.others.unreadable(p, root, err)
		}
		if !d.IsDir() {
			if d.Type().IsRegular() && (isEML(p) || isMbox(p)) {
				s.others = append(s.others, Broken{p, errOther})
			}
			return nil
		}
		if name := d.Name(); p != root && (name == "cur" || name == "new" || name == "tmp") {
			return fs.SkipDir
		}
		if !isMaildir(p) {
			return nil
		}
		f := maildirFolder{dir: p, name: s.folder(p), keywords: dovecotKeywords(p)}
		for _, sub := range []string{"cur", "new"} {
			dir := filepath.Join(p, sub)
			if err := s.list(dir, &f); err != nil {
				s.others = append(s.others, Broken{dir, err})
			}
		}
		sort.Slice(f.messages, func(i, j int) bool { return arrival(f.messages[i]).before(arrival(f.messages[j])) })
		s.folders = append(s.folders, f)
		return nil
	})
	return s, err
}

func (s *maildirSource) list(dir string, f *maildirFolder) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if st, err := e.Info(); err == nil {
			s.total += st.Size()
		}
		f.messages = append(f.messages, filepath.Join(dir, e.Name()))
	}
	return nil
}

func (s *maildirSource) size() int64 { return s.total }

func (s *maildirSource) folder(dir string) string {
	rel, err := filepath.Rel(s.root, dir)
	if err != nil || rel == "." {
		return ""
	}
	var levels []string
	for _, part := range strings.Split(filepath.ToSlash(rel), "/") {
		if after, ok := strings.CutPrefix(part, "."); ok {
			for _, l := range strings.Split(after, ".") {
				levels = append(levels, fromUTF7(l))
			}
			continue
		}
		levels = append(levels, part)
	}
	return strings.Join(levels, "/")
}

// fromUTF7 decodes a name in IMAP's modified UTF-7 (RFC 3501 section 5.1.3),
// in which Maildir++ keeps its folders; a name that is not stays as it is.
func fromUTF7(name string) string {
	if !strings.Contains(name, "&") {
		return name
	}
	if s, err := decodeUTF7(name); err == nil {
		return s
	}
	return name
}

// arrivalKey orders messages as they came: by the time in the name, then by
// the name, since names made within a second go on in order.
type arrivalKey struct {
	sec  int64
	name string
}

func (a arrivalKey) before(b arrivalKey) bool {
	if a.sec != b.sec {
		return a.sec < b.sec
	}
	return a.name < b.name
}

func arrival(path string) arrivalKey {
	name := filepath.Base(path)
	first, _, _ := strings.Cut(name, ".")
	sec, _ := strconv.ParseInt(first, 10, 64)
	return arrivalKey{sec, name}
}

func (s *maildirSource) walk(ctx context.Context, message func(*Message) error, broken func(string, error) error) error {
	if err := s.others.tell(broken); err != nil {
		return err
	}
	var read int64
	for _, folder := range s.folders {
		for _, path := range folder.messages {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := walkFile(path, read, func(m *Message) error {
				m.Folder = folder.name
				m.Flags = maildirFlags(path, folder.keywords)
				return message(m)
			}, broken)
			if err != nil {
				return err
			}
			read += n
		}
	}
	return nil
}

// walkFile gives a file of one message, its date from the file's own.
func walkFile(path string, before int64, message func(*Message) error, broken func(string, error) error) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, broken(path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, broken(path, err)
	}
	return st.Size(), message(&Message{Date: st.ModTime(), Body: f, Where: path, Read: before + st.Size()})
}

// maildirFlags reads the flags in a file's name behind ":2,".
func maildirFlags(path string, kw map[byte]string) store.Flags {
	var f store.Flags
	_, info, ok := strings.Cut(filepath.Base(path), ":2,")
	if !ok {
		return f
	}
	for i := range len(info) {
		switch c := info[i]; c {
		case 'S':
			f.System |= store.Seen
		case 'R':
			f.System |= store.Answered
		case 'F':
			f.System |= store.Flagged
		case 'T':
			f.System |= store.Deleted
		case 'D':
			f.System |= store.Draft
		case 'P':
			f.Keywords = append(f.Keywords, "$Forwarded")
		default:
			if name, ok := kw[c]; ok {
				f.Keywords = append(f.Keywords, name)
			}
		}
	}
	return f
}

// dovecotKeywords reads which letters stand for which keywords, where Dovecot kept the folder.
func dovecotKeywords(dir string) map[byte]string {
	f, err := os.Open(filepath.Join(dir, "dovecot-keywords"))
	if err != nil {
		return nil
	}
	defer f.Close()
	kw := map[byte]string{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		num, name, ok := strings.Cut(sc.Text(), " ")
		n, err := strconv.Atoi(num)
		if ok && err == nil && n >= 0 && n < 26 && len(keywords(name)) == 1 {
			kw['a'+byte(n)] = name
		}
	}
	return kw
}

// emlSource is a tree of EML files; folders are mailboxes.
type emlSource struct {
	root   string
	files  []string
	others passedOver
	total  int64
}

func openEML(root string) (*emlSource, error) {
	s := &emlSource{root: root}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return s.others.unreadable(p, root, err)
		}
		if d.IsDir() && isMaildir(p) {
			s.others = append(s.others, Broken{p, errOther})
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		if !isEML(p) {
			if isMbox(p) {
				s.others = append(s.others, Broken{p, errOther})
			}
			return nil
		}
		if st, err := d.Info(); err == nil {
			s.total += st.Size()
		}
		s.files = append(s.files, p)
		return nil
	})
	return s, err
}

func (s *emlSource) size() int64 { return s.total }

func (s *emlSource) walk(ctx context.Context, message func(*Message) error, broken func(string, error) error) error {
	if err := s.others.tell(broken); err != nil {
		return err
	}
	var read int64
	for _, path := range s.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		folder := ""
		if rel, err := filepath.Rel(s.root, filepath.Dir(path)); err == nil && rel != "." {
			folder = filepath.ToSlash(rel)
		}
		n, err := walkFile(path, read, func(m *Message) error {
			head, body, err := peekHeader(m.Body)
			if err != nil {
				return broken(path, err)
			}
			m.Folder, m.Body = folder, body
			m.Flags, _ = statusFlags(head)
			if t, ok := receivedDate(head); ok {
				m.Date = t
			}
			return message(m)
		}, broken)
		if err != nil {
			return err
		}
		read += n
	}
	return nil
}

// receivedDate is when the last server took a message in: the date behind the
// semicolon of the topmost Received field (RFC 5321 section 4.4). A copied
// file's own date says only when it was copied.
func receivedDate(header []byte) (time.Time, bool) {
	text := "\n" + strings.ReplaceAll(string(header), "\r", "")
	i := strings.Index(strings.ToLower(text), "\nreceived:")
	if i < 0 {
		return time.Time{}, false
	}
	field := text[i+1:]
	for j := 0; ; {
		k := strings.IndexByte(field[j:], '\n')
		if k < 0 {
			break
		}
		j += k + 1
		if j >= len(field) || (field[j] != ' ' && field[j] != '\t') {
			field = field[:j]
			break
		}
	}
	semi := strings.LastIndexByte(field, ';')
	if semi < 0 {
		return time.Time{}, false
	}
	date := strings.Join(strings.Fields(field[semi+1:]), " ")
	if p := strings.IndexByte(date, '('); p > 0 {
		date = strings.TrimSpace(date[:p])
	}
	for _, layout := range []string{"Mon, 2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 MST"} {
		if t, err := time.Parse(layout, date); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
