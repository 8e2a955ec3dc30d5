// Command maild is the mail service of the box: SMTP, IMAP, POP3, the queue
// and the administration API. See package maild.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/mail/maild"
	"pillarbox/appliance/version"
)

// devPortOffset lets a developer's machine run the service beside its own.
const devPortOffset = 20000

// errRestart ends the process for the supervisor to start it anew.
var errRestart = errors.New("started anew to put a restored store in place")

// exitUsage is the exit code for a wrong command line, which package flag uses too.
const exitUsage = 2

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "maild:", err)
		os.Exit(1)
	}
}

func run() error {
	cfg := maild.Config{Version: version.String(), BuildTime: version.Time()}
	flag.StringVar(&cfg.Data, "data", "/data", "`folder` of the mail store")
	flag.StringVar(&cfg.State, "state", "/state", "`folder` of the box's state; maild's part is its folder maild")
	flag.StringVar(&cfg.Provision, "provision", "", "provisioning `file`, applied where there is one, and removed but for --dev")
	flag.StringVar(&cfg.Socket, "socket", mailapi.Socket, "`socket` of the administration API")
	flag.StringVar(&cfg.Listen, "listen", "", "`address` to open ports on; all where empty")
	flag.IntVar(&cfg.PortOffset, "port-offset", 0, "`number` added to every port")
	dev := flag.Bool("dev", false, "run on a developer's machine: all files below --data, ports from 20000 on 127.0.0.1")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "Usage: maild [flags]\n\nServes mail. Ends in order on SIGTERM and SIGINT.\nExit codes: 0 after a signal, 1 after a failure, 2 for wrong flags.\nEnvironment: GOMEMLIMIT bounds the heap; half of the machine's memory where unset.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *showVersion {
		fmt.Println("maild", version.String())
		return nil
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "maild: %q: flags only\n", flag.Arg(0))
		os.Exit(exitUsage)
	}
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if *dev {
		if !given["data"] {
			fmt.Fprintln(os.Stderr, "maild: --dev needs --data")
			os.Exit(exitUsage)
		}
		forDevelopment(&cfg, given)
	} else {
		cfg.State = filepath.Join(cfg.State, "maild")
	}
	limitMemory()

	signals, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, os.Interrupt)
	defer stop()
	ctx, cancel := context.WithCancelCause(signals)
	defer cancel(nil)
	cfg.Restart = func() { cancel(errRestart) }
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	if !*dev {
		if err := confine(cfg); err != nil {
			cfg.Log.Warn("the kernel does not confine maild to its folders", "error", err)
		}
	}
	d, err := maild.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if *dev && !d.SetupDone() {
		fmt.Fprintf(os.Stderr, "maild: there is no mailbox yet: mailctl --socket %s setup HOSTNAME DOMAIN ADDRESS makes the first one\n", cfg.Socket)
	}
	return d.Run(ctx)
}

func forDevelopment(cfg *maild.Config, given map[string]bool) {
	cfg.State, cfg.AllowLoopback = cfg.Data, true
	cfg.KeepProvision = true // it is the developer's own
	if !given["listen"] {
		cfg.Listen = "127.0.0.1"
	}
	if !given["port-offset"] {
		cfg.PortOffset = devPortOffset
	}
	if !given["socket"] {
		cfg.Socket = filepath.Join(cfg.Data, "maild.sock")
	}
}

// limitMemory has the garbage collector keep the heap below half of the
// machine's memory: the other half is for the store's mapped files, the kernel
// and the other services.
func limitMemory() {
	var info unix.Sysinfo_t
	if os.Getenv("GOMEMLIMIT") != "" || unix.Sysinfo(&info) != nil {
		return
	}
	debug.SetMemoryLimit(int64(info.Totalram) * int64(info.Unit) / 2)
}
