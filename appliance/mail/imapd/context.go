package imapd

import (
	"context"
	"slices"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// maxContexts bounds the searches kept up to date for one connection: each is
// asked about each message that changes.
const maxContexts = 20

// searchContext is a search whose result the client follows (RFC 5267 section 4).
type searchContext struct {
	tag  string
	uid  bool
	keys *session.Criteria
	in   []store.UID // the result, ascending
	// sort is what a SORT goes by, nil for SEARCH, and order its result.
	sort  []session.SortKey
	order []store.UID
}

// follow keeps the result of a search, or of a SORT by sort, up to date from now on.
func (c *conn) follow(cl *call, k *session.Criteria, sort []session.SortKey, found []store.UID) {
	if len(c.contexts) >= maxContexts {
		// RFC 5267 section 4.3.1
		c.enc.Raw("* OK [NOUPDATE ").String(cl.tag).Raw("] Too many searches are kept up to date").End()
		return
	}
	x := &searchContext{tag: cl.tag, uid: cl.uid, keys: k, sort: sort, in: slices.Sorted(slices.Values(found))}
	if sort != nil {
		x.order = slices.Clone(found)
	}
	c.contexts = append(c.contexts, x)
}

// cmdCancelUpdate answers CANCELUPDATE (RFC 5267 section 4.3.5).
func (c *conn) cmdCancelUpdate(_ context.Context, _ *call) error {
	var tags []string
	for c.dec.SP() {
		tags = append(tags, c.dec.Str())
		if !c.dec.More() {
			break
		}
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	c.contexts = slices.DeleteFunc(c.contexts, func(x *searchContext) bool { return slices.Contains(tags, x.tag) })
	return nil
}

// contextsLose tells of expunged messages that leave results. It is told before
// the messages lose their numbers.
func (c *conn) contextsLose(up *session.Update) {
	if len(up.ExpungedUIDs) == 0 {
		return
	}
	for _, x := range c.contexts {
		var gone []store.UID
		for _, uid := range up.ExpungedUIDs {
			if _, in := slices.BinarySearch(x.in, uid); in {
				gone = append(gone, uid)
			}
		}
		c.writeContext(x, "REMOVEFROM", x.remove(gone), func(uid store.UID) uint32 {
			// Numbers come highest first, UIDs lowest first.
			i, _ := slices.BinarySearch(up.ExpungedUIDs, uid)
			return up.Expunged[len(up.Expunged)-1-i]
		})
	}
}

// contextsFollow looks at messages that came or changed: which of them enter
// results or leave them.
func (c *conn) contextsFollow(ctx context.Context) error {
	if len(c.contexts) == 0 {
		c.sel.Untouch()
		return nil
	}
	touched := c.sel.Touched()
	if len(touched) == 0 {
		return nil
	}
	// A message without a number is gone, which is told later.
	touched = slices.DeleteFunc(touched, func(uid store.UID) bool { return c.sel.Seq(uid) == 0 })
	for _, x := range c.contexts {
		found, err := c.sel.Search(ctx, &session.Criteria{Key: session.And, Sub: []*session.Criteria{among(touched), x.keys}}, nil)
		if err != nil {
			return err
		}
		var came, left []store.UID
		for _, uid := range touched {
			_, now := slices.BinarySearch(found.UIDs, uid)
			_, before := slices.BinarySearch(x.in, uid)
			switch {
			case now && !before:
				came = append(came, uid)
			case before && !now:
				left = append(left, uid)
			}
		}
		c.writeContext(x, "REMOVEFROM", x.remove(left), c.sel.Seq)
		places, err := x.add(ctx, c.sel, came)
		if err != nil {
			return err
		}
		c.writeContext(x, "ADDTO", places, c.sel.Seq)
	}
	return c.enc.Err()
}

// among is the search key for UIDs, ascending.
func among(uids []store.UID) *session.Criteria {
	return &session.Criteria{Key: session.InSet, Set: session.SpansOf(uids)}
}

// place is a message and its position in a sorted result, from 1 on. In results
// that are in the order of the messages positions mean nothing and are 0 (RFC
// 5267 section 4.3.3).
type place struct {
	at  int
	uid store.UID
}

// remove takes messages that are in the result, ascending, out of it. Each
// place counts after those before it have gone.
func (x *searchContext) remove(uids []store.UID) []place {
	if len(uids) == 0 {
		return nil
	}
	has := func(uid store.UID) bool {
		_, ok := slices.BinarySearch(uids, uid)
		return ok
	}
	x.in = slices.DeleteFunc(x.in, has)
	var places []place
	if x.sort == nil {
		for _, uid := range uids {
			places = append(places, place{0, uid})
		}
		return places
	}
	for i, uid := range slices.Backward(x.order) {
		if has(uid) {
			places = append(places, place{i + 1, uid})
		}
	}
	x.order = slices.DeleteFunc(x.order, has)
	return places
}

// add puts messages that are not in the result, ascending, into it. Each place
// counts after those before it have come.
func (x *searchContext) add(ctx context.Context, sel *session.Selected, uids []store.UID) ([]place, error) {
	if len(uids) == 0 {
		return nil, nil
	}
	all := slices.Concat(x.in, uids)
	slices.Sort(all)
	var places []place
	if x.sort == nil {
		for _, uid := range uids {
			places = append(places, place{0, uid})
		}
		x.in = all
		return places, nil
	}
	sorted, err := sel.Sort(ctx, among(all), x.sort, nil)
	if err != nil {
		return nil, err
	}
	// What a message compares by never changes, so that those that were there
	// stay as they are; some may be gone without the client knowing it yet.
	after := make(map[store.UID][]store.UID) // what comes behind each that was there; 0: in front
	last := store.UID(0)
	for _, uid := range sorted.UIDs {
		if _, new := slices.BinarySearch(uids, uid); new {
			after[last] = append(after[last], uid)
		} else {
			last = uid
		}
	}
	order := make([]store.UID, 0, len(all))
	for _, uid := range slices.Concat([]store.UID{0}, x.order) {
		if uid != 0 {
			order = append(order, uid)
		}
		for _, n := range after[uid] {
			order = append(order, n)
			places = append(places, place{len(order), n})
		}
	}
	x.in, x.order = slices.Sorted(slices.Values(order)), order
	return places, nil
}

// writeContext tells of a change of a result; seq gives the numbers of messages.
func (c *conn) writeContext(x *searchContext, what string, places []place, seq func(store.UID) uint32) {
	if len(places) == 0 {
		return
	}
	number := func(i int) uint32 {
		if x.uid {
			return uint32(places[i].uid)
		}
		return seq(places[i].uid)
	}
	c.enc.Raw("* ESEARCH (TAG ").String(x.tag).Byte(')')
	if x.uid {
		c.enc.Raw(" UID")
	}
	c.enc.SP().Raw(what).Raw(" (")
	if x.sort == nil {
		c.enc.Raw("0 ").Set(len(places), number)
	} else {
		for i, p := range places {
			if i > 0 {
				c.enc.SP()
			}
			c.enc.Num(uint64(p.at)).SP().Num32(number(i))
		}
	}
	c.enc.Byte(')').End()
}
