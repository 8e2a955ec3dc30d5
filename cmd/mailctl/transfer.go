package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"pillarbox/appliance/api/transferapi"
	"pillarbox/appliance/store/transfer"
)

func importMail(ctx context.Context, c *ctl, args []string) error {
	var o transferapi.ImportOptions
	var format string
	rest, err := c.flags("import", args, func(fs *flag.FlagSet) {
		fs.StringVar(&o.Into, "into", "", "`mailbox` below which all folders go; else in their places")
		fs.BoolVar(&o.IgnoreQuota, "ignore-quota", false, "import over the person's storage limit")
		fs.StringVar(&format, "format", "", "mbox, maildir or eml; found out where empty. An mbox is a mailbox; where\n"+
			"20 or more in a folder hold one message each, they are the folder's messages")
	}, 2)
	if err != nil {
		return err
	}
	f, err := transferFormat(format)
	if err != nil {
		return err
	}
	if f == "" {
		if f, err = transfer.Detect(rest[1]); err != nil {
			return err
		}
	}
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := transfer.Send(ctx, w, rest[1], f, c.bar())
		w.CloseWithError(err)
		sent <- err
	}()
	report, err := c.transfer.Import(ctx, rest[0], o, r)
	_ = r.Close() // ends a sender whose mail is not taken any more
	if c.terminal {
		fmt.Fprint(c.err, "\r\x1b[K")
	}
	if sendErr := <-sent; sendErr != nil && !errors.Is(sendErr, io.ErrClosedPipe) {
		err = sendErr // what was wrong first
	}
	if ctx.Err() != nil {
		return errors.New("interrupted; what was imported stays, run it again to go on")
	}
	if err != nil {
		return err
	}
	err = c.show(report, func(t *tabwriter.Writer) {
		row(t, fmt.Sprintf("%d messages imported, %d were there already, %d failed", report.Imported, report.Skipped, report.Failed))
		if report.Unmarked > 0 {
			row(t, fmt.Sprintf("%d came without their keywords: there are too many, or they are too long", report.Unmarked))
		}
		for _, b := range report.Broken {
			row(t, b.Where, b.Error)
		}
	})
	switch {
	case report.Stopped != "":
		return errors.Join(err, errors.New("ended early: "+report.Stopped+"; what was imported stays, run it again to go on"))
	case report.Failed > 0:
		return errors.Join(err, fmt.Errorf("%d could not be imported", report.Failed))
	}
	return err
}

// transferFormat reads the option for the format, empty where it is not given.
func transferFormat(name string) (transfer.Format, error) {
	switch f := transfer.Format(name); f {
	case "", transfer.Mbox, transfer.Maildir, transfer.EML:
		return f, nil
	}
	return "", wrong("format %q is none of mbox, maildir and eml", name)
}

// bar shows progress with the rate and the time that is left, a few times a
// second; nil where nobody watches.
func (c *ctl) bar() func(done, total int64) {
	if !c.terminal {
		return nil
	}
	begun := time.Now()
	var shown time.Time
	return func(done, total int64) {
		now := time.Now()
		if total == 0 || now.Sub(shown) < 200*time.Millisecond {
			return
		}
		shown = now
		passed := now.Sub(begun)
		rate := float64(done) / max(passed.Seconds(), 0.001)
		left := time.Duration(float64(total-done) / max(rate, 1) * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(c.err, "\r\x1b[K%3d %%  %s of %s  %s/s  %v left", done*100/total, size(done), size(total), size(int64(rate)), left)
	}
}

func exportMail(ctx context.Context, c *ctl, args []string) error {
	var mailbox, format string
	rest, err := c.flags("export", args, func(fs *flag.FlagSet) {
		fs.StringVar(&mailbox, "mailbox", "", "`mailbox` to take out, with those below it; all where empty")
		fs.StringVar(&format, "format", "maildir", "mbox, maildir or eml")
	}, 2)
	if err != nil {
		return err
	}
	f, err := transferFormat(format)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := c.transfer.Export(ctx, rest[0], mailbox, w)
		w.CloseWithError(err)
		sent <- err
	}()
	bar := c.bar()
	ex := &transfer.Export{Progress: func(p transfer.Progress) {
		if bar != nil {
			bar(p.Bytes, p.Total)
		}
	}}
	res, err := ex.Receive(ctx, r, rest[1], f)
	_ = r.Close()
	if sendErr := <-sent; sendErr != nil && !errors.Is(sendErr, io.ErrClosedPipe) {
		err = sendErr // what was wrong first
	}
	if c.terminal {
		fmt.Fprint(c.err, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%d messages written, %d could not be read whole\n", res.Imported, res.Failed)
	for _, b := range res.Broken {
		fmt.Fprintf(c.out, "%s: %v\n", b.Where, b.Err)
	}
	if res.Failed > 0 {
		return fmt.Errorf("%d messages are not in it", res.Failed)
	}
	return nil
}

// since reads a time: a duration back from now, a day or a moment.
func since(s string) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, wrong("%q is no time such as 48h, 2026-03-01 or 2026-03-01T12:00:00Z", s)
}

func expunged(ctx context.Context, c *ctl, args []string) error {
	var from string
	rest, err := c.flags("expunged", args, func(fs *flag.FlagSet) {
		fs.StringVar(&from, "since", "", "only what was deleted since then: 48h, 2026-03-01")
	}, 1)
	if err != nil {
		return err
	}
	var t time.Time
	if from != "" {
		if t, err = since(from); err != nil {
			return err
		}
	}
	list, err := c.transfer.Expunged(ctx, rest[0], t)
	if err != nil {
		return err
	}
	return c.show(list, func(t *tabwriter.Writer) {
		row(t, "ID", "DELETED", "MAILBOX", "FROM", "SUBJECT")
		for _, e := range list {
			row(t, e.ID, stamp(e.Expunged), e.Mailbox, e.From, e.Subject)
		}
	})
}

func undelete(ctx context.Context, c *ctl, args []string) error {
	var u transferapi.Undelete
	var from string
	rest, err := c.flags("undelete", args, func(fs *flag.FlagSet) {
		fs.StringVar(&from, "since", "", "all that was deleted since then: 48h, 2026-03-01")
		fs.StringVar(&u.Into, "into", "", "`mailbox` for all of it; else where it was")
		fs.BoolVar(&u.IgnoreQuota, "ignore-quota", false, "bring it back over the person's storage limit")
	}, -1)
	if err != nil {
		return err
	}
	if len(rest) == 0 || (len(rest) == 1) == (from == "") {
		return wrong("an address and either ids or --since are needed")
	}
	u.IDs = rest[1:]
	if from != "" {
		if u.Since, err = since(from); err != nil {
			return err
		}
	}
	r, err := c.transfer.Undelete(ctx, rest[0], u)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%d messages are back\n", r.Messages)
	if r.Stopped != "" {
		return fmt.Errorf("ended early: %s", r.Stopped)
	}
	slices.Sort(u.IDs)
	if missing := len(slices.Compact(u.IDs)) - r.Messages; len(u.IDs) > 0 && missing > 0 {
		return fmt.Errorf("%d are not among what can be brought back, see mailctl expunged", missing)
	}
	return nil
}

func reindex(ctx context.Context, c *ctl, args []string) error {
	rest, err := c.flags("reindex", args, none, 1)
	if err != nil {
		return err
	}
	if err := c.transfer.Reindex(ctx, rest[0]); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "the index is made anew in the background; until then searches read the mail itself")
	return nil
}
