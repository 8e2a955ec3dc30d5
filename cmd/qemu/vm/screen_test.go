package vm

import (
	"strings"
	"testing"
)

func TestScreen(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"lines", "one\r\ntwo", "one\ntwo"},
		{"cursor", "\x1b[2;3Hx\x1b[1;1Hy", "y\n  x"},
		{"only what changed", "Names (3/8)\x1b[1;1HAdministrator (4/\x1b[1;18H8)", "Administrator (4/8)"},
		{"erase line", "abcdef\x1b[1;3H\x1b[K", "ab"},
		{"erase characters", "abcdef\x1b[1;2H\x1b[2X", "a  def"},
		{"delete", "abcdef\x1b[1;2H\x1b[2P", "adef"},
		{"insert", "abc\x1b[1;2H\x1b[@x", "axbc"},
		{"insert mode", "Time (7/8)\x1b[1;5H\x1b[4hline\x1b[4l!", "Timeline!(7/8)"},
		{"insert mode at the end", "\x1b[1;80Hx\x1b[1;79H\x1b[4hab\x1b[4l", strings.Repeat(" ", 78) + "ab"},
		{"repeat", "-\x1b[3b|", "----|"},
		{"back and over", "secret\b\b\b***", "sec***"},
		{"columns", "\x1b[5Gx\x1b[2dy", "    x\n     y"},
		{"insert line", "a\r\nb\r\nc\x1b[2;1H\x1b[Lx", "a\nx\nb\nc"},
		{"delete line", "a\r\nb\r\nc\x1b[2;1H\x1b[M", "a\nc"},
		{"other screen", "boot\x1b[?1049hconsole", "console"},
		{"clear", "x\x1b[2J\x1b[Hy", "y"},
		{"wide line", strings.Repeat("x", 81), strings.Repeat("x", 80) + "\nx"},
		{"no bell", "a\x07\x1b]0;title\x07b", "ab"},
		{"umlaut", "Größe", "Größe"},
		{"far out", "\x1b[999;999Hx\x1b[999A\x1b[1Gy", "y" + strings.Repeat("\n", 23) + strings.Repeat(" ", 79) + "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScreen()
			s.Write([]byte(tt.in))
			if got := strings.TrimRight(s.String(), "\n"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestScreenScrolls(t *testing.T) {
	s := newScreen()
	s.Write([]byte(strings.Repeat("line\r\n", 30) + "end"))
	if got := strings.Split(s.String(), "\n"); got[22] != "line" || got[23] != "end" {
		t.Errorf("got %q", got)
	}
}

func FuzzScreen(f *testing.F) {
	f.Add([]byte("\x1b[2;5r\x1b[3;1H\x1b[99L\x1b[99M\x1b[5S\x1b[5T\x1bM\x1b7\x1b8"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := newScreen()
		s.Write(in)
		if n := strings.Count(s.String(), "\n"); n != screenHeight {
			t.Errorf("%d lines", n)
		}
	})
}
