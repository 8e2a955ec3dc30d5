package backup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pillarbox/appliance/store/store"
)

// Restore loads a full backup and its increments, in order, into a new store.
// The caller closes the loader, and drops its folder where Restore fails.
func Restore(ctx context.Context, to *store.Loader, chain ...*Reader) error {
	if err := checkChain(chain); err != nil {
		return err
	}
	for i, r := range chain {
		if err := load(ctx, to, r, i == len(chain)-1); err != nil {
			return fmt.Errorf("backup %s: %w", r.header.ID, err)
		}
	}
	return nil
}

// checkChain wants a full backup, then increments each to the one before.
func checkChain(chain []*Reader) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: none given", ErrChain)
	}
	base := ""
	for _, r := range chain {
		switch {
		case r.header.Base == base:
		case base == "":
			return fmt.Errorf("%w: %s is an increment to %s", ErrChain, r.header.ID, r.header.Base)
		case r.header.Full():
			return fmt.Errorf("%w: %s is a full backup", ErrChain, r.header.ID)
		default:
			return fmt.Errorf("%w: %s is an increment to %s, not to %s", ErrChain, r.header.ID, r.header.Base, base)
		}
		base = r.header.ID
	}
	return nil
}

// load puts the rows of one backup. Only the last one's keys count, and they
// come before its bodies, when the store holds all that they could remove.
func load(ctx context.Context, to *store.Loader, r *Reader, last bool) error {
	kept := !last || r.header.Full()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, k, v, err := r.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !kept && (err != nil || s != Rows) {
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
		if s == Keys {
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
