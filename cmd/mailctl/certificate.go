package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"pillarbox/appliance/api/mailapi"
)

// maxCertificateFile bounds a file with a certificate or key, in octets: one with
// all that vouch for it has some ten thousand.
const maxCertificateFile = 1 << 18

func certificate(ctx context.Context, c *ctl, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") && !isHelp(args[0]) {
		args = append([]string{"show"}, args...)
	}
	v, args, err := c.verb("certificate", args, map[string]int{"show": 0, "own": 0, "acme": 0, "import": -1})
	if err != nil {
		return err
	}
	choice := mailapi.CertificateChoice{Mode: v}
	var authority bool
	words := 0
	if v == "import" {
		choice.Mode, words = mailapi.CertificateImported, -1
	}
	rest, err := c.flags("certificate "+v, args, func(fs *flag.FlagSet) {
		switch v {
		case "show":
			fs.BoolVar(&authority, "authority", false, "print the box's own authority in PEM, for clients to import")
		case "acme":
			fs.StringVar(&choice.Email, "email", "", "`address` that the authority may write to")
			fs.StringVar(&choice.Directory, "directory", "", "`URL` of another authority's directory than Let's Encrypt's")
		}
	}, words)
	if err != nil {
		return err
	}
	switch v {
	case "show":
		return showCertificate(ctx, c, authority)
	case "import":
		if err := readCertificate(&choice, rest); err != nil {
			return err
		}
	}
	cert, err := c.mail.SetCertificate(ctx, choice)
	if err != nil {
		return err
	}
	if v == "acme" && cert.Source != mailapi.CertificateACME {
		fmt.Fprintln(c.err, "The authority is being asked; mailctl certificate tells how it went. Port 80 has to be reachable from the Internet meanwhile.")
	}
	return nil
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

// readCertificate reads the files to import; none for what was imported before.
func readCertificate(choice *mailapi.CertificateChoice, paths []string) error {
	if len(paths) > 2 {
		return &usageError{"certificate import", fmt.Sprintf("takes up to 2 files, not %d", len(paths))}
	}
	for i, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(io.LimitReader(f, maxCertificateFile+1))
		err = cmp.Or(err, f.Close())
		switch {
		case err != nil:
			return err
		case len(data) > maxCertificateFile:
			return fmt.Errorf("%s is too large to be a certificate or a key", path)
		case i == 0:
			choice.CertificatePEM = string(data)
		default:
			choice.KeyPEM = string(data)
		}
	}
	return nil
}

func showCertificate(ctx context.Context, c *ctl, authority bool) error {
	cert, err := c.mail.Certificate(ctx)
	if err != nil {
		return err
	}
	if authority {
		_, err := fmt.Fprint(c.out, cert.AuthorityPEM)
		return err
	}
	return c.show(cert, func(t *tabwriter.Writer) {
		row(t, "names", strings.Join(cert.Names, ", "))
		row(t, "good until", stamp(cert.NotAfter))
		row(t, "SHA-256", cert.SHA256)
		row(t, "signed by", cert.Issuer)
		row(t, "source", sourceOf(cert))
		if cert.Mode == mailapi.CertificateACME {
			row(t, "directory", cert.Directory)
			row(t, "email", cert.Email)
		}
		if cert.Private {
			row(t, "known", "no: mail programs ask, or have to import who signed it")
		}
		if why := cmp.Or(cert.Problem, cert.Failure); why != "" {
			row(t, "trouble", why)
		}
		if !cert.NextTry.IsZero() {
			row(t, "next try", stamp(cert.NextTry))
		}
	})
}

// sourceOf says where a certificate comes from, and what was chosen where that is
// something else.
func sourceOf(c *mailapi.Certificate) string {
	words := map[string]string{
		mailapi.CertificateOwn: "the box's own authority", mailapi.CertificateACME: "a public authority", mailapi.CertificateImported: "imported",
	}
	if c.Source == c.Mode {
		return words[c.Source]
	}
	return words[c.Source] + ", in place of the chosen one: " + words[c.Mode]
}
