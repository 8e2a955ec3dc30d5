package clienttest

import (
	"path/filepath"
	"testing"
)

func TestOfflineIMAP(t *testing.T) {
	for _, tt := range []struct {
		name                           string
		TLS, STARTTLS, Port, Mechanism string
		UTF8                           string // whether folders have the mailboxes' names in UTF-8
	}{
		{"TLS", "yes", "no", "imaps", "PLAIN", "yes"},
		{"STARTTLS", "no", "yes", "imap", "LOGIN", "no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
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
