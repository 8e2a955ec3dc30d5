// Package backupcmd holds mailctl's commands for backups: backup, restore and
// verify. Encryption and the keys for it stay here, on the side of whoever
// runs the command; maild sends and takes backups in the clear over its socket.
package backupcmd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"filippo.io/age"
)

// Env is what the commands work with.
type Env struct {
	Socket   string // of maild
	In       io.Reader
	Out, Err io.Writer
	// Terminal says that somebody watches Err: progress is shown.
	Terminal bool
}

// ErrUsage is a command line that makes no sense; what is wrong was written to
// Env.Err.
var ErrUsage = errors.New("usage")

// Synopses of the commands, for mailctl's own help.
const (
	BackupSynopsis  = "make a backup of all mail and settings, whole or what changed"
	RestoreSynopsis = "bring a backup back: all of it, one person, mailbox or message"
	VerifySynopsis  = "read backups to their end and compare every hash"
)

// Run runs the command named by args[0].
func Run(ctx context.Context, e Env, args []string) error {
	if len(args) == 0 {
		return ErrUsage
	}
	switch args[0] {
	case "backup":
		return e.backup(ctx, args[1:])
	case "restore":
		return e.restore(ctx, args[1:])
	case "verify":
		return e.verify(ctx, args[1:])
	}
	return fmt.Errorf("%w: no command %q", ErrUsage, args[0])
}

// flags makes a flag set with a usage text.
func (e Env) flags(name, usage string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(e.Err)
	f.Usage = func() {
		fmt.Fprintf(e.Err, "%s\n\nOptions:\n", usage)
		f.PrintDefaults()
	}
	return f
}

// parse parses a command line, options behind its words too; done says that
// only help was wanted.
func parse(f *flag.FlagSet, args []string) (done bool, err error) {
	var words []string
	for {
		switch err := f.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("%w: %w", ErrUsage, err)
		}
		if f.NArg() == 0 {
			return false, f.Parse(append([]string{"--"}, words...)) // they are what is left
		}
		words, args = append(words, f.Arg(0)), f.Args()[1:]
	}
}

// usage complains about a command line.
func (e Env) usage(f *flag.FlagSet, format string, args ...any) error {
	fmt.Fprintf(e.Err, format+"\n\n", args...)
	f.Usage()
	return ErrUsage
}

// keys are the options that have to do with encryption.
type keys struct {
	recipients []string
	files      []string
	passphrase string
}

func (k *keys) encryptFlags(f *flag.FlagSet) {
	f.Func("recipient", "encrypt for the age `public key` (age1…); may be given more than once", func(s string) error {
		k.recipients = append(k.recipients, s)
		return nil
	})
	f.Func("recipients-file", "encrypt for the age public keys in `file`", func(s string) error {
		k.files = append(k.files, s)
		return nil
	})
	f.StringVar(&k.passphrase, "passphrase-file", "", "encrypt with the passphrase in `file`, its first line")
}

func (k *keys) decryptFlags(f *flag.FlagSet) {
	f.Func("identity", "decrypt with the age private keys in `file`; may be given more than once", func(s string) error {
		k.files = append(k.files, s)
		return nil
	})
	f.StringVar(&k.passphrase, "passphrase-file", "", "decrypt with the passphrase in `file`, its first line")
}

// encryptTo gives the recipients, none where the backup is not to be encrypted.
func (k *keys) encryptTo() ([]age.Recipient, error) {
	var out []age.Recipient
	for _, s := range k.recipients {
		r, err := age.ParseRecipients(stringReader(s))
		if err != nil {
			return nil, fmt.Errorf("recipient %q: %w", s, err)
		}
		out = append(out, r...)
	}
	for _, name := range k.files {
		r, err := parseFile(name, age.ParseRecipients)
		if err != nil {
			return nil, err
		}
		out = append(out, r...)
	}
	if k.passphrase == "" {
		return out, nil
	}
	if len(out) > 0 {
		return nil, errors.New("a passphrase cannot be combined with recipients")
	}
	p, err := passphrase(k.passphrase)
	if err != nil {
		return nil, err
	}
	r, err := age.NewScryptRecipient(p)
	if err != nil {
		return nil, err
	}
	return []age.Recipient{r}, nil
}

func (k *keys) identities() ([]age.Identity, error) {
	var out []age.Identity
	for _, name := range k.files {
		ids, err := parseFile(name, age.ParseIdentities)
		if err != nil {
			return nil, err
		}
		out = append(out, ids...)
	}
	if k.passphrase == "" {
		return out, nil
	}
	p, err := passphrase(k.passphrase)
	if err != nil {
		return nil, err
	}
	id, err := age.NewScryptIdentity(p)
	if err != nil {
		return nil, err
	}
	return append(out, id), nil
}

func parseFile[T any](name string, parse func(io.Reader) ([]T, error)) ([]T, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

// progressEvery is how often progress is shown.
const progressEvery = time.Second

// meter counts bytes that pass, and shows them where somebody watches.
type meter struct {
	e     Env
	what  string
	start time.Time
	shown time.Time
	bytes int64
}

func (e Env) meter(what string) *meter { return &meter{e: e, what: what, start: time.Now()} }

func (m *meter) Write(p []byte) (int, error) {
	m.bytes += int64(len(p))
	if now := time.Now(); m.e.Terminal && now.Sub(m.shown) >= progressEvery {
		m.shown = now
		fmt.Fprintf(m.e.Err, "\r%s: %s  ", m.what, m)
	}
	return len(p), nil
}

// String is what passed so far, and how fast.
func (m *meter) String() string {
	took := time.Since(m.start)
	return fmt.Sprintf("%s in %s, %s/s", size(m.bytes), took.Round(100*time.Millisecond), size(int64(float64(m.bytes)/max(took.Seconds(), 0.001))))
}

// clear takes the progress line away.
func (m *meter) clear() {
	if m.e.Terminal && !m.shown.IsZero() {
		fmt.Fprintf(m.e.Err, "\r%*s\r", len(m.what)+60, "")
	}
}

// size writes a number of bytes for people.
func size(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, u := float64(n)/1024, 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[u])
}
