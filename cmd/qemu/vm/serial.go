package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Serial is the machine's serial line, with a person's patience at its end.
// What came is kept whole in a file; Expect sees it as text, without the
// control sequences that a full-screen program draws with.
type Serial struct {
	conn io.ReadWriteCloser
	log  *os.File

	mu     sync.Mutex
	text   []byte // all that came, as text
	seen   int    // how much of it Expect has gone past
	strip  stripper
	screen *screen
	err    error         // why no more comes
	change chan struct{} // closed and made anew when something came
}

// keyPause lies between the keys that are typed: the guest's line has a small
// buffer, and a program that reads keys tells ESC from a sequence by time.
const keyPause = 30 * time.Millisecond

func newSerial(conn io.ReadWriteCloser, log string) (*Serial, error) {
	f, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := &Serial{conn: conn, log: f, screen: newScreen(), change: make(chan struct{})}
	go s.read()
	return s, nil
}

func (s *Serial) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.conn.Read(buf)
		s.mu.Lock()
		if n > 0 {
			// A log that cannot be written takes nothing from a test; a
			// screen always can.
			_, _ = s.log.Write(buf[:n])
			_, _ = s.screen.Write(buf[:n])
			s.text = s.strip.append(s.text, buf[:n])
		}
		s.err = err
		close(s.change)
		s.change = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Expect waits until pattern comes on the line, after what was expected
// before, and returns the match and its groups. Its error quotes what came
// instead.
func (s *Serial) Expect(ctx context.Context, pattern string) ([]string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	for {
		s.mu.Lock()
		rest := s.text[s.seen:]
		if loc := re.FindSubmatchIndex(rest); loc != nil {
			var groups []string
			for i := 0; i < len(loc); i += 2 {
				group := ""
				if loc[i] >= 0 {
					group = string(rest[loc[i]:loc[i+1]])
				}
				groups = append(groups, group)
			}
			s.seen += loc[1]
			s.mu.Unlock()
			return groups, nil
		}
		tail, gone, change := lastLines(string(rest), 25), s.err, s.change
		s.mu.Unlock()
		if gone != nil {
			return nil, fmt.Errorf("the serial line ended (%w) before %q; last came:\n%s", gone, pattern, tail)
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, fmt.Errorf("no %q on the serial line: %w; last came:\n%s", pattern, ctx.Err(), tail)
		}
	}
}

// ExpectScreen waits until the screen at the line's end, 80 columns by 24
// lines, shows something that matches pattern, and returns match and groups.
func (s *Serial) ExpectScreen(ctx context.Context, pattern string) ([]string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	for {
		s.mu.Lock()
		shown, gone, change := s.screen.String(), s.err, s.change
		s.mu.Unlock()
		if found := re.FindStringSubmatch(shown); found != nil {
			return found, nil
		}
		if gone != nil {
			return nil, fmt.Errorf("the serial line ended (%w) before %q; the screen shows:\n%s", gone, pattern, shown)
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, fmt.Errorf("no %q on the screen: %w; it shows:\n%s", pattern, ctx.Err(), shown)
		}
	}
}

// Screen returns what the screen at the line's end shows.
func (s *Serial) Screen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.screen.String()
}

// Type types text as a person does, key by key.
func (s *Serial) Type(ctx context.Context, text string) error {
	for _, key := range keys(text) {
		if _, err := io.WriteString(s.conn, key); err != nil {
			return fmt.Errorf("type: %w", err)
		}
		select {
		case <-time.After(keyPause):
		case <-ctx.Done():
			return fmt.Errorf("type: %w", ctx.Err())
		}
	}
	return nil
}

// keys cuts text into keys; a control sequence is one.
func keys(text string) []string {
	var list []string
	for text != "" {
		n := 1
		if strings.HasPrefix(text, "\x1b[") {
			n = 2
			for n < len(text) && (text[n] < 0x40 || text[n] > 0x7e) {
				n++
			}
			n = min(n+1, len(text))
		}
		list = append(list, text[:n])
		text = text[n:]
	}
	return list
}

// Text returns all that came, without control sequences.
func (s *Serial) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

func (s *Serial) close() error { return errors.Join(s.conn.Close(), s.log.Close()) }

// lastLines returns the last n lines of text that hold something.
func lastLines(text string, n int) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, "  "+line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// stripper takes control sequences (ECMA-48) out of a stream that comes in
// pieces. Moving the cursor to another place counts as a line's end, so that
// what lies apart on the screen stays apart in the text.
type stripper struct {
	state byte
}

func (s *stripper) append(to, from []byte) []byte {
	for _, c := range from {
		switch s.state {
		case inText:
			switch {
			case c == 0x1b:
				s.state = afterESC
			case c == '\n' || c == '\t' || c >= ' ' && c != 0x7f:
				to = append(to, c)
			}
		case afterESC:
			switch {
			case c == '[':
				s.state = inSequence
			case c == ']' || c == 'P' || c == '_' || c == '^' || c == 'X':
				s.state = inString
			case c >= ' ' && c <= '/':
				s.state = inCharset
			default:
				s.state = inText
			}
		case inSequence:
			if c >= '@' && c <= '~' {
				s.state = inText
				if c == 'H' || c == 'f' || c == 'A' || c == 'B' || c == 'E' || c == 'F' || c == 'd' {
					to = append(to, '\n')
				}
			}
		case inString:
			switch c {
			case 0x07:
				s.state = inText
			case 0x1b:
				s.state = inStringESC
			}
		case inStringESC, inCharset:
			s.state = inText
		}
	}
	return to
}
