package imapd

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// maxKeys bounds the search keys of one command: each is compared with each message.
const maxKeys = 10_000

// searchReturn is what a SEARCH is to return (RFC 4731, RFC 5182).
type searchReturn struct {
	extended                   bool // RETURN was there: answer with ESEARCH
	min, max, all, count, save bool
	partial                    bool // RFC 9394: from lo to hi
	lo, hi                     int64
	update                     bool // RFC 5267
}

// searchParser parses search keys.
type searchParser struct {
	c       *conn
	now     time.Time
	keys    int
	charset string
	err     error // what the grammar does not forbid, answered BAD
}

// cmdSearch answers SEARCH and UID SEARCH (RFC 9051 section 6.4.4).
func (c *conn) cmdSearch(ctx context.Context, cl *call) error {
	var ret searchReturn
	p := searchParser{c: c, now: time.Now()}
	c.dec.SP()
	if c.dec.PeekKeyword() == "RETURN" {
		c.dec.Keyword()
		c.dec.SP()
		c.searchReturn(&ret)
		c.dec.SP()
	}
	k := p.program()
	if err := c.dec.End(); err != nil {
		return err
	}
	if c.on.rev2 && !ret.extended {
		ret.extended, ret.all = true, true // RFC 9051 section 6.4.4
	}
	var found session.Found
	if err := c.search(cl, &p, k, &ret, func(progress func(done, total int)) (err error) {
		found, err = c.sel.Search(ctx, k, progress)
		return err
	}); err != nil {
		return err
	}
	if ret.save {
		c.sel.Save(saved(found.UIDs, &ret))
	}
	if ret.update {
		c.follow(cl, k, nil, found.UIDs)
	}
	if ret.extended {
		c.writeESearch(cl, &ret, found, k.HasModSeq())
		return nil
	}
	c.enc.Raw("* SEARCH")
	c.writeNumbers(cl, found, k)
	return nil
}

// search does what SEARCH, SORT and THREAD have in common around find.
func (c *conn) search(cl *call, p *searchParser, k *session.Criteria, ret *searchReturn, find func(progress func(done, total int)) error) error {
	cl.noExpunge = !cl.uid
	if p.err != nil {
		return p.err // BAD leaves "$" as it is (RFC 5182 section 2.1)
	}
	err := p.checkCharset()
	if err == nil {
		if k.HasModSeq() {
			c.enableCondstore()
		}
		err = find(c.progress(cl))
	}
	if err != nil {
		if ret.save {
			c.sel.Save(nil) // RFC 5182 section 2.1
		}
		return err
	}
	return nil
}

// number is how a command names a message: by UID or by its number.
func (c *conn) number(cl *call, uid store.UID) uint32 {
	if cl.uid {
		return uint32(uid)
	}
	return c.sel.Seq(uid)
}

func highest(ms []store.ModSeq) store.ModSeq {
	var top store.ModSeq
	for _, m := range ms {
		top = max(top, m)
	}
	return top
}

// saved is what "$" holds after a search: with MIN or MAX and nothing else
// only those (RFC 5182 section 2.1).
func saved(uids []store.UID, ret *searchReturn) []store.UID {
	if ret.partial {
		return ascending(window(uids, ret.lo, ret.hi)) // RFC 9394 section 3.2
	}
	if len(uids) == 0 || ret.all || ret.count || !ret.min && !ret.max {
		return ascending(uids)
	}
	var out []store.UID
	if ret.min {
		out = append(out, uids[0])
	}
	if last := uids[len(uids)-1]; ret.max && (len(out) == 0 || out[0] != last) {
		out = append(out, last)
	}
	return ascending(out)
}

// ascending puts sorted results back into the order of their UIDs.
func ascending(uids []store.UID) []store.UID {
	if slices.IsSorted(uids) {
		return uids
	}
	uids = slices.Clone(uids)
	slices.Sort(uids)
	return uids
}

// searchReturn takes the result options.
func (c *conn) searchReturn(ret *searchReturn) {
	ret.extended = true
	c.dec.List(true, func() {
		switch c.dec.Keyword() {
		case "MIN":
			ret.min = true
		case "MAX":
			ret.max = true
		case "ALL":
			ret.all = true
		case "COUNT":
			ret.count = true
		case "SAVE":
			ret.save = true
		case "CONTEXT":
			// Only a hint (RFC 5267 section 4.2): nothing is kept for it.
		case "UPDATE":
			ret.update = true
		case "PARTIAL":
			if ret.partial {
				c.dec.Fail("PARTIAL is there twice")
			}
			ret.partial = true
			c.dec.SP()
			ret.lo, ret.hi = c.dec.Partial()
			if ret.lo > 0 && ret.lo > ret.hi {
				ret.lo, ret.hi = ret.hi, ret.lo
			}
		default:
			c.dec.Fail("Unknown return option")
		}
	})
	if ret.partial && ret.all {
		c.dec.Fail("ALL and PARTIAL exclude each other") // RFC 9394 section 3.1
	}
	if !ret.min && !ret.max && !ret.count && !ret.save && !ret.partial {
		ret.all = true // RFC 4731 section 3.1
	}
}

// writeESearch writes an ESEARCH response (RFC 4731 section 3.2).
func (c *conn) writeESearch(cl *call, ret *searchReturn, found session.Found, modseq bool) {
	if !ret.min && !ret.max && !ret.all && !ret.count && !ret.partial {
		return // only SAVE (RFC 5182 section 2.1)
	}
	uids := found.UIDs
	part := window(uids, ret.lo, ret.hi)
	c.enc.Raw("* ESEARCH (TAG ").String(cl.tag).Byte(')')
	if cl.uid {
		c.enc.Raw(" UID")
	}
	if n := len(uids); n > 0 {
		if ret.min {
			c.enc.Raw(" MIN ").Num32(c.number(cl, uids[0]))
		}
		if ret.max {
			c.enc.Raw(" MAX ").Num32(c.number(cl, uids[n-1]))
		}
		if ret.all {
			c.enc.Raw(" ALL ").Set(n, func(i int) uint32 { return c.number(cl, uids[i]) })
		}
		if modseq {
			c.enc.Raw(" MODSEQ ").Num(uint64(returnedModSeq(found, ret)))
		}
	}
	if ret.partial {
		c.enc.Raw(" PARTIAL (").Raw(strconv.FormatInt(ret.lo, 10)).Byte(':').Raw(strconv.FormatInt(ret.hi, 10)).SP()
		if len(part) > 0 {
			c.enc.Set(len(part), func(i int) uint32 { return c.number(cl, part[i]) })
		} else {
			c.enc.Nil()
		}
		c.enc.Byte(')')
	}
	if ret.count {
		c.enc.Raw(" COUNT ").Num(uint64(len(uids)))
	}
	c.enc.End()
}

// returnedModSeq is the highest mod-sequence of the messages told of (RFC 4731 section 3.2).
func returnedModSeq(found session.Found, ret *searchReturn) store.ModSeq {
	if ret.all || ret.count || ret.partial {
		return highest(found.ModSeqs)
	}
	var top store.ModSeq
	if ret.min {
		top = found.ModSeqs[0]
	}
	if ret.max {
		top = max(top, found.ModSeqs[len(found.ModSeqs)-1])
	}
	return top
}

// program takes the optional charset and the search keys.
func (p *searchParser) program() *session.Criteria {
	d := p.c.dec
	if d.PeekKeyword() == "CHARSET" {
		d.Keyword()
		d.SP()
		p.charset = d.AString()
		if p.c.on.utf8 {
			d.Fail("CHARSET is not allowed with UTF8=ACCEPT") // RFC 6855 section 3
		}
		d.SP()
	}
	return p.keysToEnd()
}

// charsetProgram takes the charset and the search keys of SORT and THREAD.
func (p *searchParser) charsetProgram() *session.Criteria {
	d := p.c.dec
	d.SP()
	p.charset = d.AString()
	d.SP()
	return p.keysToEnd()
}

func (p *searchParser) keysToEnd() *session.Criteria {
	d := p.c.dec
	k := &session.Criteria{Key: session.And}
	for {
		k.Sub = append(k.Sub, p.key())
		if d.Err() != nil || !d.AcceptSP() {
			break
		}
	}
	return k
}

// checkCharset refuses charsets that are not known.
func (p *searchParser) checkCharset() error {
	switch strings.ToUpper(p.charset) {
	case "", "UTF-8", "US-ASCII", "UTF8", "ASCII":
	default:
		return no("BADCHARSET (US-ASCII UTF-8)", "Charset is not supported")
	}
	return nil
}

func criteria(key session.Key) *session.Criteria { return &session.Criteria{Key: key} }

func not(k *session.Criteria) *session.Criteria {
	return &session.Criteria{Key: session.Not, Sub: []*session.Criteria{k}}
}

func flagKey(f store.SystemFlags) *session.Criteria {
	return &session.Criteria{Key: session.HasFlag, Flag: f}
}

func (p *searchParser) dateKey(key session.Key) *session.Criteria {
	p.c.dec.SP()
	return &session.Criteria{Key: key, Date: p.c.dec.Date()}
}

// on is a day: from its beginning and before the next one.
func (p *searchParser) on(since, before session.Key) *session.Criteria {
	k := p.dateKey(since)
	next := &session.Criteria{Key: before, Date: k.Date.AddDate(0, 0, 1)}
	return &session.Criteria{Key: session.And, Sub: []*session.Criteria{k, next}}
}

func (p *searchParser) header(name string) *session.Criteria {
	p.c.dec.SP()
	return &session.Criteria{Key: session.Header, Name: name, Text: p.c.dec.AString()}
}

func (p *searchParser) number(key session.Key) *session.Criteria {
	p.c.dec.SP()
	return &session.Criteria{Key: key, Num: p.c.dec.Number64()}
}

func (p *searchParser) set(uid bool) *session.Criteria {
	set := p.c.dec.NumSet(uid)
	if p.c.dec.Err() != nil {
		return criteria(session.All)
	}
	if _, isSeq := set.(imap.SeqSet); isSeq && p.c.on.uidonly {
		p.err = errUIDRequired
	}
	return &session.Criteria{Key: session.InSet, Set: p.c.sel.ResolveLoose(set)}
}

// key takes one search key.
func (p *searchParser) key() *session.Criteria {
	d := p.c.dec
	if p.keys++; p.keys > maxKeys {
		d.Fail("Too many search keys")
	}
	if !d.Nest() {
		return criteria(session.All)
	}
	defer d.Unnest()
	switch {
	case d.Peek() == '(':
		d.Expect('(')
		k := p.keysToEnd()
		d.Expect(')')
		return k
	case d.IsSet():
		return p.set(false)
	}
	name := d.Keyword()
	switch name {
	case "ALL":
		return criteria(session.All)
	case "ANSWERED":
		return flagKey(store.Answered)
	case "DELETED":
		return flagKey(store.Deleted)
	case "DRAFT":
		return flagKey(store.Draft)
	case "FLAGGED":
		return flagKey(store.Flagged)
	case "SEEN":
		return flagKey(store.Seen)
	case "UNANSWERED":
		return not(flagKey(store.Answered))
	case "UNDELETED":
		return not(flagKey(store.Deleted))
	case "UNDRAFT":
		return not(flagKey(store.Draft))
	case "UNFLAGGED":
		return not(flagKey(store.Flagged))
	case "UNSEEN":
		return not(flagKey(store.Seen))
	case "RECENT":
		return criteria(session.IsRecent)
	case "OLD":
		return not(criteria(session.IsRecent))
	case "NEW":
		return &session.Criteria{Key: session.And, Sub: []*session.Criteria{
			criteria(session.IsRecent), not(flagKey(store.Seen))}}
	case "KEYWORD", "UNKEYWORD":
		d.SP()
		k := p.keyword(d.Flag())
		if name == "UNKEYWORD" {
			return not(k)
		}
		return k
	case "NOT":
		d.SP()
		return not(p.key())
	case "OR":
		d.SP()
		a := p.key()
		d.SP()
		b := p.key()
		return &session.Criteria{Key: session.Or, Sub: []*session.Criteria{a, b}}
	case "UID":
		d.SP()
		return p.set(true)
	case "LARGER":
		return p.number(session.Larger)
	case "SMALLER":
		return p.number(session.Smaller)
	case "BEFORE":
		return p.dateKey(session.Before)
	case "SINCE":
		return p.dateKey(session.OnOrAfter)
	case "ON":
		return p.on(session.OnOrAfter, session.Before)
	case "SENTBEFORE":
		return p.dateKey(session.SentBefore)
	case "SENTSINCE":
		return p.dateKey(session.SentSince)
	case "SENTON":
		return p.on(session.SentSince, session.SentBefore)
	case "SAVEDBEFORE": // RFC 8514 section 4.3
		return p.dateKey(session.SavedBefore)
	case "SAVEDSINCE":
		return p.dateKey(session.SavedSince)
	case "SAVEDON":
		return p.on(session.SavedSince, session.SavedBefore)
	case "SAVEDATESUPPORTED":
		return criteria(session.All)
	case "OLDER", "YOUNGER": // RFC 5032
		d.SP()
		secs := d.Number()
		if secs == 0 {
			d.Fail("Interval is not 0")
		}
		k := &session.Criteria{Key: session.Younger, Date: p.now.Add(-time.Duration(secs) * time.Second).Truncate(time.Second)}
		if name == "OLDER" {
			return not(k)
		}
		return k
	case "EMAILID", "THREADID": // RFC 8474 section 5
		d.SP()
		return p.objectID(name, d.AString())
	case "FROM", "TO", "CC", "BCC", "SUBJECT":
		return p.header(name)
	case "HEADER":
		d.SP()
		return p.header(d.AString())
	case "BODY":
		d.SP()
		return &session.Criteria{Key: session.Body, Text: d.AString()}
	case "TEXT":
		d.SP()
		return &session.Criteria{Key: session.Text, Text: d.AString()}
	case "MODSEQ":
		return p.modSeq()
	}
	d.Fail("Unknown search key")
	return criteria(session.All)
}

// keyword takes a flag by name, system flags too, as some clients ask.
func (p *searchParser) keyword(name string) *session.Criteria {
	for _, f := range systemFlags {
		if strings.EqualFold(f.name, name) {
			return flagKey(f.bit)
		}
	}
	return &session.Criteria{Key: session.Keyword, Name: name}
}

// modSeq takes MODSEQ with its optional entry name (RFC 7162 section 3.1.5),
// which narrows nothing here: a message has one mod-sequence.
func (p *searchParser) modSeq() *session.Criteria {
	d := p.c.dec
	d.SP()
	if d.Peek() == '"' {
		d.Str()
		d.SP()
		switch d.Keyword() {
		case "PRIV", "SHARED", "ALL":
		default:
			d.Fail("priv, shared or all expected")
		}
		d.SP()
	}
	return &session.Criteria{Key: session.ModSeq, Num: d.Number64()}
}

// objectID takes an id as it was given out; one that was not is nobody's.
func (p *searchParser) objectID(name, id string) *session.Criteria {
	k := &session.Criteria{Key: session.EmailID}
	prefix := byte('M')
	if name == "THREADID" {
		k.Key, prefix = session.ThreadID, 'T'
	}
	n, ok := parseObjectID(prefix, id)
	if !ok {
		return not(criteria(session.All))
	}
	k.Num = n
	return k
}

// progressEvery is how often a long command says how far it is (RFC 9585).
const progressEvery = 10 * time.Second

// progress makes the function that tells how far a long command is.
func (c *conn) progress(cl *call) func(done, total int) {
	last := time.Now()
	return func(done, total int) {
		if now := time.Now(); now.Sub(last) >= progressEvery && total > 0 && done < total {
			last = now
			c.enc.Raw("* OK [INPROGRESS (").String(cl.tag).SP().Num(uint64(done)).SP().Num(uint64(total)).
				Raw(")] Still at it").End()
			c.flush()
		}
	}
}
