package console

import (
	"slices"
	"testing"
)

func TestFold(t *testing.T) {
	for _, tt := range []struct {
		line  string
		width int
		want  []string
	}{
		{"", 8, []string{""}},
		{"12345678", 8, []string{"12345678"}},
		{"123456789", 8, []string{"12345678", "9"}},
		{"a name, another", 10, []string{"a name,", "another"}},
		{"a 123456789abc", 10, []string{"a 12345678", "9abc"}}, // a long word is no reason for a short line
		{"tab\tand \x1b[0m", 20, []string{"tab and  [0m"}},
		{"日本語 日本語 日本語", 14, []string{"日本語 日本語", "日本語"}},
	} {
		if got := fold(tt.line, tt.width); !slices.Equal(got, tt.want) {
			t.Errorf("%q on %d columns is %q, want %q", tt.line, tt.width, got, tt.want)
		}
	}
}
