// Package board describes machines, and gets what their images are made of.
//
// A board is data: board/NAME/board.toml says which kernel, modules, firmware
// and consoles a machine has. Code that runs on the box never asks for the
// board; it asks the hardware.
//
// Everything that is not ours comes from Debian's packages, downloaded with
// the host's own apt set-up into a cache and unpacked there, never installed.
// board/lock.toml pins each by name, version and SHA-256.
package board

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Board is a machine or a family of machines.
type Board struct {
	Name  string `toml:"-"`
	Title string `toml:"title"`
	// Arch is Debian's name of the architecture: amd64.
	Arch string `toml:"arch"`
	// Kernel is the package that depends on the kernel to be used.
	Kernel string `toml:"kernel"`
	// Consoles are the kernel's console= values; the last one is /dev/console.
	Consoles []string `toml:"consoles"`
	// Cmdline is what else stands on the kernel's command line.
	Cmdline []string `toml:"cmdline"`
	// Modules are names of kernel modules (ahci), or folders of the kernel's
	// tree with a slash at the end (drivers/ata/), which take all below them.
	// What they depend on comes along. One that the kernel does not have fails
	// the build: it was renamed, and the hardware would go without.
	Modules []string `toml:"modules"`
	// Without are modules or folders left out of those that Modules names.
	Without []string `toml:"without"`
	// Load are modules that no device asks for and that are loaded all the same.
	Load []string `toml:"load"`
	// Firmware are packages whose files are taken as far as a module asks for them.
	Firmware []string `toml:"firmware"`
	// Microcode are packages of processor microcode, loaded before all else.
	Microcode []string `toml:"microcode"`
}

// Load reads board/NAME/board.toml below the project's root.
func Load(root, name string) (*Board, error) {
	if name == "" || strings.ContainsAny(name, `/\.`) {
		return nil, fmt.Errorf("board %q: no such board; there are: %s", name, strings.Join(Names(root), ", "))
	}
	f, err := os.Open(filepath.Join(root, "board", name, "board.toml"))
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("board %q: no such board; there are: %s", name, strings.Join(Names(root), ", "))
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := &Board{Name: name}
	d := toml.NewDecoder(f)
	d.DisallowUnknownFields()
	if err := d.Decode(b); err != nil {
		return nil, fmt.Errorf("board %s: %w", name, err)
	}
	if b.Arch != "amd64" {
		return nil, fmt.Errorf("board %s: architecture %q cannot be built yet", name, b.Arch)
	}
	if b.Kernel == "" || len(b.Consoles) == 0 || len(b.Modules) == 0 {
		return nil, fmt.Errorf("board %s: kernel, consoles and modules must be given", name)
	}
	return b, nil
}

// Names lists the boards there are.
func Names(root string) []string {
	files, _ := filepath.Glob(filepath.Join(root, "board", "*", "board.toml"))
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = filepath.Base(filepath.Dir(f))
	}
	return names
}

// CommandLine is the kernel's command line.
func (b *Board) CommandLine() string {
	var words []string
	for _, c := range b.Consoles {
		words = append(words, "console="+c)
	}
	return strings.Join(append(words, b.Cmdline...), " ")
}
