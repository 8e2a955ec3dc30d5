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
}

// follow keeps a search's result up to date from now on.
func (c *conn) follow(cl *call, k *session.Criteria, found []store.UID) {
	if len(c.contexts) >= maxContexts {
		// RFC 5267 section 4.3.1
		c.enc.Raw("* OK [NOUPDATE ").String(cl.tag).Raw("] Too many searches are kept up to date").End()
		return
	}
	c.contexts = append(c.contexts, &searchContext{cl.tag, cl.uid, k, slices.Clone(found)})
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
		var gone []uint32
		x.in = slices.DeleteFunc(x.in, func(uid store.UID) bool {
			i, lost := slices.BinarySearch(up.ExpungedUIDs, uid)
			if lost && x.uid {
				gone = append(gone, uint32(uid))
			} else if lost {
				// Numbers come highest first, UIDs lowest first.
				gone = append(gone, up.Expunged[len(up.Expunged)-1-i])
			}
			return lost
		})
		c.writeContext(x, "REMOVEFROM", gone)
	}
}

// contextsFollow looks at messages that came or changed: which of them enter
// results or leave them.
func (c *conn) contextsFollow(ctx context.Context) error {
	touched := c.sel.Touched()
	if len(touched) == 0 || len(c.contexts) == 0 {
		return nil
	}
	set := &session.Criteria{Key: session.InSet, Set: session.SpansOf(touched)}
	for _, x := range c.contexts {
		found, err := c.sel.Search(ctx, &session.Criteria{Key: session.And, Sub: []*session.Criteria{set, x.keys}}, nil)
		if err != nil {
			return err
		}
		var add, remove []uint32
		for _, uid := range touched {
			number := uint32(uid)
			if !x.uid {
				if number = c.sel.Seq(uid); number == 0 {
					continue
				}
			}
			_, now := slices.BinarySearch(found.UIDs, uid)
			i, before := slices.BinarySearch(x.in, uid)
			switch {
			case now && !before:
				x.in = slices.Insert(x.in, i, uid)
				add = append(add, number)
			case before && !now:
				x.in = slices.Delete(x.in, i, i+1)
				remove = append(remove, number)
			}
		}
		c.writeContext(x, "REMOVEFROM", remove)
		c.writeContext(x, "ADDTO", add)
	}
	return c.enc.Err()
}

// writeContext tells of a change of a result. Positions mean nothing in
// results that are in the order of the messages (RFC 5267 section 4.3.3).
func (c *conn) writeContext(x *searchContext, what string, numbers []uint32) {
	if len(numbers) == 0 {
		return
	}
	c.enc.Raw("* ESEARCH (TAG ").String(x.tag).Byte(')')
	if x.uid {
		c.enc.Raw(" UID")
	}
	c.enc.SP().Raw(what).Raw(" (0 ").Set(len(numbers), func(i int) uint32 { return numbers[i] }).Byte(')').End()
}
