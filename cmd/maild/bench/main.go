// Command bench measures maild beside Debian's Postfix and Dovecot, in one
// run, on one machine and one disk, and prints a table of ratios. `make
// bench` builds and runs it.
//
// Each measurement starts its server afresh on an empty store, drives it over
// loopback with the same client code, and reads the processor time of the
// server's whole process tree from /proc. A message counts as delivered when
// it is in the recipient's mailbox on disk: for Pillarbox that is the 250 to
// DATA, for Postfix with Dovecot the file in the Maildir.
//
// The program ends by itself; nothing it does leaves loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// version is set by the build.
var version = "dev"

// bench is what the measurements share.
type bench struct {
	maild  string // path of the maild program
	peer   string // path of scripts/bench-peer.sh
	dir    string // working folder, on the disk to be measured
	corpus *corpus
	quick  bool
	alone  bool  // Pillarbox only, where there is nothing to compare
	sizes  []int // of messages, in KiB
	conns  []int
	table  *table
}

type measurement struct {
	name string
	what string
	run  func(context.Context, *bench) error
}

func measurements() []measurement {
	return []measurement{
		{"smtp", "messages delivered and durable over SMTP, 4 KiB and 100 KiB, 1, 10 and 50 connections", benchSMTP},
		{"submission", "the same with TLS, and with TLS and AUTH, beside plain port 25", benchSubmission},
		{"imap", "a client's commands on a 10,000-message mailbox", benchIMAP},
		{"idle", "1,000 clients in IDLE over TLS, told of a new message", benchIdle},
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		maild   = flag.String("maild", "build/bin/maild", "the maild `program` to measure")
		peer    = flag.String("peer", "scripts/bench-peer.sh", "the `script` that starts Postfix and Dovecot")
		dir     = flag.String("dir", "build/bench", "working `folder`, on the disk to be measured")
		mails   = flag.String("corpus", os.Getenv("PILLARBOX_CORPUS"), "`archive` (tar.xz) of real mail; made-up text where empty")
		only    = flag.String("only", "", "comma-separated `names` of measurements; all where empty")
		quick   = flag.Bool("quick", false, "a tenth of the messages, for trying the bench itself")
		alone   = flag.Bool("alone", false, "measure smtp without Postfix and Dovecot, for profiling maild")
		sizes   = flag.String("sizes", "4,100", "`KiB` of smtp's messages, comma-separated")
		conns   = flag.String("conns", "1,10,50", "`numbers` of smtp's connections, comma-separated")
		showVer = flag.Bool("version", false, "print the version and exit")
	)
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "Usage: bench [flags]\n\nMeasures maild beside Postfix and Dovecot.\n\nMeasurements:\n")
		for _, m := range measurements() {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-12s %s\n", m.name, m.what)
		}
		fmt.Fprint(flag.CommandLine.Output(), "\nFlags:\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *showVer {
		fmt.Println("bench", version)
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	abs, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return err
	}
	b := &bench{maild: *maild, peer: *peer, dir: abs, quick: *quick, alone: *alone, table: newTable(os.Stdout)}
	if b.sizes, err = positive(*sizes); err != nil {
		return fmt.Errorf("-sizes: %w", err)
	}
	if b.conns, err = positive(*conns); err != nil {
		return fmt.Errorf("-conns: %w", err)
	}
	if b.corpus, err = loadCorpus(ctx, *mails); err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	b.table.note("Text of messages: %s.", b.corpus.origin)

	var names []string
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	var errs []error
	for _, m := range measurements() {
		if names != nil && !slices.Contains(names, m.name) {
			continue
		}
		b.table.section(m.name + ": " + m.what)
		if err := m.run(ctx, b); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
			b.table.note("%s failed: %v", m.name, err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return errors.Join(errs...)
}

// positive reads a comma-separated list of positive numbers.
func positive(list string) ([]int, error) {
	var out []int
	for f := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(f)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("%q is not a positive number", f)
		}
		out = append(out, n)
	}
	return out, nil
}
