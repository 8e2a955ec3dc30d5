package vm

import (
	"strings"
	"unicode/utf8"
)

// The screen of the terminal at the serial line's end.
const (
	screenWidth  = 80
	screenHeight = 24
)

// screen is a terminal (ECMA-48, as far as VT220 programs draw with it) without
// colours: what a person would see. A program that draws only what has changed
// can be read in no other way.
type screen struct {
	cells  [screenHeight][screenWidth]rune
	x, y   int
	top    int // scroll region, inclusive
	bottom int
	saved  [2]int
	last   rune // for REP
	insert bool // what is put moves the rest of the line to the right

	state  byte
	params []byte // of the sequence that is under way
	utf    []byte // of the rune that is under way
}

const (
	inText     = iota
	afterESC   // ESC came
	inSequence // CSI: until a byte from @ to ~
	inString   // OSC, DCS and the like: until BEL or ESC \
	inStringESC
	inCharset // ESC ( and the like: one byte more
)

func newScreen() *screen {
	s := &screen{}
	s.reset()
	return s
}

func (s *screen) reset() {
	for y := range s.cells {
		s.clear(y, 0, screenWidth)
	}
	s.x, s.y, s.top, s.bottom, s.insert = 0, 0, 0, screenHeight-1, false
}

// clear makes the cells of a line from one column to before another empty.
func (s *screen) clear(y, from, to int) {
	for x := max(0, from); x < min(to, screenWidth); x++ {
		s.cells[y][x] = ' '
	}
}

// String returns the lines without the blanks at their ends.
func (s *screen) String() string {
	var b strings.Builder
	for y := range s.cells {
		b.WriteString(strings.TrimRight(string(s.cells[y][:]), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// Write draws what came.
func (s *screen) Write(p []byte) (int, error) {
	for _, c := range p {
		s.byte(c)
	}
	return len(p), nil
}

func (s *screen) byte(c byte) {
	switch s.state {
	case inText:
		s.text(c)
	case afterESC:
		s.escape(c)
	case inSequence:
		if c >= '@' && c <= '~' {
			s.state = inText
			s.control(c)
			return
		}
		s.params = append(s.params, c)
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

func (s *screen) text(c byte) {
	switch {
	case c == 0x1b:
		s.state = afterESC
	case c == '\r':
		s.x = 0
	case c == '\n':
		s.feed()
	case c == '\b':
		s.x = max(0, min(s.x, screenWidth-1)-1)
	case c == '\t':
		s.x = min(screenWidth-1, (s.x/8+1)*8)
	case c < ' ' || c == 0x7f:
	default:
		s.utf = append(s.utf, c)
		if r, n := utf8.DecodeRune(s.utf); utf8.FullRune(s.utf) && n > 0 {
			s.utf = s.utf[:0]
			s.put(r)
		}
	}
}

func (s *screen) put(r rune) {
	if s.x >= screenWidth {
		s.x = 0
		s.feed()
	}
	if s.insert {
		copy(s.cells[s.y][s.x+1:], s.cells[s.y][s.x:])
	}
	s.cells[s.y][s.x] = r
	s.x++
	s.last = r
}

func (s *screen) feed() {
	switch {
	case s.y == s.bottom:
		s.scroll(s.top, s.bottom, 1)
	case s.y < screenHeight-1:
		s.y++
	}
}

// scroll moves the lines from top to bottom up by n, or down where n is
// negative. A cursor below the scroll region has no lines to move.
func (s *screen) scroll(top, bottom, n int) {
	if top > bottom {
		return
	}
	for ; n > 0; n-- {
		copy(s.cells[top:bottom], s.cells[top+1:bottom+1])
		s.clear(bottom, 0, screenWidth)
	}
	for ; n < 0; n++ {
		copy(s.cells[top+1:bottom+1], s.cells[top:bottom])
		s.clear(top, 0, screenWidth)
	}
}

func (s *screen) escape(c byte) {
	s.state = inText
	switch c {
	case '[':
		s.state, s.params = inSequence, s.params[:0]
	case ']', 'P', '_', '^', 'X':
		s.state = inString
	case '7':
		s.saved = [2]int{s.x, s.y}
	case '8':
		s.x, s.y = s.saved[0], s.saved[1]
	case 'D':
		s.feed()
	case 'E':
		s.x = 0
		s.feed()
	case 'M':
		if s.y == s.top {
			s.scroll(s.top, s.bottom, -1)
		} else {
			s.y = max(0, s.y-1)
		}
	case 'c':
		s.reset()
	default:
		if c >= ' ' && c <= '/' {
			s.state = inCharset
		}
	}
}

// numbers are the sequence's parameters, at least two, 0 where left out.
func (s *screen) numbers() [2]int {
	var n [2]int
	i := 0
	for _, c := range s.params {
		switch {
		case c == ';':
			i++
		case c >= '0' && c <= '9' && i < len(n):
			n[i] = min(n[i]*10+int(c-'0'), 9999)
		}
	}
	return n
}

// control carries out a control sequence that ends in c.
func (s *screen) control(c byte) {
	p := s.numbers()
	n := max(1, p[0])
	private := len(s.params) > 0 && s.params[0] >= '<' && s.params[0] <= '?'
	if private {
		if (c == 'h' || c == 'l') && p[0] == 1049 { // the other screen, which begins empty
			s.reset()
		}
		return
	}
	x := min(s.x, screenWidth-1)
	switch c {
	case 'A':
		s.y = max(0, s.y-n)
	case 'B', 'e':
		s.y = min(screenHeight-1, s.y+n)
	case 'C', 'a':
		s.x = min(screenWidth-1, x+n)
	case 'D':
		s.x = max(0, x-n)
	case 'E':
		s.x, s.y = 0, min(screenHeight-1, s.y+n)
	case 'F':
		s.x, s.y = 0, max(0, s.y-n)
	case 'G', '`':
		s.x = min(screenWidth, n) - 1
	case 'd':
		s.y = min(screenHeight, n) - 1
	case 'H', 'f':
		s.y, s.x = min(screenHeight, n)-1, min(screenWidth, max(1, p[1]))-1
	case 'I':
		s.x = min(screenWidth-1, (x/8+n)*8)
	case 'Z':
		s.x = max(0, ((x+7)/8-n)*8)
	case 'J':
		s.erase(p[0], x)
	case 'K':
		switch p[0] {
		case 0:
			s.clear(s.y, x, screenWidth)
		case 1:
			s.clear(s.y, 0, x+1)
		case 2:
			s.clear(s.y, 0, screenWidth)
		}
	case 'X':
		s.clear(s.y, x, x+n)
	case 'P':
		n = min(n, screenWidth-x)
		copy(s.cells[s.y][x:], s.cells[s.y][x+n:])
		s.clear(s.y, screenWidth-n, screenWidth)
	case 'h', 'l':
		if p[0] == 4 { // insert mode (IRM, ECMA-48 section 7.2.10)
			s.insert = c == 'h'
		}
	case '@':
		n = min(n, screenWidth-x)
		copy(s.cells[s.y][x+n:], s.cells[s.y][x:])
		s.clear(s.y, x, x+n)
	case 'L':
		s.scroll(s.y, s.bottom, -min(n, screenHeight))
	case 'M':
		s.scroll(s.y, s.bottom, min(n, screenHeight))
	case 'S':
		s.scroll(s.top, s.bottom, min(n, screenHeight))
	case 'T':
		s.scroll(s.top, s.bottom, -min(n, screenHeight))
	case 'b':
		for range min(n, screenWidth) {
			s.put(s.last)
		}
	case 'r':
		s.top, s.bottom = n-1, screenHeight-1
		if p[1] > 0 {
			s.bottom = min(screenHeight, p[1]) - 1
		}
		if s.top >= s.bottom {
			s.top, s.bottom = 0, screenHeight-1
		}
		s.x, s.y = 0, 0
	case 's':
		s.saved = [2]int{s.x, s.y}
	case 'u':
		s.x, s.y = s.saved[0], s.saved[1]
	}
}

// erase empties the screen from the cursor on (0), up to it (1), or whole.
func (s *screen) erase(what, x int) {
	switch what {
	case 0:
		s.clear(s.y, x, screenWidth)
		for y := s.y + 1; y < screenHeight; y++ {
			s.clear(y, 0, screenWidth)
		}
	case 1:
		s.clear(s.y, 0, x+1)
		for y := range s.y {
			s.clear(y, 0, screenWidth)
		}
	default:
		for y := range s.cells {
			s.clear(y, 0, screenWidth)
		}
	}
}
