// Command mailctl manages the box from a shell, by the same interfaces as the
// console and the web.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/transferapi"
	"pillarbox/appliance/version"
	"pillarbox/cmd/mailctl/backupcmd"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitFound  = 3
)

// errFound is a check that found problems.
var errFound = errors.New("problems were found")

// usageError is a command line that makes no sense. Those that do are shown
// with it.
type usageError struct {
	of   string // the words of the command, as "user add"; "" for all of it
	text string // "" where it was said already
}

func (e *usageError) Error() string { return e.text }

// wrong is a usageError of the whole command.
func wrong(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// ctl is what the commands work with.
type ctl struct {
	mail     mailapi.Service
	box      boxapi.Service
	init     initapi.Service
	transfer transferapi.Service
	health   healthapi.Service
	socket   string
	in       io.Reader
	out, err io.Writer
	json     bool
	terminal bool // somebody watches err
	// secret asks for a password without showing it; nil where there is no terminal.
	secret func(prompt string) (string, error)
}

// command is one of mailctl's.
type command struct {
	name, args, help string
	run              func(ctx context.Context, c *ctl, args []string) error
}

func commands() []command {
	return []command{
		{"status", "", "how the box is", status},
		{"setup", "HOSTNAME DOMAIN ADDRESS", "give a fresh box its name, domain and first mailbox", setup},
		{"user", "list | add | show | set | remove", "people and their mailboxes", user},
		{"passwd", "ADDRESS | admin", "give a person, or the administrator, a new password", passwd},
		{"app-password", "list | add | remove", "further passwords of a person, each for one mail program", appPassword},
		{"hash", "", "print a password's hash, for a provisioning file", hash},
		{"domain", "list | add | rename | remove", "hosted domains", domain},
		{"alias", "list | add | set | remove", "further addresses of people", alias},
		{"group", "list | add | remove | join | leave", "addresses that stand for several people", group},
		{"queue", "list | retry | drop", "mail on its way out", queue},
		{"settings", "[NAME=VALUE ...]", "show or change how mail is served", settings},
		{"certificate", "show | own | acme | import", "the certificate that mail programs see, and where it comes from", certificate},
		{"check", "[--bodies] [--repair]", "verify the mail store", check},
		{"import", "ADDRESS PATH", "bring mail in from mbox, Maildir or EML files", importMail},
		{"export", "ADDRESS FOLDER", "take mail out as mbox, Maildir or EML files", exportMail},
		{"expunged", "ADDRESS", "mail that was deleted and can be brought back", expunged},
		{"undelete", "ADDRESS [ID ...]", "bring deleted mail back", undelete},
		{"reindex", "ADDRESS", "make the search index of a person's mail anew", reindex},
		{"health", "[--all] | known ID | unknown ID | settings [NAME=VALUE ...] | test", "what the box says about its hardware; whom it tells, where its logs go; whether they hear", health},
		{"backup", "...", backupcmd.BackupSynopsis, backups("backup")},
		{"restore", "...", backupcmd.RestoreSynopsis, backups("restore")},
		{"verify", "...", backupcmd.VerifySynopsis, backups("verify")},
		{"events", "", "what happened last", events},
		{"services", "", "the processes of the box", services},
		{"log", "[--follow] [--grep TEXT] [--stored] [SERVICE]", "the latest lines of a service, or of all", log},
		{"network", "[try FILE | keep]", "the network as a file has it; put another in force, for two minutes unless it is kept", network},
		{"network-test", "", "try cable, address, router, name servers, time and port 25 outwards", networkTest},
		{"firewall", "[local | NETWORK ...]", "who was limited, and from which networks the box may be managed", firewall},
		{"trace", "ID | MESSAGE-ID | ADDRESS", "what happened to a message, or to those of an address", traceMail},
		{"support-bundle", "[--message ID] FILE | -", "write logs, health and settings without secrets, for whoever looks for a fault", supportBundle},
		{"factory-reset", "HOSTNAME [--yes]", "restart the box and remove all settings and all mail", factoryReset},
		{"poweroff", "", "switch the box off in order", powerOff},
		{"reboot", "", "restart the box in order", reboot},
	}
}

// forms are the command lines of those commands that have several.
func forms() map[string][]string {
	return map[string][]string{
		"user": {
			"user list",
			"user add ADDRESS [--name NAME] [--quota SIZE] [--admin]",
			"user show ADDRESS",
			"user set ADDRESS [--name NAME] [--quota SIZE] [--messages NUMBER] [--admin | --admin=false] [--close | --open]",
			"user remove ADDRESS [--yes]",
		},
		"app-password": {"app-password list ADDRESS", "app-password add ADDRESS NAME", "app-password remove ADDRESS NAME"},
		"domain":       {"domain list", "domain add DOMAIN", "domain rename DOMAIN NEW [--keep]", "domain remove DOMAIN"},
		"alias":        {"alias list", "alias add ALIAS ADDRESS", "alias set ALIAS ADDRESS", "alias remove ALIAS"},
		"group": {
			"group list", "group add GROUP MEMBER ...", "group join GROUP MEMBER ...", "group leave GROUP MEMBER ...",
			"group remove GROUP",
		},
		"certificate": {
			"certificate show [--authority]", "certificate own", "certificate acme [--email ADDRESS] [--directory URL]", "certificate import [CERTIFICATE [KEY]]",
		},
		"queue":  {"queue list", "queue retry ID", "queue drop ID"},
		"health": {"health [--all]", "health settings [NAME=VALUE ...]", "health test", "health known ID", "health unknown ID"},
	}
}

// usage lists the forms of a command that begin with the words of, or all of
// them where none does.
func (c command) usage(of string) []string {
	all := forms()[c.name]
	if len(all) == 0 {
		return []string{strings.TrimSpace(c.name + " " + c.args)}
	}
	var fit []string
	for _, form := range all {
		if strings.HasPrefix(form+" ", of+" ") {
			fit = append(fit, form)
		}
	}
	if len(fit) == 0 {
		return all
	}
	return fit
}

// find gives the command of the name that words begin with.
func find(words string) (command, bool) {
	name, _, _ := strings.Cut(words, " ")
	for _, cmd := range commands() {
		if cmd.name == name {
			return cmd, true
		}
	}
	return command{}, false
}

func main() { os.Exit(mainCode()) }

func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	c := &ctl{in: os.Stdin, out: os.Stdout, err: os.Stderr, terminal: term.IsTerminal(int(os.Stderr.Fd()))}
	fs := flag.NewFlagSet("mailctl", flag.ContinueOnError)
	fs.SetOutput(os.Stderr)
	fs.StringVar(&c.socket, "socket", cmp.Or(os.Getenv("PILLARBOX_SOCKET"), mailapi.Socket), "`socket` of maild (or $PILLARBOX_SOCKET)")
	boxSocket := fs.String("boxd", boxapi.Socket, "`socket` of boxd")
	healthSocket := fs.String("healthd", healthapi.Socket, "`socket` of healthd")
	initSocket := fs.String("init", initapi.Socket, "`socket` of init")
	fs.BoolVar(&c.json, "json", false, "print JSON")
	showVersion := fs.Bool("version", false, "print the version and exit")
	fs.Usage = func() {} // it would hide what is wrong with the options
	switch err := fs.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		showHelp(fs)
		return exitOK
	case err != nil:
		fmt.Fprintln(os.Stderr, "see mailctl --help")
		return exitUsage
	}
	if *showVersion {
		fmt.Println("mailctl", version.String())
		return exitOK
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		c.secret = func(prompt string) (string, error) {
			fmt.Fprint(os.Stderr, prompt)
			raw, err := term.ReadPassword(int(os.Stdin.Fd()))
			fmt.Fprintln(os.Stderr)
			return string(raw), err
		}
	}
	c.mail, c.box, c.init = mailapi.NewClient(c.socket), boxapi.NewClient(*boxSocket), initapi.NewClient(*initSocket)
	c.transfer, c.health = transferapi.NewClient(c.socket), healthapi.NewClient(*healthSocket)
	switch args := fs.Args(); {
	case len(args) == 0 || args[0] != "help":
		return c.run(ctx, args)
	case len(args) > 1:
		return c.run(ctx, append(args[1:], "--help"))
	}
	showHelp(fs)
	return exitOK
}

// run runs a command and gives the exit code.
func (c *ctl) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(c.err, "mailctl: a command is missing; see mailctl --help")
		return exitUsage
	}
	cmd, ok := find(args[0])
	if !ok {
		fmt.Fprintf(c.err, "mailctl: %q is no command; see mailctl --help\n", args[0])
		return exitUsage
	}
	err := cmd.run(ctx, c, args[1:])
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errFound):
		return exitFound
	case errors.Is(err, backupcmd.ErrUsage): // it has said what is wrong
		return exitUsage
	case errors.As(err, &usage):
		of := cmp.Or(usage.of, cmd.name)
		if usage.text != "" {
			fmt.Fprintf(c.err, "mailctl %s: %s\n", of, usage.text)
			c.showUsage(of)
		}
		return exitUsage
	}
	fmt.Fprintf(c.err, "mailctl %s: %v\n", cmd.name, err)
	return exitFailed
}

// showUsage prints the command lines that begin with the words of.
func (c *ctl) showUsage(of string) {
	cmd, _ := find(of)
	word := "Usage:"
	for _, form := range cmd.usage(of) {
		fmt.Fprintln(c.err, word, "mailctl", form)
		word = "      "
	}
}

// showHelp writes the help to standard output; on a terminal a screen at a time,
// as that of the box cannot be scrolled back.
func showHelp(fs *flag.FlagSet) {
	var b strings.Builder
	usage(fs, &b)
	_, rows, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || !term.IsTerminal(int(os.Stdin.Fd())) {
		fmt.Print(b.String())
		return
	}
	rows = max(cmp.Or(rows, 24)-1, 2)
	lines := strings.SplitAfter(b.String(), "\n")
	for len(lines) > rows {
		fmt.Print(strings.Join(lines[:rows], ""), "Space: more   Q: no more ")
		more := keyForMore()
		fmt.Print("\r                         \r")
		if !more {
			return
		}
		lines = lines[rows:]
	}
	fmt.Print(strings.Join(lines, ""))
}

// keyForMore waits for one key, whatever mode a shell left the terminal in.
func keyForMore() bool {
	mode, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return false
	}
	defer func() { _ = term.Restore(int(os.Stdin.Fd()), mode) }()
	var key [8]byte // the arrow keys send several
	n, err := os.Stdin.Read(key[:])
	return err == nil && n > 0 && !strings.ContainsRune("qQ\x03\x04\x1b", rune(key[n-1]))
}

// usage writes the help to w, for a terminal of 80 columns: the box's own is one.
func usage(fs *flag.FlagSet, w io.Writer) {
	const column, width = 30, 80
	fmt.Fprint(w, "Usage: mailctl [options] COMMAND ...\n\nCommands:\n")
	for _, c := range commands() {
		line, indent := "  "+c.name+" "+c.args, column-1
		if len(line) > column-2 {
			fmt.Fprintln(w, line)
			line, indent = "", 5
		}
		line += strings.Repeat(" ", indent-len(line))
		for _, word := range strings.Fields(c.help) {
			if len(line)+1+len(word) >= width {
				fmt.Fprintln(w, line)
				line = strings.Repeat(" ", indent)
			}
			line += " " + word
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprint(w, "\nmailctl COMMAND --help tells more of each.\n\nOptions:\n")
	fs.SetOutput(w)
	fs.PrintDefaults()
	fmt.Fprint(w, "\nPasswords are asked for on a terminal, else read from standard input, one a\nline.\nExit codes: 0 done, 1 failed, 2 wrong command line, 3 check found problems.\n")
}

// flags parses the options of a command; they may stand behind its words, of
// which there have to be so many (-1: any number).
func (c *ctl) flags(name string, args []string, define func(*flag.FlagSet), words int) (rest []string, err error) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(c.err)
	define(fs)
	fs.Usage = func() {
		c.showUsage(name)
		fs.PrintDefaults()
	}
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, &usageError{of: name} // Parse has said what is wrong
		}
		if fs.NArg() == 0 {
			break
		}
		rest = append(rest, fs.Arg(0))
		args = fs.Args()[1:]
	}
	if words >= 0 && len(rest) != words {
		return nil, &usageError{name, fmt.Sprintf("takes %s, not %d", count(words, "argument"), len(rest))}
	}
	return rest, nil
}

// none is the definition of no options.
func none(*flag.FlagSet) {}

// verb splits a subcommand off, "list" where there is none. words holds those
// there are, with the number of arguments of each. Asked for help, it shows the
// forms of the command.
func (c *ctl) verb(name string, args []string, words map[string]int) (string, []string, error) {
	if len(args) == 0 {
		return "list", nil, nil
	}
	v := args[0]
	if _, ok := words[v]; ok {
		return v, args[1:], nil
	}
	switch v {
	case "-h", "-help", "--help":
		c.showUsage(name)
		return "", nil, flag.ErrHelp
	}
	return "", nil, unknown(v)
}

func unknown(what string) error { return wrong("%q is not known", what) }

// password asks for a new password twice on a terminal, or reads a line.
func (c *ctl) password(whose string) (string, error) {
	if c.secret == nil {
		return c.line()
	}
	first, err := c.secret("New password for " + whose + ": ")
	if err != nil {
		return "", err
	}
	again, err := c.secret("The same again: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords differ")
	}
	return first, nil
}

// line reads a line of standard input, octet by octet: the next one is for
// whoever reads next.
func (c *ctl) line() (string, error) {
	var b strings.Builder
	buf := make([]byte, 1)
	for {
		n, err := c.in.Read(buf)
		if n == 1 && buf[0] == '\n' || err == io.EOF && b.Len() > 0 {
			return strings.TrimSuffix(b.String(), "\r"), nil
		}
		if err != nil {
			return "", fmt.Errorf("cannot read a password from standard input: %w", err)
		}
		b.Write(buf[:n])
	}
}

// confirmed asks a question that only yes answers with yes. Without a terminal
// the option --yes has to say so.
func (c *ctl) confirmed(question string, yes bool) error {
	if yes {
		return nil
	}
	if c.secret == nil {
		return errors.New("this cannot be undone: say --yes")
	}
	fmt.Fprint(c.err, question, " Type yes: ")
	answer, err := c.line()
	if err != nil {
		return err
	}
	if answer != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
