// Package journal keeps what the services of the box say: the latest lines of
// each in memory, and, once a folder is given, files that are rotated.
//
// The rings are bounded in octets, the files in number and size, so that a
// service that talks without end costs no more than one that is silent. A disk
// that cannot be written, or that hangs, costs the file and not the ring: nothing
// here ever makes a service wait or fail. A file that failed is tried again later.
//
// On disk, for each service NAME: NAME.log, written to, and NAME.log.1 (newer)
// to NAME.log.4, each of at most 1 MiB. A line is
//
//	2026-03-01T12:00:00.000Z text
//
// A crash may cut the last line short; readers must bear it.
package journal

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"pillarbox/appliance/api/initapi"
)

const (
	// ringOctets bounds the text kept in memory for a service: some two
	// thousand lines, enough to see how it came to die.
	ringOctets = 256 << 10

	// maxLine cuts lines; longer ones are dumps, which go on in the next line.
	maxLine = 4 << 10
)

// Book keeps the lines of all services. Its methods may be called from several
// goroutines.
type Book struct {
	now func() time.Time

	mu        sync.Mutex
	rings     map[string]*ring
	keeper    *keeper // of the files; nil: memory alone
	followers map[*Follower]bool
}

type ring struct {
	lines  []initapi.LogLine
	octets int
}

// New returns an empty book. now tells the time of a line.
func New(now func() time.Time) *Book {
	return &Book{now: now, rings: map[string]*ring{}, followers: map[*Follower]bool{}}
}

// Add keeps one line of service, without its newline.
func (b *Book) Add(service, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rings[service]
	if r == nil {
		r = &ring{}
		b.rings[service] = r
	}
	l := initapi.LogLine{Time: b.now(), Service: service, Text: text}
	r.add(l)
	if b.keeper != nil {
		b.keeper.add(l)
	}
	b.tell(l)
}

// lineCost is what a line counts beside its text, so that empty lines are
// bounded too.
const lineCost = 64

func (r *ring) add(l initapi.LogLine) {
	r.lines = append(r.lines, l)
	r.octets += lineCost + len(l.Text)
	drop := 0
	for r.octets > ringOctets {
		r.octets -= lineCost + len(r.lines[drop].Text)
		drop++
	}
	r.lines = slices.Delete(r.lines, 0, drop)
}

// Lines returns the last n lines (0: all that are kept) of service, oldest
// first; of all services merged by time when service is empty. ok is false
// when the service never said anything.
func (b *Book) Lines(service string, n int) (lines []initapi.LogLine, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines, ok = b.lines(service)
	return last(lines, n), ok
}

// lines copies what is kept. b.mu is held.
func (b *Book) lines(service string) (lines []initapi.LogLine, ok bool) {
	if service != "" {
		r := b.rings[service]
		if r == nil {
			return nil, false
		}
		return slices.Clone(r.lines), true
	}
	for _, r := range b.rings {
		lines = append(lines, r.lines...)
	}
	slices.SortStableFunc(lines, func(x, y initapi.LogLine) int { return x.Time.Compare(y.Time) })
	return lines, true
}

// Writer returns a writer that keeps what is written to it as lines of
// service. Its Write never fails. Close keeps what is left without a newline.
func (b *Book) Writer(service string) *Writer { return &Writer{book: b, service: service} }

// Writer cuts a stream into lines. It is for one goroutine.
type Writer struct {
	book    *Book
	service string
	rest    []byte
}

func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			w.rest = append(w.rest, p...)
			break
		}
		w.rest = append(w.rest, p[:i]...)
		p = p[i+1:]
		w.flush()
	}
	for len(w.rest) > maxLine {
		w.book.Add(w.service, clean(w.rest[:maxLine]))
		w.rest = append(w.rest[:0], w.rest[maxLine:]...)
	}
	return n, nil
}

func (w *Writer) flush() {
	for len(w.rest) > maxLine {
		w.book.Add(w.service, clean(w.rest[:maxLine]))
		w.rest = append(w.rest[:0], w.rest[maxLine:]...)
	}
	w.book.Add(w.service, clean(bytes.TrimSuffix(w.rest, []byte("\r"))))
	w.rest = w.rest[:0]
}

// Close keeps a last line that has no newline.
func (w *Writer) Close() error {
	if len(w.rest) > 0 {
		w.flush()
	}
	return nil
}

// clean makes text safe to show on a terminal: services log what strangers
// sent, and an escape sequence among it must not reach the console.
func clean(b []byte) string {
	out := bytes.ToValidUTF8(b, []byte("?"))
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, out))
}
