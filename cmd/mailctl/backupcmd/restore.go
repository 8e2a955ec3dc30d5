package backupcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"pillarbox/appliance/api/backupapi"
	"pillarbox/appliance/store/backup"
	"pillarbox/appliance/store/store"
)

const restoreUsage = `mailctl restore [options] FILE...
mailctl restore --user ADDRESS [options] FILE...

Brings a full backup, and with it the increments that are given too, back; the
order of the files does not matter, and one of them may be - for standard input.

Without --user all of it: mail, people and settings, into a box that has no
mailboxes yet. maild then starts anew. With --replace a box that has some loses
them.

With --user only mail of that person, into the running box. What is in its
mailbox already is not doubled.`

func (e Env) restore(ctx context.Context, args []string) error {
	f := e.flags("mailctl restore", restoreUsage)
	replace := f.Bool("replace", false, "replace all mailboxes, people and settings of the box")
	var p backupapi.Part
	f.StringVar(&p.Address, "user", "", "only mail of the person with this `address`")
	f.StringVar(&p.Mailbox, "mailbox", "", "only the `mailbox` with this name and those below it")
	uid := f.Uint("uid", 0, "only the message with this `UID` in the mailbox")
	f.StringVar(&p.MessageID, "message-id", "", "only messages with this Message-ID, without its angle brackets")
	f.StringVar(&p.To, "to", "", "restore to the person with this `address` instead")
	f.StringVar(&p.Under, "under", "", "restore below the `mailbox` with this name instead of into the original ones")
	var k keys
	k.decryptFlags(f)
	if done, err := parse(f, args); done || err != nil {
		return err
	}
	if *uid > math.MaxUint32 {
		return e.usage(f, "--uid is too large.")
	}
	p.UID = uint32(*uid)
	switch {
	case f.NArg() == 0:
		return e.usage(f, "The files of the backup are needed.")
	case p.Address == "" && p != backupapi.Part{}:
		return e.usage(f, "--user is needed to restore a part.")
	case p.Address != "" && *replace:
		return e.usage(f, "--user and --replace cannot be combined.")
	case p.UID != 0 && p.Mailbox == "":
		return e.usage(f, "--uid needs --mailbox.")
	}
	chain, closeAll, err := e.openBackups(f.Args(), &k, false)
	if err != nil {
		return err
	}
	defer closeAll()
	c := backupapi.NewClient(e.Socket)
	defer c.Close()
	if p.Address != "" {
		return e.restorePart(ctx, c, p, chain)
	}
	m := e.meter("restore")
	streams := make([]io.Reader, len(chain))
	for i, r := range chain {
		streams[i] = r.raw
	}
	err = c.Restore(ctx, io.TeeReader(io.MultiReader(streams...), m), *replace)
	m.clear()
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Err, "restored, %s; the mail service starts anew\n", m)
	return nil
}

// restorePart sends maild only what is to be restored.
func (e Env) restorePart(ctx context.Context, c *backupapi.Client, p backupapi.Part, chain []*input) error {
	readers := make([]*backup.Reader, len(chain))
	for i, in := range chain {
		r, err := backup.NewReader(in.raw)
		if err != nil {
			return fmt.Errorf("%s: %w", in.name, err)
		}
		defer r.Close()
		readers[i] = r
	}
	sel := backup.Selection{Address: p.Address, Mailbox: p.Mailbox, UID: store.UID(p.UID), MessageID: p.MessageID}
	extract, w := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		_, err := backup.Extract(ctx, w, sel, readers...)
		failed <- err
		w.CloseWithError(err)
	}()
	report, err := c.RestorePart(ctx, p, extract)
	extract.CloseWithError(io.ErrClosedPipe)
	if xerr := <-failed; xerr != nil && !errors.Is(xerr, io.ErrClosedPipe) {
		err = xerr // what was wrong first
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Err, "%d messages restored, %d were there already\n", report.Restored, report.There)
	var problems []store.Problem
	for _, q := range report.Problems {
		problems = append(problems, store.Problem{Where: q.Where, What: q.What})
	}
	return e.report(problems, "could not be restored, or not wholly")
}

const verifyUsage = `mailctl verify [options] FILE...

Reads backups to their end and compares every hash in them, that of each message
included. Where more than one file is given they must be a full backup and its
increments, none missing. It needs no running box.`

func (e Env) verify(ctx context.Context, args []string) error {
	f := e.flags("mailctl verify", verifyUsage)
	var k keys
	k.decryptFlags(f)
	if done, err := parse(f, args); done || err != nil {
		return err
	}
	if f.NArg() == 0 {
		return e.usage(f, "The files of the backup are needed.")
	}
	chain, closeAll, err := e.openBackups(f.Args(), &k, true)
	if err != nil {
		return err
	}
	defer closeAll()
	var problems []store.Problem
	for _, in := range chain {
		m := e.meter(in.name)
		r, err := backup.NewReader(io.TeeReader(in.raw, m))
		if err != nil {
			return fmt.Errorf("%s: %w", in.name, err)
		}
		t, err := backup.Verify(ctx, r, func(p store.Problem) { problems = append(problems, p) })
		h := r.Header()
		r.Close()
		m.clear()
		if err != nil {
			return fmt.Errorf("%s: %w", in.name, err)
		}
		problems = append(problems, t.Damage...)
		kind := "full"
		if !h.Full() {
			kind = "increment to " + h.Base
		}
		if _, err := fmt.Fprintf(e.Out, "%s: whole; %s, %s, of %s, %d messages, %s\n", in.name, h.ID, kind,
			h.Created.Local().Format("2006-01-02 15:04:05"), t.Bodies, m); err != nil {
			return err
		}
	}
	return e.report(problems, "problems of single messages; all others are whole")
}

// input is a file of a backup, decrypted.
type input struct {
	name string
	raw  io.Reader
}

// openBackups opens the files of a chain, "-" standard input, and puts them in
// order. With alone one file need not be a chain.
func (e Env) openBackups(names []string, k *keys, alone bool) (chain []*input, closeAll func(), err error) {
	identities, err := k.identities()
	if err != nil {
		return nil, nil, err
	}
	var files []*os.File
	closeAll = func() {
		for _, f := range files {
			_ = f.Close() // read only
		}
	}
	var list []backup.Header
	var inputs []*input
	for _, name := range names {
		in := e.In
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				closeAll()
				return nil, nil, err
			}
			files = append(files, f)
			in = f
		}
		plain, err := backup.Decrypt(in, identities...)
		if err == nil {
			var h backup.Header
			h, plain, err = backup.PeekHeader(plain)
			list, inputs = append(list, h), append(inputs, &input{name, plain})
		}
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(inputs) == 1 && alone {
		return inputs, closeAll, nil
	}
	order, err := backup.Order(list)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	for _, i := range order {
		chain = append(chain, inputs[i])
	}
	return chain, closeAll, nil
}
