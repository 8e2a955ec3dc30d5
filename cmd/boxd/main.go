// Command boxd manages the machine: name, time zone, network, clock, disks and
// power. See package machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/backupapi"
	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/firewall"
	"pillarbox/appliance/box/machine"
	"pillarbox/appliance/box/mdns"
	"pillarbox/appliance/version"
)

// mailOwner is the uid and gid of maild, which init starts it with.
const mailOwner = 1000

// ports are the TCP ports of what the box serves: SMTP, and the challenges of a
// certificate authority, who comes from anywhere and says from where to nobody
// (RFC 8555 section 8.3) and finds the port open only while it is asked; submission,
// IMAP and POP3; and the web and the metrics, which are for administration alone.
func ports() firewall.Config {
	return firewall.Config{Servers: []uint16{25, 80}, People: []uint16{465, 587, 143, 993, 110, 995}, Administration: []uint16{443, healthapi.MetricsPort}}
}

// wall is the firewall before the ports.
type wall struct{}

func (wall) Apply(administration []netip.Prefix) error {
	cfg := ports()
	cfg.Networks = administration
	return firewall.Apply(cfg)
}

func (wall) Limited() ([]firewall.Limited, error) { return firewall.Sources() }

// announced are those that programs look for on a local network (RFC 6186 and
// RFC 8314 give the names).
func announced() []mdns.Service {
	return []mdns.Service{{Type: "_submissions._tcp", Port: 465}, {Type: "_imaps._tcp", Port: 993}, {Type: "_pop3s._tcp", Port: 995}}
}

// exitUsage is the exit code for a wrong command line, which package flag uses too.
const exitUsage = 2

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "boxd:", err)
		os.Exit(1)
	}
}

func run() error {
	state := flag.String("state", "/state", "`folder` of the state volume")
	esp := flag.String("esp", "/esp", "`folder` of the boot volume")
	data := flag.String("data", "/data", "`folder` of the data volume; init looks after it")
	provision := flag.String("provision", "/state/maild/provision.toml", "`file` in which maild gets its provisioning")
	socket := flag.String("socket", boxapi.Socket, "`socket` to serve on")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "Usage: boxd [flags]\n\nManages the machine. Ends on SIGTERM; the network stays as it is.\nExit codes: 0 after SIGTERM, 1 after a failure, 2 for wrong flags.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *showVersion {
		fmt.Println("boxd", version.String())
		return nil
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "boxd: %q: flags only\n", flag.Arg(0))
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	m, err := machine.New(machine.Config{
		Root: "/", State: *state, Data: *data, ESP: *esp, Provision: *provision, Owner: mailOwner, Version: version.String(), BuildTime: version.Time(),
		Init: initapi.NewClient(initapi.Socket), Mail: mailapi.NewClient(mailapi.Socket), Health: healthapi.NewClient(healthapi.Socket), Backup: backupapi.NewClient(mailapi.Socket), Log: log,
		Announce: announced(),
		Firewall: wall{},
	})
	if err != nil {
		return err
	}
	m.Start(ctx)
	// From here on init starts maild: what it needs is in place.
	l, err := wire.Listen(*socket, 0o600)
	if err != nil {
		return err
	}
	var work sync.WaitGroup
	work.Go(func() { m.Run(ctx) })
	err = wire.Serve(ctx, l, boxapi.Handler(m), log)
	stop()
	work.Wait()
	return err
}
