package imapd

import (
	"bytes"
	"context"
	"sync"

	"pillarbox/appliance/store/store"
)

const (
	// bodiesAhead is how many bodies are opened before they are needed: enough
	// for small ones to hide behind a larger one.
	bodiesAhead = 2
	// loadedBody is the largest body that is read before it is needed; with
	// those waiting a connection holds half a megabyte.
	loadedBody = 128 << 10
)

// readAhead opens the bodies of a FETCH in order, so that one is unpacked while
// another is on its way to the client.
type readAhead struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	bodies chan openedBody
}

type openedBody struct {
	id   store.BlobID
	body store.Body
	err  error
}

func newReadAhead(ctx context.Context, st *store.Store, ids []store.BlobID) *readAhead {
	// A body may be read after its successor was asked for: it has the
	// command's context.
	waiting, cancel := context.WithCancel(ctx)
	r := &readAhead{cancel: cancel, bodies: make(chan openedBody, bodiesAhead)}
	r.done.Go(func() {
		defer close(r.bodies)
		for _, id := range ids {
			o := openedBody{id: id}
			if o.body, o.err = st.OpenBody(ctx, id); o.err == nil {
				o.load()
			}
			select {
			case r.bodies <- o:
			case <-waiting.Done():
				o.close()
				return
			}
		}
	})
	return r
}

// load reads a small body into memory. One that cannot be read stays as it is:
// whoever reads it finds out.
func (o *openedBody) load() {
	if o.body.Size() > loadedBody {
		return
	}
	b := make([]byte, o.body.Size())
	if n, _ := o.body.ReadAt(b, 0); n == len(b) {
		o.body.Close()
		o.body = bodyInMemory{bytes.NewReader(b)}
	}
}

type bodyInMemory struct{ *bytes.Reader }

func (bodyInMemory) Close() error { return nil }

func (o openedBody) close() {
	if o.body != nil {
		o.body.Close()
	}
}

// open gives the next body with an id; those before it were not needed. ok is
// false where it is not among those that come.
func (r *readAhead) open(id store.BlobID) (body store.Body, err error, ok bool) {
	for o := range r.bodies {
		if o.id == id {
			return o.body, o.err, true
		}
		o.close()
	}
	return nil, nil, false
}

// close ends reading and waits for it.
func (r *readAhead) close() {
	r.cancel()
	for o := range r.bodies {
		o.close()
	}
	r.done.Wait()
}
