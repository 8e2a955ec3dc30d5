// Command console shows the box's state and asks the first-boot questions on
// one terminal. See package console.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/console"
	"pillarbox/appliance/console/keymap"
	"pillarbox/appliance/version"
)

// exitUsage is the exit code for a wrong command line, which package flag uses too.
const exitUsage = 2

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(1)
	}
}

func run() error {
	tty := flag.String("tty", "/dev/tty", "the `terminal` to use")
	serial := flag.Bool("serial", false, "draw in ASCII, for a serial line")
	initSocket := flag.String("init", initapi.Socket, "init's `socket`")
	boxSocket := flag.String("boxd", boxapi.Socket, "boxd's `socket`")
	mailSocket := flag.String("maild", mailapi.Socket, "maild's `socket`")
	healthSocket := flag.String("healthd", healthapi.Socket, "healthd's `socket`")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "Usage: console [flags]\n\nShows how the box is and sets it up. Ends on SIGTERM.\nExit codes: 0 after SIGTERM, 1 after a failure, 2 for wrong flags.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *showVersion {
		fmt.Println("console", version.String())
		return nil
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "console: %q: flags only\n", flag.Arg(0))
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	// Without O_NONBLOCK a serial line with no carrier would hold the open for ever.
	fd, err := unix.Open(*tty, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", *tty, err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return fmt.Errorf("%s: %w", *tty, err)
	}
	f := os.NewFile(uintptr(fd), *tty)
	defer f.Close()
	init, box, mail := initapi.NewClient(*initSocket), boxapi.NewClient(*boxSocket), mailapi.NewClient(*mailSocket)
	health := healthapi.NewClient(*healthSocket)
	var loadKeyboard func(string) error
	if !*serial {
		loadKeyboard = func(layout string) error { return keymap.Load(f, layout) }
	}
	return console.Run(ctx, console.Config{
		TTY: f, Serial: *serial, LoadKeyboard: loadKeyboard,
		Backend: &console.Sockets{Init: init, Box: box, Mail: mail, Health: health},
		Mail:    mail, Box: box, Init: init, Health: health,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
}
