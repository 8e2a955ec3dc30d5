package console

import (
	"embed"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"pillarbox/appliance/config"
)

//go:embed catalogues/*.toml
var catalogueFiles embed.FS

// Language is a language of the console, by its ISO 639-1 code.
type Language struct {
	Code string
	Name string // in the language itself
}

// Languages lists the languages there are, English first.
func Languages() []Language {
	names := map[string]string{"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español"}
	var list []Language
	for _, code := range config.Languages() {
		list = append(list, Language{code, names[code]})
	}
	return list
}

// Catalogue translates the console's sentences. The English sentence is the
// key; a sentence without a translation stays English.
type Catalogue struct {
	code      string
	sentences map[string]string
	reports   []report // what daemons say
}

// LoadCatalogue loads a language's sentences; English needs none.
func LoadCatalogue(code string) (*Catalogue, error) {
	c := &Catalogue{code: code}
	if code == "en" {
		return c, nil
	}
	raw, err := catalogueFiles.ReadFile(path.Join("catalogues", code+".toml"))
	if err != nil {
		return nil, fmt.Errorf("no catalogue for language %q: %w", code, err)
	}
	if err := toml.Unmarshal(raw, &c.sentences); err != nil {
		return nil, fmt.Errorf("catalogue %s: %w", code, err)
	}
	if c.reports, err = loadReports(code); err != nil {
		return nil, err
	}
	return c, nil
}

// T is the sentence in the catalogue's language, with its arguments filled in
// where the sentence has verbs of package fmt.
func (c *Catalogue) T(sentence string, args ...any) string {
	if t, ok := c.sentences[sentence]; ok && t != "" {
		sentence = t
	}
	if len(args) == 0 {
		return sentence
	}
	return fmt.Sprintf(sentence, args...)
}

// Plural picks between the sentence for one and the one for many.
func (c *Catalogue) Plural(n int64, one, many string) string {
	if n == 1 {
		return strings.ReplaceAll(c.T(one), "%d", "1")
	}
	return c.T(many, n)
}

// Refusal makes a sentence of what a check of the settings says about an
// answer, such as "must be at least 8 characters long". A text that is a
// sentence already stays one.
func (c *Catalogue) Refusal(text string) string {
	if r, _ := utf8.DecodeRuneInString(text); unicode.IsLower(r) {
		text = "This " + strings.TrimSuffix(text, ".") + "."
	}
	return c.Report(c.T(text))
}

// why is what an error says to a person, who knows services and no sockets.
func (c *Catalogue) why(err error) string {
	_, message := refusedField(err)
	if socket, ok := strings.CutPrefix(message, "no answer from "); ok {
		return c.T("The service %s does not answer; try again in a minute.", strings.TrimSuffix(path.Base(socket), ".sock"))
	}
	return c.Report(c.T(message))
}
