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

// TestNamesTakenOver has mailboxes change places before the notifier is asked:
// a client that takes what it is told in order must come to the names there are.
func TestNamesTakenOver(t *testing.T) {
	for name, steps := range map[string][][2]string{
		"again":  {{"A", ""}, {"", "A"}},
		"chain":  {{"A", "D"}, {"C", "A"}},
		"chains": {{"A", "D"}, {"B", "A"}, {"C", "B"}, {"", "C"}},
		"swap":   {{"A", "T"}, {"B", "A"}, {"T", "B"}},
		"round":  {{"A", "T"}, {"B", "A"}, {"C", "B"}, {"T", "C"}, {"A", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			u, _ := setup(t, nil)
			do := func(from, to string) {
				t.Helper()
				var err error
				switch {
				case from == "":
					_, err = u.Store.CreateMailbox(ctx, u.Account, to, "")
				case to == "":
					err = u.Store.DeleteMailbox(ctx, u.Account, from)
				default:
					err = u.Store.RenameMailbox(ctx, u.Account, from, to)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			seen := map[string]bool{}
			for _, box := range []string{"A", "B", "C"} {
				do("", box)
				seen[box] = true
			}
			n, err := u.Notify(ctx, []session.EventGroup{{Scope: session.ScopePersonal, Events: session.MailboxName}})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			for _, s := range steps {
				do(s[0], s[1])
			}
			for len(n.C()) > 0 {
				n.Note(<-n.C())
			}
			news, err := n.News(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range news.Names {
				delete(seen, c.Old)
				if delete(seen, c.Name); !c.Gone {
					seen[c.Name] = true
				}
			}
			for _, box := range []string{"A", "B", "C", "D", "T"} {
				_, err := u.Store.MailboxByName(ctx, u.Account, box)
				if is := err == nil; is != seen[box] {
					t.Errorf("%s is there: %v; the client was told %+v", box, is, news.Names)
				}
			}
		})
	}
}
