package imapd

import (
	"context"
	"time"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// maxSortKeys bounds the keys of one SORT: there are fewer kinds.
const maxSortKeys = 30

var sortFields = map[string]session.SortField{
	"ARRIVAL":     session.SortArrival,
	"DATE":        session.SortDate,
	"SIZE":        session.SortSize,
	"SUBJECT":     session.SortSubject,
	"FROM":        session.SortFrom,
	"TO":          session.SortTo,
	"CC":          session.SortCc,
	"DISPLAYFROM": session.SortDisplayFrom, // RFC 5957
	"DISPLAYTO":   session.SortDisplayTo,
}

// sortKeys takes the list of sort keys.
func (c *conn) sortKeys() []session.SortKey {
	var keys []session.SortKey
	c.dec.List(false, func() {
		var k session.SortKey
		name := c.dec.Keyword()
		if name == "REVERSE" {
			k.Reverse = true
			c.dec.SP()
			name = c.dec.Keyword()
		}
		var known bool
		if k.Field, known = sortFields[name]; !known {
			c.dec.Fail("Unknown sort key")
		}
		if keys = append(keys, k); len(keys) > maxSortKeys {
			c.dec.Fail("Too many sort keys")
		}
	})
	return keys
}

// cmdSort answers SORT and UID SORT (RFC 5256 section 3), with RETURN
// (RFC 5267 section 3).
func (c *conn) cmdSort(ctx context.Context, cl *call) error {
	var ret searchReturn
	p := searchParser{c: c, now: time.Now()}
	c.dec.SP()
	if c.dec.PeekKeyword() == "RETURN" {
		c.dec.Keyword()
		c.dec.SP()
		c.searchReturn(&ret)
		c.dec.SP()
	}
	keys := c.sortKeys()
	k := p.charsetProgram()
	if err := c.dec.End(); err != nil {
		return err
	}
	var found session.Found
	if err := c.search(cl, &p, k, &ret, func(progress func(done, total int)) (err error) {
		found, err = c.sel.Sort(ctx, k, keys, progress)
		return err
	}); err != nil {
		return err
	}
	if ret.save {
		c.sel.Save(saved(found.UIDs, &ret))
	}
	if ret.update {
		c.follow(cl, k, keys, found.UIDs)
	}
	if ret.extended {
		c.writeESearch(cl, &ret, found, k.HasModSeq())
		return nil
	}
	c.enc.Raw("* SORT")
	c.writeNumbers(cl, found, k)
	return nil
}

// cmdThread answers THREAD and UID THREAD (RFC 5256 section 3).
func (c *conn) cmdThread(ctx context.Context, cl *call) error {
	p := searchParser{c: c, now: time.Now()}
	kind := session.ByReferences
	c.dec.SP()
	switch c.dec.Keyword() {
	case "REFERENCES":
	case "ORDEREDSUBJECT":
		kind = session.OrderedSubject
	default:
		c.dec.Fail("Unknown threading algorithm")
	}
	k := p.charsetProgram()
	if err := c.dec.End(); err != nil {
		return err
	}
	var threads []*session.Thread
	if err := c.search(cl, &p, k, &searchReturn{}, func(progress func(done, total int)) (err error) {
		threads, err = c.sel.Thread(ctx, k, kind, progress)
		return err
	}); err != nil {
		return err
	}
	c.enc.Raw("* THREAD")
	if len(threads) > 0 {
		c.enc.SP()
	}
	for _, t := range threads {
		c.writeThread(cl, t)
	}
	c.enc.End()
	return nil
}

// writeThread writes a thread-list (RFC 5256 section 5).
func (c *conn) writeThread(cl *call, t *session.Thread) {
	c.enc.Byte('(')
	first := true
	for ; ; t = t.Children[0] {
		if t.UID != 0 {
			if !first {
				c.enc.SP()
			}
			first = false
			c.enc.Num32(c.number(cl, t.UID))
		}
		if len(t.Children) != 1 {
			break
		}
	}
	if len(t.Children) > 1 {
		if !first {
			c.enc.SP()
		}
		for _, child := range t.Children {
			c.writeThread(cl, child)
		}
	}
	c.enc.Byte(')')
}

// writeNumbers ends a SEARCH or SORT response with the messages found.
func (c *conn) writeNumbers(cl *call, found session.Found, k *session.Criteria) {
	for _, uid := range found.UIDs {
		c.enc.SP().Num32(c.number(cl, uid))
	}
	if k.HasModSeq() && len(found.UIDs) > 0 {
		c.enc.Raw(" (MODSEQ ").Num(uint64(highest(found.ModSeqs))).Byte(')') // RFC 7162 section 3.1.5
	}
	c.enc.End()
}

// window is the part of the results that PARTIAL asks for (RFC 9394 section
// 3.1): lo and hi count from the first result, or, negative, from the last.
func window(uids []store.UID, lo, hi int64) []store.UID {
	n := int64(len(uids))
	if lo == 0 {
		return nil // not asked for
	}
	if lo < 0 {
		lo, hi = n+lo+1, n+hi+1
	}
	lo, hi = max(min(lo, hi), 1), min(max(lo, hi), n)
	if lo > hi {
		return nil
	}
	return uids[lo-1 : hi]
}
