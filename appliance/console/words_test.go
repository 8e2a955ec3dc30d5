package console

import (
	"regexp"
	"testing"
)

// The box has one name in each language, and so have the other things that are
// spoken of again and again: a person who meets two looks for two.
func TestOneWordForOneThing(t *testing.T) {
	box := regexp.MustCompile(`\b(the|this) box\b|\b[Tt]he box's\b`)
	for code, words := range map[string]struct{ box, never *regexp.Regexp }{
		"de": {regexp.MustCompile(`Box`), regexp.MustCompile(`(?i)\bdieses gerät|\b(das gerät (?:ist|wird|hat)|im gerät|des geräts)\b|\bpost\b|domäne|verwalter|wachhund|\b(du|dein\w*)\b`)},
		"fr": {regexp.MustCompile(`boîtier`), regexp.MustCompile(`(?i)\bcet appareil|\bl'appareil (?:est|se)\b|\b(cette|la) machine\b|courriel|chien de garde|(?:^|[ '(])(tu|ton|ta|tes)(?:[ ,.]|$)`)},
		"es": {regexp.MustCompile(`equipo`), regexp.MustCompile(`(?i)\bcaja|(esta|la) máquina|perro guardián|vigilante|\benter\b|(?:^|[ (¿])(tú|tus?)(?:[ ,.]|$)`)},
	} {
		c, err := LoadCatalogue(code)
		if err != nil {
			t.Fatal(err)
		}
		all := reportKeys(t, code)
		for english, translated := range c.sentences {
			all[english] = translated
		}
		for english, translated := range all {
			if word := words.never.FindString(translated); word != "" {
				t.Errorf("%s: %q is not the word for it: %q", code, word, translated)
			}
			if box.MatchString(english) && !words.box.MatchString(translated) {
				t.Errorf("%s: where %q speaks of the box, %q has another word", code, english, translated)
			}
		}
	}
}
