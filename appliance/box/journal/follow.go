package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pillarbox/appliance/api/initapi"
)

// followed bounds the lines that wait for somebody who follows the log: no
// service ever waits for a reader.
const followed = 1024

// Follower is given lines as they are added.
type Follower struct {
	book  *Book
	lines chan initapi.LogLine
	// missed counts lines that found no room; guarded by the book's lock.
	missed int
}

// Follow begins to follow all services, and returns what is there of service
// (all where it is empty) at that moment, so that nothing is lost between the
// two and nothing comes twice. Close ends it.
func (b *Book) Follow(service string) (past []initapi.LogLine, f *Follower) {
	f = &Follower{book: b, lines: make(chan initapi.LogLine, followed)}
	b.mu.Lock()
	defer b.mu.Unlock()
	past, _ = b.lines(service)
	b.followers[f] = true
	return past, f
}

// Lines gives the lines that are added. It is never closed.
func (f *Follower) Lines() <-chan initapi.LogLine { return f.lines }

// Missed is how many lines were dropped since it was last asked.
func (f *Follower) Missed() int {
	f.book.mu.Lock()
	defer f.book.mu.Unlock()
	n := f.missed
	f.missed = 0
	return n
}

// Close ends following.
func (f *Follower) Close() {
	f.book.mu.Lock()
	defer f.book.mu.Unlock()
	delete(f.book.followers, f)
}

// tell hands l to who follows. b.mu is held.
func (b *Book) tell(l initapi.LogLine) {
	for f := range b.followers {
		select {
		case f.lines <- l:
		default:
			f.missed++
		}
	}
}

// Stored calls fn with the lines of service that are on disk, the oldest
// first: those of earlier starts too, and the latest that the ring holds. It
// ends with fn's error. fs.ErrNotExist says that there are none.
func (b *Book) Stored(service string, fn func(initapi.LogLine) error) error {
	b.mu.Lock()
	k := b.keeper
	b.mu.Unlock()
	if k == nil || service != filepath.Base(service) {
		return fmt.Errorf("stored log of %q: %w", service, fs.ErrNotExist)
	}
	_ = k.settle() // what a slow disk has not taken yet is not there yet
	found := false
	for i := oldFiles; i >= 0; i-- {
		path := filepath.Join(k.dir, service+".log")
		if i > 0 {
			path = fmt.Sprintf("%s.%d", path, i)
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		found = true
		err = storedLines(f, service, fn)
		f.Close()
		if err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("stored log of %q: %w", service, fs.ErrNotExist)
	}
	return nil
}

// longest is more than any line has that was written; what a power cut left in its
// place may have no end.
const longest = 2 * maxLine

// cut is bufio.ScanLines for lines of any length.
func cut(data []byte, atEOF bool) (int, []byte, error) {
	n, line, err := bufio.ScanLines(data, atEOF)
	if n == 0 && len(data) >= longest {
		return len(data), data, nil
	}
	return n, line, err
}

// storedLines reads one file. A line that a crash cut short keeps the time of
// the one before; where the disk does not give the rest, a line says so.
func storedLines(f *os.File, service string, fn func(initapi.LogLine) error) error {
	var before time.Time
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 2*longest)
	sc.Split(cut)
	for sc.Scan() {
		l := initapi.LogLine{Time: before, Service: service, Text: clean(sc.Bytes())}
		if at, text, ok := strings.Cut(l.Text, " "); ok {
			if t, err := time.Parse(stamp, at); err == nil {
				l.Time, l.Text, before = t, text, t
			}
		}
		if err := fn(l); err != nil {
			return err
		}
	}
	if err := sc.Err(); err != nil {
		return fn(initapi.LogLine{Time: before, Service: service, Text: fmt.Sprintf("the rest of %s cannot be read: %v", filepath.Base(f.Name()), err)})
	}
	return nil
}

// Stream calls fn with the lines that q wants, and, where q follows, with those
// that come until ctx ends.
func (b *Book) Stream(ctx context.Context, q initapi.LogQuery, fn func(initapi.LogItem) error) error {
	contains := strings.ToLower(q.Contains)
	wanted := func(l initapi.LogLine) bool {
		return (q.Service == "" || l.Service == q.Service) && !l.Time.Before(q.Since) &&
			(contains == "" || strings.Contains(strings.ToLower(l.Text), contains))
	}
	if !q.Follow {
		past, err := b.past(q, wanted)
		if err != nil {
			return err
		}
		return hand(past, fn)
	}
	past, f := b.Follow(q.Service)
	defer f.Close()
	if err := hand(last(slices.DeleteFunc(past, func(l initapi.LogLine) bool { return !wanted(l) }), q.Lines), fn); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-f.Lines():
			if n := f.Missed(); n > 0 {
				if err := fn(initapi.LogItem{Missed: n}); err != nil {
					return err
				}
			}
			if wanted(l) {
				if err := fn(initapi.LogItem{LogLine: l}); err != nil {
					return err
				}
			}
		}
	}
}

func hand(lines []initapi.LogLine, fn func(initapi.LogItem) error) error {
	for _, l := range lines {
		if err := fn(initapi.LogItem{LogLine: l}); err != nil {
			return err
		}
	}
	return nil
}

// last is the end of a list: n lines, or all where n is 0.
func last(lines []initapi.LogLine, n int) []initapi.LogLine {
	if n > 0 && len(lines) > n {
		return lines[len(lines)-n:]
	}
	return lines
}

// past collects what is there, bounded by what a service keeps.
func (b *Book) past(q initapi.LogQuery, wanted func(initapi.LogLine) bool) (list []initapi.LogLine, err error) {
	if q.Stored {
		err = b.Stored(q.Service, func(l initapi.LogLine) error {
			if wanted(l) {
				list = append(list, l)
				if q.Lines > 0 && len(list) >= 2*q.Lines {
					list = slices.Delete(list, 0, len(list)-q.Lines)
				}
			}
			return nil
		})
	} else {
		lines, ok := b.Lines(q.Service, 0)
		if !ok {
			err = fmt.Errorf("log of %q: %w", q.Service, fs.ErrNotExist)
		}
		for _, l := range lines {
			if wanted(l) {
				list = append(list, l)
			}
		}
	}
	return last(list, q.Lines), err
}
