package transfer

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// specialNames are names that mail programs and servers give the mailboxes of
// RFC 6154, in the languages of Europe's commonest clients.
func specialNames() map[string]string {
	m := map[string]string{}
	for use, names := range map[string]string{
		`\Sent`:    "sent;sent items;sent mail;sent messages;sent-mail;gesendet;gesendete objekte;gesendete elemente;envoyés;éléments envoyés;messages envoyés;enviados;elementos enviados;inviata;posta inviata;verzonden items;wysłane;skickat;sendt",
		`\Drafts`:  "drafts;draft;entwürfe;brouillons;borradores;bozze;concepten;szkice;utkast;kladder",
		`\Trash`:   "trash;deleted items;deleted messages;bin;papierkorb;gelöschte objekte;gelöschte elemente;corbeille;éléments supprimés;papelera;elementos eliminados;cestino;verwijderde items;kosz;papperskorgen",
		`\Junk`:    "junk;junk e-mail;junk email;spam;bulk mail;junk-e-mail;spamverdacht;courrier indésirable;indésirables;pourriel;correo no deseado;posta indesiderata;ongewenste e-mail;skräppost",
		`\Archive`: "archive;archives;archiv;archivo;archivio;archief;archiwum;arkiv",
	} {
		for _, n := range strings.Split(names, ";") {
			m[n] = use
		}
	}
	return m
}

// target is the mailbox a folder goes to.
type target struct {
	name       string
	specialUse string // "" or to be looked up before the name
}

// mapFolder finds the mailbox for a folder. Only whole names on the first
// level, or right below the inbox, are taken for special ones: Projects/Sent
// is somebody's own folder.
func mapFolder(folder string, special map[string]string) target {
	folder = norm.NFC.String(strings.Trim(folder, "/"))
	low := strings.ToLower(folder)
	if low == "" || low == "inbox" || low == "posteingang" {
		return target{name: "INBOX"}
	}
	first := low
	for _, prefix := range []string{"inbox/", "[gmail]/", "[google mail]/"} {
		first = strings.TrimPrefix(first, prefix)
	}
	if use, ok := special[first]; ok {
		return target{name: strings.TrimPrefix(use, `\`), specialUse: use}
	}
	levels := strings.Split(folder, "/")
	for i, l := range levels {
		if l = strings.TrimSpace(l); l == "" {
			l = "_"
		}
		levels[i] = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r == '%' || r == '*' {
				return '_'
			}
			return r
		}, l)
	}
	if strings.EqualFold(levels[0], "inbox") {
		levels[0] = "INBOX"
	}
	return target{name: strings.Join(levels, "/")}
}
