// Command init is PID 1 of the box: it loads drivers, mounts the volumes, runs
// the services and brings them down in order. See package boot.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/box/boot"
	"pillarbox/appliance/box/power"
	"pillarbox/appliance/version"
)

// restartAfter is how long the last words stay on the screen before a box whose
// PID 1 has failed is restarted.
const restartAfter = 10 * time.Second

func main() {
	if os.Getpid() != 1 {
		command()
		return
	}
	// The kernel hands PID 1 those words of its command line that it does not
	// know; they are not ours.
	action := run()
	if err := action.Do(); err != nil {
		fmt.Fprintln(os.Stderr, "pillarbox:", err)
	}
	select {} // PID 1 must not exit
}

// run boots the box. A fault that nothing below caught ends in a restart, with
// what is in memory written out.
func run() (action power.Action) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "pillarbox: init has failed and the box restarts in %v: %v\n%s", restartAfter, p, debug.Stack())
			unix.Sync()
			time.Sleep(restartAfter)
			action = power.Reboot
		}
	}()
	return boot.Run(boot.Config{Version: version.String(), BuildTime: version.Time()})
}

// command is init called by a person.
func command() {
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), `init is the first process of a Pillarbox and does its work as PID 1 only.
It is started by the kernel and takes no options there.

  --version   print the version
  --help      print this

Signals to PID 1: USR1, USR2, PWR power off; TERM, INT restart; in order both.
Socket: /run/init.sock (HTTP, JSON). Exit codes: 0 after --version and --help, 2 else.
`)
	}
	showVersion := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *showVersion {
		fmt.Println("init", version.String())
		return
	}
	fmt.Fprintln(os.Stderr, "init: this is not PID 1; see --help")
	os.Exit(2)
}
