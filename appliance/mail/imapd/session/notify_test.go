package session_test

import (
	"context"
	"testing"

	"pillarbox/appliance/mail/imapd/session"
)

// TestNewsBesideNames has messages and mailbox names change before the
// notifier is asked: it must tell of both, once.
func TestNewsBesideNames(t *testing.T) {
	ctx := context.Background()
	u, _ := setup(t, nil)
	n, err := u.Notify(ctx, []session.EventGroup{{Scope: session.ScopePersonal, Events: session.MessageEvents | session.MailboxName}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	another := session.NewUser(u.Base, u.Account, u.Address)
	put(t, another, "Subject: one\n\n")
	if _, err := u.Store.CreateMailbox(another.Context(ctx), u.Account, "Apart", ""); err != nil {
		t.Fatal(err)
	}
	for len(n.C()) > 0 {
		n.Note(<-n.C())
	}
	news, err := n.News(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(news.Messages) != 1 || news.Messages[0].Messages != 1 || len(news.Names) != 1 {
		t.Errorf("told: %+v; want a message and a name", news)
	}
	if news, err = n.News(ctx, 0); err != nil || len(news.Messages)+len(news.Names) > 0 {
		t.Errorf("told again: %+v, %v", news, err)
	}
}
