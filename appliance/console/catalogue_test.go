package console

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// inspect calls fn with the nodes of the sources that match pattern, tests left
// out, and the name of the file.
func inspect(t *testing.T, pattern string, fn func(file string, n ast.Node) bool) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool { return fn(filepath.Base(path), n) })
	}
}

// sentences are the literals given to T and Plural in this package.
func sentences(t *testing.T) []string {
	var all []string
	inspect(t, "*.go", func(_ string, n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		fn := ""
		switch x := call.Fun.(type) {
		case *ast.Ident:
			fn = x.Name
		case *ast.SelectorExpr:
			fn = x.Sel.Name
		}
		if fn != "T" && fn != "Plural" {
			return true
		}
		for _, a := range call.Args {
			if lit, ok := a.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, s)
			}
		}
		return true
	})
	if len(all) < 100 {
		t.Fatalf("only %d sentences found: the test looks in the wrong place", len(all))
	}
	return all
}

var verb = regexp.MustCompile(`%[a-z]`)

func TestCataloguesAreWhole(t *testing.T) {
	all := sentences(t)
	for _, l := range Languages()[1:] {
		c, err := LoadCatalogue(l.Code)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			translated, ok := c.sentences[s]
			if !ok || translated == "" {
				t.Errorf("%s lacks %q", l.Code, s)
				continue
			}
			if got, want := verb.FindAllString(translated, -1), verb.FindAllString(s, -1); strings.Join(got, "") != strings.Join(want, "") {
				t.Errorf("%s: %q has verbs %v, want %v", l.Code, translated, got, want)
			}
		}
		for s, translated := range c.sentences {
			if strings.Contains(s, ": ") && strings.Contains(s, "   ") && len([]rune(translated)) > defaultWidth-2 {
				t.Errorf("%s: the line of keys %q is wider than the screen", l.Code, translated)
			}
		}
	}
	if _, err := LoadCatalogue("xx"); err == nil {
		t.Error("a language that is not there was loaded")
	}
}

func TestChangingTheLanguageKeepsTheAnswers(t *testing.T) {
	d := newDrive(t, freshBox())
	d.keys("enter", "enter", "example.org", "esc", "esc", "down")
	d.expect("first-language-de")
	d.keys("enter", "enter")
	d.expect("first-names-de")
}

// What is refused is refused in the person's language, with what is filled in.
func TestRefusalsAreTranslated(t *testing.T) {
	reports := reportKeys(t, "de")
	c, err := LoadCatalogue("de")
	if err != nil {
		t.Fatal(err)
	}
	verbs, found := regexp.MustCompile(`%[.0-9]*[a-z]`), 0
	for _, pattern := range []string{"../config/names.go", "../config/size.go", "../config/certificate.go", "../config/password/*.go"} {
		inspect(t, pattern, func(file string, n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			s, err := strconv.Unquote(lit.Value)
			if err != nil || !strings.HasPrefix(s, "must ") {
				return true
			}
			found++
			s = verbs.ReplaceAllString("This "+s+".", "%s")
			if c.sentences[s] == "" && reports[s] == "" {
				t.Errorf("%s: no translation of %q", file, s)
			}
			return true
		})
	}
	if found < 15 {
		t.Errorf("only %d refusals found: the test looks in the wrong place", found)
	}
	if got, want := c.Refusal(`must be an address such as ann@example.org, without '+'`), "Das muss eine Adresse sein, etwa ann@example.org, ohne '+'."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
