package shell

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// complete is called by the editor for each key. Tab completes the word before the
// cursor as far as only one goes on, and lists those that do where several can.
func (c *session) complete(line string, pos int, key rune) (string, int, bool) {
	if key != '\t' {
		return "", 0, false
	}
	from := strings.LastIndexAny(line[:pos], " ;|&<>(=") + 1
	word := line[from:pos]
	before := strings.TrimRight(line[:from], " ")
	var found []string
	if !strings.Contains(word, "/") && (before == "" || strings.ContainsAny(before[len(before)-1:], ";|&(")) {
		found = commands(c.runner.Env.Get("PATH").String(), word)
	} else {
		found = files(c.runner.Dir, word)
	}
	if len(found) == 0 {
		return line, pos, true
	}
	whole := common(found)
	switch {
	case len(found) == 1 && !strings.HasSuffix(whole, "/"):
		whole += " "
	case len(found) > 1 && whole == word:
		fmt.Fprintln(c.editor, strings.Join(found, "  "))
	}
	return line[:from] + whole + line[pos:], from + len(whole), true
}

// commands are the programs whose names begin with word.
func commands(path, word string) (found []string) {
	for _, dir := range filepath.SplitList(path) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), word) {
				found = append(found, e.Name())
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// files are the paths that begin with word, seen from dir; folders end with a slash.
func files(dir, word string) (found []string) {
	folder, name := filepath.Split(word)
	at := folder
	if !filepath.IsAbs(at) {
		at = filepath.Join(dir, folder)
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), name) || name == "" && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := folder + e.Name()
		if fi, err := os.Stat(filepath.Join(at, e.Name())); err == nil && fi.IsDir() {
			path += "/"
		}
		found = append(found, path)
	}
	return found
}

// common is what all of list begin with.
func common(list []string) string {
	whole := list[0]
	for _, s := range list[1:] {
		for !strings.HasPrefix(s, whole) {
			whole = whole[:len(whole)-1]
		}
	}
	return whole
}
