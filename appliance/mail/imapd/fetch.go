package imapd

import (
	"context"
	"errors"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/store"
)

// cmdFetch answers FETCH and UID FETCH (RFC 9051 sections 6.4.5 and 6.4.9).
func (c *conn) cmdFetch(ctx context.Context, cl *call) error {
	c.dec.SP()
	set := c.dec.NumSet(cl.uid)
	c.dec.SP()
	w := c.fetchItems()
	if c.dec.AcceptSP() {
		c.fetchModifiers(w)
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	cl.noExpunge = !cl.uid
	if err := c.checkModifiers(cl, w); err != nil {
		return err
	}
	spans, err := c.sel.Resolve(set)
	if err != nil {
		return err
	}
	if w.lo != 0 {
		spans = session.SpansOf(window(c.sel.UIDs(spans), w.lo, w.hi))
	}
	if w.modseq || w.useChanged {
		c.enableCondstore()
	}
	w.modseq = w.modseq || w.useChanged // RFC 7162 section 3.1.4.1
	// An UIDFETCH response begins with the UID: there it is told again only to
	// who names it (RFC 9586 section 3.3).
	w.uid = w.uid || cl.uid && !c.on.uidonly
	if w.vanished {
		gone, err := c.sel.VanishedSince(ctx, w.changedSince, set.(imap.UIDSet))
		if err != nil {
			return err
		}
		c.writeVanishedEarlier(gone)
	}
	f := newFetcher(c, w)
	if err := c.sel.Entries(ctx, spans, func(ms []session.Numbered) error { return f.batch(ctx, ms) }); err != nil {
		return err
	}
	return f.failed
}

// fetcher writes the FETCH responses of one command.
type fetcher struct {
	c    *conn
	want *fetchWant

	facts  bool             // facts are needed
	load   store.FactsWant  // and of them these
	marks  bool             // fetching sets \Seen
	failed error            // the first message that could not be given whole
	idx    *mimeindex.Index // of the message under way, once it is needed
	body   store.Body       // likewise
	ids    []store.BlobID
}

func newFetcher(c *conn, w *fetchWant) *fetcher {
	f := &fetcher{c: c, want: w}
	if w.envelope || w.body || w.bodyStructure {
		f.facts, f.load = true, store.WantIndex
	}
	if w.preview {
		f.facts = true
	}
	for _, s := range w.sections {
		f.marks = f.marks || !s.peek
		switch {
		case headerOnly(s):
			f.facts, f.load = true, f.load|store.WantHeader
		case !s.whole():
			f.facts, f.load = true, f.load|store.WantIndex
		}
	}
	return f
}

// headerOnly reports whether a section comes from the message's header alone,
// which is kept apart from the body.
func headerOnly(s *fetchSection) bool {
	return len(s.Part) == 0 && !s.binary &&
		(s.Kind == session.SectionHeader || s.Kind == session.SectionFields || s.Kind == session.SectionFieldsNot)
}

// wholeHeader reports whether the header kept with the facts is all of it: one
// as long as what is kept may be cut off, and none at all may be lost.
func wholeHeader(facts *session.Facts) bool {
	return len(facts.Header) > 0 && len(facts.Header) < headerKept
}

// batch writes the responses for some messages.
func (f *fetcher) batch(ctx context.Context, ms []session.Numbered) error {
	w := f.want
	if w.useChanged {
		kept := ms[:0]
		for _, m := range ms {
			if m.ModSeq > w.changedSince {
				kept = append(kept, m)
			}
		}
		ms = kept
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var marked map[store.UID]bool
	if f.marks {
		var err error
		if marked, err = f.c.sel.MarkSeen(ctx, ms); err != nil {
			return err
		}
	}
	f.ids = f.ids[:0]
	for i := range ms {
		f.ids = append(f.ids, ms[i].Blob)
	}
	if !f.facts && len(w.sections) > 0 && len(ms) > 1 {
		return f.c.srv.cfg.Store.Bodies(ctx, f.ids, func(i int, body store.Body, err error) error {
			if err != nil {
				return f.skip(&ms[i], err)
			}
			f.body = body
			return f.message(ctx, &ms[i], nil, marked[ms[i].UID])
		})
	}
	if !f.facts {
		for i := range ms {
			if err := f.message(ctx, &ms[i], nil, marked[ms[i].UID]); err != nil {
				return err
			}
		}
		return nil
	}
	return f.c.srv.base.Facts.Facts(ctx, f.ids, f.load, func(i int, facts *session.Facts) error {
		return f.message(ctx, &ms[i], facts, marked[ms[i].UID])
	})
}

// message writes the response for one message. Its error ends the command.
func (f *fetcher) message(ctx context.Context, m *session.Numbered, facts *session.Facts, marked bool) error {
	c, w, e := f.c, f.want, f.c.enc
	defer f.done()
	if facts != nil && (f.load&store.WantIndex != 0 || f.load&store.WantHeader != 0 && !wholeHeader(facts)) {
		idx, err := f.index(ctx, m, facts)
		if err != nil {
			return f.skip(m, err)
		}
		f.idx = idx
	}
	for _, s := range w.sections {
		// A message whose body cannot be opened is left out whole: half a
		// response could not be taken back.
		if f.body == nil && !f.fromFacts(s, facts) {
			body, err := c.srv.cfg.Store.OpenBody(ctx, m.Blob)
			if err != nil {
				return f.skip(m, err)
			}
			f.body = body
		}
	}
	if w.flags || marked {
		c.tellKeywords(m)
	}
	c.beginFetch(m)
	first := true
	sep := func() {
		if !first {
			e.SP()
		}
		first = false
	}
	// A change of flags that was not asked for is told with the UID (RFC 7162 section 3.2.4).
	if w.uid || marked && c.on.qresync && !c.on.uidonly {
		sep()
		e.Raw("UID ").Num32(uint32(m.UID))
	}
	if w.flags || marked {
		sep()
		e.Raw("FLAGS ")
		c.writeFlagList(m)
	}
	if w.modseq || marked && c.on.condstore {
		sep()
		e.Raw("MODSEQ (").Num(uint64(m.ModSeq)).Byte(')')
	}
	if w.internalDate {
		sep()
		e.Raw("INTERNALDATE ").DateTime(m.InternalDate)
	}
	if w.size {
		sep()
		e.Raw("RFC822.SIZE ").Num(uint64(m.Size))
	}
	if w.emailID {
		sep()
		e.Raw("EMAILID (").Raw(emailID(m.Email)).Byte(')')
	}
	if w.threadID {
		sep()
		if m.Thread == 0 {
			e.Raw("THREADID NIL")
		} else {
			e.Raw("THREADID (").Raw(threadID(m.Thread)).Byte(')')
		}
	}
	if w.saveDate {
		sep()
		if m.SaveDate.IsZero() {
			e.Raw("SAVEDATE NIL")
		} else {
			e.Raw("SAVEDATE ").DateTime(m.SaveDate)
		}
	}
	if w.envelope {
		sep()
		e.Raw("ENVELOPE ")
		writeEnvelope(e, f.idx.Envelope())
	}
	if w.body {
		sep()
		e.Raw("BODY ")
		writeStructure(e, &f.idx.Root, false)
	}
	if w.bodyStructure {
		sep()
		e.Raw("BODYSTRUCTURE ")
		writeStructure(e, &f.idx.Root, true)
	}
	if w.preview {
		sep()
		e.Raw("PREVIEW ").String(facts.Preview)
	}
	for _, s := range w.sections {
		sep()
		if err := f.section(m, facts, s); err != nil && f.failed == nil {
			f.failed = err
		}
	}
	e.Byte(')').End()
	return e.Err()
}

func (f *fetcher) done() {
	if f.body != nil {
		f.body.Close()
	}
	f.body, f.idx = nil, nil
}

// skip leaves a message out: one that went meanwhile, or is damaged.
func (f *fetcher) skip(m *session.Numbered, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case errors.Is(err, store.ErrDamaged):
		if f.failed == nil {
			f.failed = err
		}
		return nil
	}
	return err
}

// index gives a message's structure: as it was kept, or, where it was not or
// cannot be read, from the body.
func (f *fetcher) index(ctx context.Context, m *session.Numbered, facts *session.Facts) (*mimeindex.Index, error) {
	if len(facts.Index) > 0 {
		if idx, err := mimeindex.Unmarshal(facts.Index); err == nil {
			return idx, nil
		}
	}
	body, err := f.c.srv.cfg.Store.OpenBody(ctx, m.Blob)
	if err != nil {
		return nil, err
	}
	f.body = body
	return mimeindex.Parse(body)
}
