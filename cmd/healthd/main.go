// Command healthd watches the machine and feeds its watchdog. See package health.
package main

import (
	"context"
	"errors"
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
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/health"
	"pillarbox/appliance/version"
)

// exitUsage is the exit code for a wrong command line, which package flag uses too.
const exitUsage = 2

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "healthd:", err)
		os.Exit(1)
	}
}

func run() error {
	state := flag.String("state", "/state", "`folder` of the state volume")
	data := flag.String("data", "/data", "`folder` of the data volume")
	socket := flag.String("socket", healthapi.Socket, "`socket` to serve on")
	smtp := flag.String("smtp", "127.0.0.1:25", "`address` of the mail server that takes alerts")
	imap := flag.String("imap", "127.0.0.1:143", "`address` of the IMAP server that has to greet")
	metrics := flag.String("metrics", fmt.Sprintf(":%d", healthapi.MetricsPort), "`address` to serve metrics on, where the settings say so")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "Usage: healthd [flags]\n\nWatches the machine, tells the owner, feeds the watchdog. Ends on SIGTERM.\nExit codes: 0 after SIGTERM, 1 after a failure, 2 for wrong flags.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *showVersion {
		fmt.Println("healthd", version.String())
		return nil
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "healthd: %q: flags only\n", flag.Arg(0))
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	m, err := health.New(health.Config{
		Root: "/", State: *state, Data: *data, SMTP: *smtp, IMAP: *imap, MetricsAddress: *metrics, Log: log,
		Init: initapi.NewClient(initapi.Socket), Box: boxapi.NewClient(boxapi.Socket), Mail: mailapi.NewClient(mailapi.Socket),
	})
	if err != nil {
		return err
	}
	l, err := wire.Listen(*socket, 0o600)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() {
		defer stop() // init starts another one where nobody can ask this one
		served <- wire.Serve(ctx, l, healthapi.Handler(m, m.Metrics()), log)
	}()
	err = m.Run(ctx)
	stop()
	return errors.Join(err, <-served)
}
