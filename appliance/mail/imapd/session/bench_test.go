package session_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/store"
)

// BenchmarkSelected does to one mailbox of 10,000 messages what clients do.
func BenchmarkSelected(b *testing.B) {
	const messages, batch = 10_000, 500
	ctx := context.Background()
	st, err := store.Open(ctx, b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	id, err := st.CreateAccount(ctx, store.Quota{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	var ds []store.Delivery
	for i := range messages {
		text := fmt.Sprintf("From: \"Person %d Müller\" <p%d@example.org>\r\nTo: list@example.org\r\nSubject: Re: [list] about subject %d\r\nDate: %s\r\nMessage-ID: <%d@example.org>\r\nReceived: %s\r\n\r\ntext\r\n",
			i*7919%messages, i*31%97, i*104729%(messages/4), time.Unix(1e9+int64(i*7919%messages)*1000, 0).UTC().Format(time.RFC1123Z), i, strings.Repeat("x", 60))
		p := mimeindex.NewParser()
		body, err := st.Spool(ctx)
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprint(p, text)
		fmt.Fprint(body, text)
		idx, err := p.Finish()
		if err != nil {
			b.Fatal(err)
		}
		facts, err := idx.Facts()
		if err != nil {
			b.Fatal(err)
		}
		ds = append(ds, store.Delivery{Body: body, Facts: facts, Placements: []store.Placement{{Account: id}}})
		if len(ds) == batch {
			if _, err := st.DeliverAll(ctx, ds); err != nil {
				b.Fatal(err)
			}
			ds = ds[:0]
		}
	}
	base := &session.Base{Store: st, Facts: session.NewFactsCache(st, 48<<20), Entries: session.NewEntriesCache(st, 8<<20), Recents: session.NewRecents(time.Now())}
	u := session.NewUser(base, id, "ann@example.org")
	s, err := u.Select(ctx, "INBOX", false)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	run := func(name string, fn func() error) {
		b.Run(name, func(b *testing.B) {
			if err := fn(); err != nil { // warms up
				b.Fatal(err)
			}
			best := time.Hour
			for b.Loop() {
				start := time.Now()
				if err := fn(); err != nil {
					b.Fatal(err)
				}
				best = min(best, time.Since(start))
			}
			b.ReportMetric(float64(best.Microseconds())/1000, "best-ms")
		})
	}
	all := func() (session.Found, error) { return s.Search(ctx, &session.Criteria{}, nil) }
	found, err := all()
	if err != nil || len(found.UIDs) != messages {
		b.Fatal(len(found.UIDs), err)
	}
	run("Select", func() error {
		s, err := u.Select(ctx, "INBOX", true)
		if err == nil {
			s.Close()
		}
		return err
	})
	run("SearchAll", func() error { _, err := all(); return err })
	for _, f := range []session.SortField{session.SortArrival, session.SortDate, session.SortSubject, session.SortFrom, session.SortDisplayFrom} {
		run(fmt.Sprintf("Sort%d", f), func() error {
			_, err := s.Sort(ctx, &session.Criteria{}, []session.SortKey{{Field: f}}, nil)
			return err
		})
	}
	first, _ := s.Resolve(imap.SeqSet{{Start: 1, Stop: 1000}})
	run("Store1000", func() error {
		for _, op := range []store.FlagOp{store.FlagsAdd, store.FlagsRemove} {
			if _, err := s.ChangeFlags(u.Context(ctx), first, store.FlagChange{Op: op, Flags: store.Flags{System: store.Flagged}}, func([]session.Numbered, bool) {}); err != nil {
				return err
			}
		}
		_, err := s.Sync(ctx, true)
		return err
	})
}
