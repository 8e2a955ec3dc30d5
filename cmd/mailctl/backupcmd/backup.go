package backupcmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"pillarbox/appliance/api/backupapi"
	"pillarbox/appliance/store/backup"
	"pillarbox/appliance/store/store"
)

const backupUsage = `mailctl backup [options] FILE
mailctl backup --list

Writes a backup of all mail, people and settings to FILE, or to standard output
where FILE is -, while mail goes on. Every hash in it is compared as it is
written. The certificates and network settings of the box are not in it.

With --increment it holds only what changed since the newest backup, with
--since what changed since another one that --list shows. To restore, the full
backup is needed together with every increment made to it in turn; so an
increment replaces no file that is there.

No increment is made to a backup that went to standard output: whether all of it
was kept is not known here, and an increment to one that is lost is lost too.
With --as-base you vouch for it: give it only where what reads the backup tells
of its failure, and make a full backup after each failure.`

func (e Env) backup(ctx context.Context, args []string) error {
	f := e.flags("mailctl backup", backupUsage)
	increment := f.Bool("increment", false, "only what changed since the newest backup")
	since := f.String("since", "", "only what changed since the backup with this `ID`")
	list := f.Bool("list", false, "list the backups that increments can be made to")
	asBase := f.Bool("as-base", false, "with standard output: let increments be made to it")
	var k keys
	k.encryptFlags(f)
	if done, err := parse(f, args); done || err != nil {
		return err
	}
	c := backupapi.NewClient(e.Socket)
	defer c.Close()
	if *list {
		return e.listBackups(ctx, c)
	}
	if f.NArg() != 1 {
		return e.usage(f, "One file is needed.")
	}
	if *increment && *since != "" {
		return e.usage(f, "--increment and --since cannot be combined.")
	}
	stream := f.Arg(0) == "-"
	if *asBase && !stream {
		return e.usage(f, "--as-base is for standard output: to a backup in a file increments can be made anyway.")
	}
	if _, err := os.Lstat(f.Arg(0)); err == nil && !stream && (*increment || *since != "") {
		return fmt.Errorf("%s is there already, and an increment is no use without the backups before it: give it a name of its own", f.Arg(0))
	}
	to, err := k.encryptTo()
	if err != nil {
		return err
	}
	r := backupapi.Request{Base: *since}
	if *increment {
		made, err := c.Backups(ctx)
		if err != nil {
			return err
		}
		if len(made) == 0 {
			return errors.New("no backup was made of this store yet: make a full one first")
		}
		r.Base = made[0].ID
	}
	return e.makeBackup(ctx, c, r, f.Arg(0), to, !stream || *asBase)
}

func (e Env) listBackups(ctx context.Context, c *backupapi.Client) error {
	made, err := c.Backups(ctx)
	if err != nil {
		return err
	}
	for _, m := range made {
		if _, err := fmt.Fprintf(e.Out, "%s  %s\n", m.ID, m.Created.Local().Format(time.DateTime)); err != nil {
			return err
		}
	}
	return nil
}

// makeBackup writes a backup to a file, then tells maild that it is safe, where
// it is to be a base for increments.
func (e Env) makeBackup(ctx context.Context, c *backupapi.Client, r backupapi.Request, name string, to []age.Recipient, base bool) error {
	in, err := c.Open(ctx, r)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := e.create(name)
	if err != nil {
		return err
	}
	m := e.meter("backup")
	h, t, problems, err := copyBackup(ctx, io.MultiWriter(out, m), in, to)
	m.clear()
	if err != nil {
		return errors.Join(err, out.drop())
	}
	if err := out.keep(); err != nil {
		return err
	}
	if base {
		if err := c.Safe(ctx, backupapi.Made{ID: h.ID, Version: h.Version, Created: h.Created}); err != nil {
			return fmt.Errorf("the backup is complete, but no increment can be made to it: %w", err)
		}
	}
	kind := "full backup"
	if !h.Full() {
		kind = "increment to " + h.Base
	}
	fmt.Fprintf(e.Err, "%s: %s, %d messages, %s\n", h.ID, kind, t.Bodies, m)
	if !base {
		fmt.Fprintln(e.Err, "no increment will be made to it, since it went to standard output")
	}
	return e.report(append(t.Damage, problems...), "unreadable in the store, not in the backup")
}

// copyBackup copies a backup, encrypted where there are recipients, and
// verifies it in passing.
func copyBackup(ctx context.Context, out io.Writer, in io.Reader, to []age.Recipient) (backup.Header, *backup.Trailer, []store.Problem, error) {
	fail := func(err error) (backup.Header, *backup.Trailer, []store.Problem, error) {
		return backup.Header{}, nil, nil, err
	}
	var sealed io.WriteCloser
	if len(to) > 0 {
		var err error
		if sealed, err = backup.Encrypt(out, to...); err != nil {
			return fail(err)
		}
		out = sealed
	}
	r, err := backup.NewReader(io.TeeReader(in, out))
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	var problems []store.Problem
	t, err := backup.Verify(ctx, r, func(p store.Problem) { problems = append(problems, p) })
	if err == nil && sealed != nil {
		err = sealed.Close()
	}
	if err != nil {
		return fail(err)
	}
	return r.Header(), t, problems, nil
}

// report lists problems, and makes an error of them.
func (e Env) report(problems []store.Problem, what string) error {
	if len(problems) == 0 {
		return nil
	}
	for _, p := range problems {
		fmt.Fprintf(e.Err, "%s: %s\n", p.Where, p.What)
	}
	return fmt.Errorf("%d %s", len(problems), what)
}

// output is a file that has its name only once it is complete, or a stream.
type output struct {
	io.Writer
	file *os.File // nil for a stream
	name string
}

// create begins a file, or standard output for "-".
func (e Env) create(name string) (*output, error) {
	if name == "-" {
		return &output{Writer: e.Out}, nil
	}
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		return nil, fmt.Errorf("%s is a folder", name) // before all the work, not after it
	}
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &output{Writer: f, file: f, name: name}, nil
}

// keep makes the file durable under its name.
func (o *output) keep() error {
	if o.file == nil {
		return nil
	}
	if err := errors.Join(o.file.Sync(), o.file.Close()); err != nil {
		return err
	}
	if err := os.Rename(o.file.Name(), o.name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(o.name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// drop removes the file.
func (o *output) drop() error {
	if o.file == nil {
		return nil
	}
	return errors.Join(o.file.Close(), os.Remove(o.file.Name()))
}

func stringReader(s string) io.Reader { return strings.NewReader(s) }

// passphrase reads the first line of a file.
func passphrase(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", fmt.Errorf("%s: no passphrase in it", name)
	}
	return line, nil
}
