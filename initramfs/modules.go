package initramfs

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"pillarbox/board"
)

// moduleSet is what a kernel offers and what was chosen from it.
type moduleSet struct {
	release string
	tree    string            // lib/modules/RELEASE of the kernel's package
	paths   map[string]string // canonical name to path below tree
	builtin map[string]bool
	chosen  map[string]bool
}

// canonical is a module's name as the kernel compares it.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

func moduleName(path string) string {
	base := filepath.Base(path)
	return canonical(base[:strings.Index(base+".ko", ".ko")])
}

func readModules(kernelTree string) (*moduleSet, error) {
	dirs, err := filepath.Glob(filepath.Join(kernelTree, "lib/modules/*"))
	if err != nil || len(dirs) != 1 {
		return nil, fmt.Errorf("kernel package: %d folders below lib/modules, want one", len(dirs))
	}
	m := &moduleSet{release: filepath.Base(dirs[0]), tree: dirs[0], paths: map[string]string{}, builtin: map[string]bool{}, chosen: map[string]bool{}}
	err = filepath.WalkDir(dirs[0], func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(d.Name(), ".ko") {
			rel, err := filepath.Rel(dirs[0], p)
			if err != nil {
				return err
			}
			m.paths[moduleName(p)] = filepath.ToSlash(rel)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dirs[0], "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for sc := bufio.NewScanner(bytes.NewReader(raw)); sc.Scan(); {
		m.builtin[moduleName(sc.Text())] = true
	}
	return m, nil
}

// choose marks the board's modules and all they depend on, and names those
// that the kernel does not have.
func (m *moduleSet) choose(b *board.Board) error {
	var missing []string
	var names []string
	for _, want := range b.Modules {
		found, err := m.expand(want)
		if err != nil {
			missing = append(missing, want)
		}
		names = append(names, found...)
	}
	without := map[string]bool{}
	for _, w := range b.Without {
		found, err := m.expand(w)
		if err != nil {
			missing = append(missing, w+" (to be left out)")
		}
		for _, n := range found {
			without[n] = true
		}
	}
	for _, want := range b.Load {
		if n := canonical(want); !slices.Contains(names, n) && !m.builtin[n] {
			names = append(names, n)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("kernel %s does not have: %s", m.release, strings.Join(missing, ", "))
	}
	for _, n := range names {
		if without[n] {
			continue
		}
		if err := m.add(n); err != nil {
			return err
		}
	}
	return nil
}

// expand turns a name or folder into canonical names. A name may be built in.
func (m *moduleSet) expand(want string) ([]string, error) {
	if dir, ok := strings.CutSuffix(want, "/"); ok {
		var names []string
		for _, n := range slices.Sorted(maps.Keys(m.paths)) {
			if strings.HasPrefix(m.paths[n], "kernel/"+dir+"/") {
				names = append(names, n)
			}
		}
		if len(names) == 0 {
			return nil, fs.ErrNotExist
		}
		return names, nil
	}
	n := canonical(filepath.Base(want))
	switch {
	case m.builtin[n]:
		return nil, nil
	case m.paths[n] == "":
		return nil, fs.ErrNotExist
	}
	return []string{n}, nil
}

// add marks a module and what it depends on, soft dependencies included as
// far as the kernel has them.
func (m *moduleSet) add(name string) error {
	if m.chosen[name] || m.builtin[name] {
		return nil
	}
	if m.paths[name] == "" {
		return fmt.Errorf("kernel %s: module %s is depended on and missing", m.release, name)
	}
	m.chosen[name] = true
	info, err := modinfo(filepath.Join(m.tree, m.paths[name]))
	if err != nil {
		return err
	}
	for _, list := range info["depends"] {
		for _, dep := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
			if err := m.add(canonical(dep)); err != nil {
				return err
			}
		}
	}
	for _, list := range info["softdep"] {
		for _, dep := range strings.Fields(list) {
			if n := canonical(dep); m.paths[n] != "" {
				if err := m.add(n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// firmware lists the files that the chosen modules ask for.
func (m *moduleSet) firmware() ([]string, error) {
	files := map[string]bool{}
	for n := range m.chosen {
		info, err := modinfo(filepath.Join(m.tree, m.paths[n]))
		if err != nil {
			return nil, err
		}
		for _, f := range info["firmware"] {
			files[f] = true
		}
	}
	return slices.Sorted(maps.Keys(files)), nil
}

// stage copies the chosen modules below dir and has depmod make their tables.
func (m *moduleSet) stage(ctx context.Context, dir string) error {
	to := filepath.Join(dir, "lib/modules", m.release)
	for n := range m.chosen {
		if err := copyFile(filepath.Join(m.tree, m.paths[n]), filepath.Join(to, m.paths[n])); err != nil {
			return err
		}
	}
	for _, f := range []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"} {
		if err := copyFile(filepath.Join(m.tree, f), filepath.Join(to, f)); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, "/sbin/depmod", "-b", dir, m.release).CombinedOutput()
	if err != nil {
		return fmt.Errorf("depmod: %w: %s", err, out)
	}
	// The binary tables are for a modprobe that the box does not have.
	bins, err := filepath.Glob(filepath.Join(to, "*.bin"))
	if err != nil {
		return err
	}
	for _, f := range append(bins, filepath.Join(to, "modules.devname"), filepath.Join(to, "modules.symbols")) {
		if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// modinfo reads the strings of a module's .modinfo section.
func modinfo(path string) (map[string][]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", path, err)
	}
	defer f.Close()
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("module %s: no .modinfo", path)
	}
	raw, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", path, err)
	}
	info := map[string][]string{}
	for _, entry := range bytes.Split(raw, []byte{0}) {
		if k, v, ok := strings.Cut(string(entry), "="); ok {
			if k == "softdep" {
				v = strings.NewReplacer("pre:", " ", "post:", " ").Replace(v)
			}
			info[k] = append(info[k], v)
		}
	}
	return info, nil
}

func copyFile(from, to string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o644)
}
