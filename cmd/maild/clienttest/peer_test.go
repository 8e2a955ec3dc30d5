package clienttest

import (
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// peer is the other IMAP client of ann's: it changes things behind the back of
// the client under test, and says what the server has.
type peer struct {
	t *testing.T
	c *imapclient.Client
}

func (b *box) peer() *peer {
	b.t.Helper()
	c, err := imapclient.DialTLS("127.0.0.1:"+b.Port["imaps"], &imapclient.Options{TLSConfig: b.trust()})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	if err := c.Login(ann, annPassword).Wait(); err != nil {
		b.t.Fatal(err)
	}
	return &peer{b.t, c}
}

// trust is a TLS configuration that trusts the box's authority and no other.
func (b *box) trust() *tls.Config {
	b.t.Helper()
	ca, err := os.ReadFile(b.CA)
	if err != nil {
		b.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		b.t.Fatal("no certificate of the authority")
	}
	return &tls.Config{RootCAs: roots}
}

func (p *peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("the other client: %v", err)
	}
}

func (p *peer) create(mailboxes ...string) {
	p.t.Helper()
	for _, m := range mailboxes {
		p.must(p.c.Create(m, nil).Wait())
		p.must(p.c.Subscribe(m).Wait())
	}
}

// append adds messages, each an entry.
func (p *peer) append(mailbox string, entries ...string) {
	p.t.Helper()
	for _, e := range entries {
		subject, flags := e, ""
		if i := strings.LastIndexByte(e, ' '); i >= 0 && strings.Trim(e[i+1:], "DFRST") == "" {
			subject, flags = e[:i], e[i+1:]
		}
		p.appendRaw(mailbox, message(subject), flags)
	}
}

func (p *peer) appendRaw(mailbox string, raw []byte, flags string) {
	p.t.Helper()
	cmd := p.c.Append(mailbox, int64(len(raw)), &imap.AppendOptions{Flags: imapFlags(flags)})
	_, err := cmd.Write(raw)
	p.must(err)
	p.must(cmd.Close())
	_, err = cmd.Wait()
	p.must(err)
}

// letters are Maildir's flags in its order.
var letters = []struct {
	letter byte
	flag   imap.Flag
}{
	{'D', imap.FlagDraft}, {'F', imap.FlagFlagged}, {'R', imap.FlagAnswered}, {'S', imap.FlagSeen}, {'T', imap.FlagDeleted},
}

func imapFlags(s string) (flags []imap.Flag) {
	for _, l := range letters {
		if strings.IndexByte(s, l.letter) >= 0 {
			flags = append(flags, l.flag)
		}
	}
	return flags
}

func maildirFlags(flags []imap.Flag) string {
	var s []byte
	for _, l := range letters {
		if slices.Contains(flags, l.flag) {
			s = append(s, l.letter)
		}
	}
	return string(s)
}

func (p *peer) mailboxes() (names []string) {
	p.t.Helper()
	list, err := p.c.List("", "*", nil).Collect()
	p.must(err)
	for _, l := range list {
		names = append(names, l.Mailbox)
	}
	return names
}

func (p *peer) selectMailbox(mailbox string) {
	p.t.Helper()
	_, err := p.c.Select(mailbox, nil).Wait()
	p.must(err)
}

// fetch gives the messages of a mailbox.
func (p *peer) fetch(mailbox string) map[imap.UID]string {
	p.t.Helper()
	p.selectMailbox(mailbox)
	whole := &imap.FetchItemBodySection{Peek: true}
	list, err := p.c.Fetch(imap.UIDSet{{Start: 1}}, &imap.FetchOptions{UID: true, Flags: true, BodySection: []*imap.FetchItemBodySection{whole}}).Collect()
	p.must(err)
	entries := make(map[imap.UID]string)
	for _, m := range list {
		entries[m.UID] = entry(m.FindBodySection(whole), maildirFlags(m.Flags))
	}
	return entries
}

// list gives a mailbox as a list.
func (p *peer) list(mailbox string) (list []string) {
	p.t.Helper()
	for _, e := range p.fetch(mailbox) {
		list = append(list, e)
	}
	return list
}

// find selects the mailbox and gives the UID of a message by its subject.
func (p *peer) find(mailbox, subject string) imap.UIDSet {
	p.t.Helper()
	p.selectMailbox(mailbox)
	found, err := p.c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: subject}}}, nil).Wait()
	p.must(err)
	if len(found.AllUIDs()) != 1 {
		p.t.Fatalf("%s has %d messages %q, want 1", mailbox, len(found.AllUIDs()), subject)
	}
	return imap.UIDSetNum(found.AllUIDs()...)
}

// flag gives a message these flags and no other.
func (p *peer) flag(mailbox, subject, flags string) {
	p.t.Helper()
	p.must(p.c.Store(p.find(mailbox, subject), &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: imapFlags(flags)}, nil).Close())
}

// flagAll gives messages these flags and no other, in one command.
func (p *peer) flagAll(mailbox string, subjects []string, flags string) {
	p.t.Helper()
	var uids imap.UIDSet
	for uid, e := range p.fetch(mailbox) {
		if slices.Contains(subjects, e) {
			uids.AddNum(uid)
		}
	}
	p.must(p.c.Store(uids, &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: imapFlags(flags)}, nil).Close())
}

func (p *peer) expunge(mailbox, subject string) {
	p.t.Helper()
	p.flag(mailbox, subject, "T")
	p.must(p.c.Expunge().Close())
}

func (p *peer) move(mailbox, subject, to string) {
	p.t.Helper()
	_, err := p.c.Move(p.find(mailbox, subject), to).Wait()
	p.must(err)
}

// change makes a change at random: a message more, with this subject, a message
// less, or other flags of one.
func (p *peer) change(mailbox string, random *rand.Rand, subject string) {
	p.t.Helper()
	p.selectMailbox(mailbox)
	found, err := p.c.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
	p.must(err)
	uids := found.AllUIDs()
	if len(uids) == 0 {
		p.append(mailbox, subject)
		return
	}
	one := imap.UIDSetNum(uids[random.IntN(len(uids))])
	switch random.IntN(4) {
	case 0, 1:
		p.append(mailbox, subject)
	case 2:
		flags := imapFlags([]string{"", "F", "S", "FRS"}[random.IntN(4)])
		p.must(p.c.Store(one, &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: flags}, nil).Close())
	case 3:
		p.must(p.c.Store(one, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: imapFlags("T")}, nil).Close())
		p.must(p.c.UIDExpunge(one).Close())
	}
}
