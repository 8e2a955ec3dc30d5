package clienttest

import (
	"path/filepath"
	"testing"
)

// TestOfflineIMAP leaves STARTTLS out: the client's library reads from the
// connection in one thread while another begins TLS on it, and now and then it
// waits for an answer that has come.
func TestOfflineIMAP(t *testing.T) {
	for _, tt := range []struct {
		Mechanism string
		UTF8      string // whether folders have the mailboxes' names in UTF-8
	}{{"PLAIN", "yes"}, {"LOGIN", "no"}} {
		t.Run(tt.Mechanism, func(t *testing.T) {
			b := newBox(t)
			rc := b.config("offlineimaprc", tt)
			syncRound(t, b.peer(), func() { b.run("offlineimap", "-c", rc, "-o") }, func(mailbox string) maildir {
				if tt.UTF8 == "no" {
					mailbox = utf7.Replace(mailbox)
				}
				return maildir(filepath.Join(b.Home, "mail", mailbox))
			})
		})
	}
}

func TestOfflineIMAPBusy(t *testing.T) {
	b := newBox(t)
	rc := b.config("offlineimaprc", struct{ Mechanism, UTF8 string }{"PLAIN", "yes"})
	busyRound(t, b.peer(), func() *program { return b.start("offlineimap", "-c", rc, "-o") }, maildir(filepath.Join(b.Home, "mail", "INBOX")))
}
