// Package board describes machines, and gets what their images are made of.
//
// A board is data: board/NAME/board.toml says which kernel, modules, firmware
// and consoles a machine has, from where on its sensors' readings are not well,
// and which of several watchdogs is the best. What is needed on the box goes into
// the image as a file, see package boardfile. Code that runs there never asks
// which board it is: it asks the hardware, and takes what the board says for where
// the hardware says nothing.
//
// Limits of sensors are tables, the first that fits an input of a chip counts:
//
//	[[sensor]]
//	chips = ["coretemp", "k10temp"]  # as their drivers name them in hwmon
//	input = "temp*"                  # temp, fan, in, curr, power: all, or one as temp1
//	label = "Core *"                 # a pattern, where given
//	watch_high = 90                  # °C, turns a minute, volts, amperes, watts
//	bad_high = 100                   # and watch_low, bad_low
//
// A key that is not known and a value that cannot be are errors that name the
// file and the line or the key.
//
// Everything that is not ours comes from Debian's packages, downloaded with
// the host's own apt set-up into a cache and unpacked there, never installed.
// board/lock.toml pins each by name, version and SHA-256.
package board

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"pillarbox/appliance/config/boardfile"
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
	// Watchdogs are the timers to be taken before others where the hardware has
	// several, the best first, by the identities that their drivers give them.
	Watchdogs []string `toml:"watchdogs"`
	// Sensors are limits for sensors whose hardware states none.
	Sensors []boardfile.Sensor `toml:"sensor"`
}

// Load reads board/NAME/board.toml below the project's root.
func Load(root, name string) (*Board, error) {
	if name == "" || strings.ContainsAny(name, `/\.`) {
		return nil, fmt.Errorf("board %q: no such board; there are: %s", name, strings.Join(Names(root), ", "))
	}
	file := filepath.Join("board", name, "board.toml")
	raw, err := os.ReadFile(filepath.Join(root, file))
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("board %q: no such board; there are: %s", name, strings.Join(Names(root), ", "))
	}
	if err != nil {
		return nil, err
	}
	b, err := parse(file, raw)
	if err != nil {
		return nil, err
	}
	b.Name = name
	return b, nil
}

// parse reads a board's file, whose name is for errors.
func parse(file string, raw []byte) (*Board, error) {
	b := new(Board)
	d := toml.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(b); err != nil {
		return nil, decodeProblems(file, err)
	}
	if b.Arch != "amd64" {
		return nil, fmt.Errorf("%s: architecture %q cannot be built yet", file, b.Arch)
	}
	if b.Kernel == "" || len(b.Consoles) == 0 || len(b.Modules) == 0 {
		return nil, fmt.Errorf("%s: kernel, consoles and modules must be given", file)
	}
	if slices.Contains(b.Watchdogs, "") {
		return nil, fmt.Errorf("%s: watchdogs must be identities, such as iTCO_wdt", file)
	}
	if err := boardfile.CheckSensors(b.Sensors); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return b, nil
}

// decodeProblems says where in a file the decoder found what it says.
func decodeProblems(file string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var all []error
		for i := range unknown.Errors {
			e := &unknown.Errors[i]
			line, _ := e.Position()
			all = append(all, fmt.Errorf("%s:%d: %s is no key of a board", file, line, strings.Join(e.Key(), ".")))
		}
		return errors.Join(all...)
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, _ := wrong.Position()
		return fmt.Errorf("%s:%d: %s: %w", file, line, strings.Join(wrong.Key(), "."), err)
	}
	return fmt.Errorf("%s: %w", file, err)
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
