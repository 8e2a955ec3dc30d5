package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"pillarbox/appliance/store/store"
)

// Restore loads a full backup and its increments, in order (see Order), into a
// new store; next gives one at a time, io.EOF after the last (see Readers and
// Sequence). The caller closes the loader, and drops its folder where Restore
// fails.
func Restore(ctx context.Context, to *store.Loader, next func() (*Reader, error)) error {
	base := ""
	for {
		r, err := next()
		if errors.Is(err, io.EOF) && base != "" {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: none given", ErrChain)
		}
		if err != nil {
			return err
		}
		if err := r.header.follows(base); err != nil {
			return err
		}
		base = r.header.ID
		if err := load(ctx, to, r); err != nil {
			return fmt.Errorf("backup %s: %w", r.header.ID, err)
		}
	}
}

// follows wants an increment to base, or a full backup where base is "".
func (h *Header) follows(base string) error {
	switch {
	case h.Extract:
		return ErrExtract
	case h.Base == base:
		return nil
	case h.Full():
		return fmt.Errorf("%w: %s is another full backup", ErrChain, h.ID)
	default:
		return fmt.Errorf("%w: %s is an increment to %s, which is missing before it", ErrChain, h.ID, h.Base)
	}
}

// Order gives the order of a full backup and its increments, as indices of
// list; an extract stands by itself. ErrChain where they are not one chain.
func Order(list []Header) ([]int, error) {
	if len(list) == 1 && list[0].Extract {
		return []int{0}, nil
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: none given", ErrChain)
	}
	var out []int
	base := ""
	for len(out) < len(list) {
		i := slices.IndexFunc(list, func(h Header) bool { return h.Base == base && !h.Extract })
		if i < 0 || slices.Contains(out, i) {
			rest := slices.IndexFunc(list, func(h Header) bool { return !slices.ContainsFunc(out, func(i int) bool { return list[i].ID == h.ID }) })
			if rest < 0 {
				return nil, fmt.Errorf("%w: a backup is given twice", ErrChain)
			}
			return nil, list[rest].follows(base)
		}
		out = append(out, i)
		base = list[i].ID
	}
	return out, nil
}

// checkChain wants a full backup, then increments each to the one before, or
// one extract.
func checkChain(chain []*Reader) error {
	list := make([]Header, len(chain))
	for i, r := range chain {
		list[i] = r.header
	}
	order, err := Order(list)
	if err == nil && !slices.IsSorted(order) {
		err = fmt.Errorf("%w: not in order", ErrChain)
	}
	return err
}

// load puts the rows of one backup. An increment's keys come before its
// bodies, when the store holds all that they could remove.
func load(ctx context.Context, to *store.Loader, r *Reader) error {
	kept := r.header.Full()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, k, v, err := r.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !kept && (err != nil || s > Rows) {
			kept = true
			if err == nil {
				r.back()
			}
			if err := to.Keep(ctx, r.keys); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return nil
		}
		if s == Names || s == Keys {
			continue
		}
		if err := to.Put(k, v); err != nil {
			return err
		}
	}
}

// keys yields what is left of section Keys.
func (r *Reader) keys(yield func([]byte, error) bool) {
	for {
		s, k, _, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err == nil && s != Keys:
			r.back()
			return
		case !yield(k, err) || err != nil:
			return
		}
	}
}
