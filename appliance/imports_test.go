package appliance

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "pillarbox/"

// rooms are the first-level rooms of the library with the rooms their
// non-test code may import. A room may always import itself.
var rooms = map[string][]string{
	"appliance/store":   nil,
	"appliance/config":  nil,
	"appliance/certs":   {"appliance/config"},
	"appliance/api":     {"appliance/config"},
	"appliance/mail":    {"appliance/store", "appliance/config", "appliance/certs", "appliance/api"},
	"appliance/box":     {"appliance/config", "appliance/api", "image"},
	"appliance/web":     {"appliance/api", "appliance/config", "appliance/certs", "appliance/mail", "appliance/store"},
	"appliance/console": {"appliance/api", "appliance/config"},
}

// mailUsers are the only places outside mail that may import it.
var mailUsers = []string{"appliance/mail", "appliance/web", "cmd/maild"}

// TestImportsGoOneWay holds every package to the directions that the package
// comment states.
func TestImportsGoOneWay(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "build" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../"))
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(imported, module)
			if ours && !allowed(from, to) {
				t.Errorf("%s imports %s", path, to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d files found: the walk looks in the wrong place", files)
	}
}

func allowed(from, to string) bool {
	if in(to, "appliance/mail") && !inAny(from, mailUsers) {
		return false
	}
	room := roomOf(from)
	if room == "" || in(to, room) { // programs and tools may import any room
		return true
	}
	return inAny(to, rooms[room])
}

func roomOf(pkg string) string {
	for room := range rooms {
		if in(pkg, room) {
			return room
		}
	}
	return ""
}

func in(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

func inAny(pkg string, list []string) bool {
	for _, room := range list {
		if in(pkg, room) {
			return true
		}
	}
	return false
}

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"appliance/mail/imapd", "appliance/store/store", true},
		{"appliance/store/store", "appliance/mail/mimeindex", false},
		{"appliance/store/store", "appliance/store/blob", true},
		{"appliance/box/power", "appliance/mail/queue", false},
		{"appliance/mail/queue", "appliance/box/clock", false},
		{"appliance/console", "appliance/api/boxapi", true},
		{"appliance/console", "appliance/store/store", false},
		{"cmd/maild", "appliance/mail/queue", true},
		{"cmd/mailctl", "appliance/mail/queue", false},
	} {
		if got := allowed(c.from, c.to); got != c.want {
			t.Errorf("%s importing %s: allowed %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
