package console

import (
	"cmp"
	"embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

//go:embed reports/*.toml
var reportFiles embed.FS

// report is a sentence that daemons say, and its translation. Where the English
// one has %s anything may stand; the translation takes it over, in another order
// by %[2]s.
type report struct {
	english     *regexp.Regexp // from the beginning of a text, with the space behind
	open        bool           // it ends with %s, which takes all that is left
	translation string
}

// loadReports reads the reports of a language, those with most words first: what
// several fit belongs to the one that says most.
func loadReports(code string) ([]report, error) {
	raw, err := reportFiles.ReadFile(path.Join("reports", code+".toml"))
	if err != nil {
		return nil, fmt.Errorf("no reports in language %q: %w", code, err)
	}
	var all map[string]string
	if err := toml.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("reports %s: %w", code, err)
	}
	var keys []string
	for english := range all {
		keys = append(keys, english)
	}
	words := func(s string) int { return len(strings.ReplaceAll(s, "%s", "")) }
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(words(b)-words(a), strings.Compare(a, b)) })
	var list []report
	for _, english := range keys {
		r := report{open: strings.HasSuffix(english, "%s"), translation: all[english]}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(english), "%s", "(.+?)")
		if r.open {
			pattern = strings.TrimSuffix(pattern, "?)") + ")"
		}
		if r.english, err = regexp.Compile("^" + pattern + `(?:\s+|$)`); err != nil {
			return nil, fmt.Errorf("reports %s: %q: %w", code, english, err)
		}
		list = append(list, r)
	}
	return list, nil
}

// Report is what a daemon says in the catalogue's language, sentence by sentence;
// one without a translation stays English. Daemons speak English: their words go
// into logs and mail too.
func (c *Catalogue) Report(text string) string {
	var out []string
	for text != "" && len(c.reports) > 0 {
		said, rest := c.sentence(text)
		out, text = append(out, said), rest
	}
	if text != "" {
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

// sentence translates what text begins with, and gives what is left.
func (c *Catalogue) sentence(text string) (said, rest string) {
	for _, r := range c.reports {
		m := r.english.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		var args []any
		for _, part := range m[1:] {
			args = append(args, c.Report(part)) // the name of a reading, a sentence within
		}
		if len(args) == 0 {
			return r.translation, text[len(m[0]):]
		}
		return fmt.Sprintf(r.translation, args...), text[len(m[0]):]
	}
	if i := strings.Index(text, ". "); i >= 0 {
		return text[:i+1], strings.TrimLeft(text[i+2:], " ")
	}
	return text, ""
}
