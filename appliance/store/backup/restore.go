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
		if err := follows(r, base); err != nil {
			return err
		}
		base = r.header.ID
		if err := load(ctx, to, r); err != nil {
			return fmt.Errorf("backup %s: %w", r.header.ID, err)
		}
	}
}

// follows wants an increment to base, or a full backup where base is "".
func follows(r *Reader, base string) error {
	switch {
	case r.header.Extract:
		return ErrExtract
	case r.header.Base == base:
		return nil
	case r.header.Full():
		return fmt.Errorf("%w: %s is another full backup", ErrChain, r.header.ID)
	default:
		return fmt.Errorf("%w: %s is an increment to %s, which is missing before it", ErrChain, r.header.ID, r.header.Base)
	}
}

// Order puts a full backup and its increments in order. Nothing of them may
// have been read. ErrChain where they are not one chain.
func Order(list []*Reader) ([]*Reader, error) {
	var out []*Reader
	base := ""
	for len(out) < len(list) {
		i := slices.IndexFunc(list, func(r *Reader) bool { return r.header.Base == base })
		if i < 0 {
			rest := slices.IndexFunc(list, func(r *Reader) bool { return !slices.Contains(out, r) })
			return nil, follows(list[rest], base)
		}
		if slices.Contains(out, list[i]) {
			return nil, fmt.Errorf("%w: a backup given twice", ErrChain)
		}
		out = append(out, list[i])
		base = list[i].header.ID
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: none given", ErrChain)
	}
	return out, nil
}

// checkChain wants a full backup, then increments each to the one before, or
// one extract.
func checkChain(chain []*Reader) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: none given", ErrChain)
	}
	if len(chain) == 1 && chain[0].header.Extract {
		return nil
	}
	base := ""
	for _, r := range chain {
		if err := follows(r, base); err != nil {
			return err
		}
		base = r.header.ID
	}
	return nil
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
