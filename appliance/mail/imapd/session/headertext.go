package session

import (
	"bytes"
	"context"
	"strings"

	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
)

// headerText is a header block to search in.
type headerText struct {
	fields []headerField
}

type headerField struct {
	name  string
	raw   []byte // the field's body, until it is asked for
	value string // unfolded, decoded and folded for comparing
	done  bool
}

// newHeaderText takes a header block apart. The block must stay as it is until
// the last question, or until keep.
func newHeaderText(block []byte) *headerText {
	h := &headerText{}
	for f := range mimeindex.HeaderFields(block) {
		if f.Name != nil {
			h.fields = append(h.fields, headerField{name: string(f.Name), raw: f.Value})
		}
	}
	return h
}

// keep makes the header independent of the block it came from.
func (h *headerText) keep() *headerText {
	for i := range h.fields {
		h.fields[i].raw = bytes.Clone(h.fields[i].raw)
	}
	return h
}

func (f *headerField) text() string {
	if !f.done {
		f.value, f.done = search.Fold(mimeindex.SearchText(f.name, f.raw)), true
		f.raw = nil
	}
	return f.value
}

// holds reports whether a field of that name holds the text ("" in any).
func (h *headerText) holds(name, text string) truth {
	for i := range h.fields {
		f := &h.fields[i]
		if strings.EqualFold(f.name, name) && (text == "" || strings.Contains(f.text(), text)) {
			return yes
		}
	}
	return no
}

// holdsAnywhere reports whether any field holds the text, its name included.
func (h *headerText) holdsAnywhere(text string) bool {
	for i := range h.fields {
		f := &h.fields[i]
		if strings.Contains(search.Fold(f.name)+": "+f.text(), text) {
			return true
		}
	}
	return false
}

// bodyText gives the text of a message's parts, decoded and folded. What
// cannot be decoded has no text; only a body that cannot be read is an error.
func (s *Selected) bodyText(ctx context.Context, id store.BlobID, index []byte) func() (string, error) {
	var text string
	var err error
	done := false
	return func() (string, error) {
		if !done {
			done = true
			text, err = s.readText(ctx, id, index)
		}
		return text, err
	}
}

func (s *Selected) readText(ctx context.Context, id store.BlobID, index []byte) (string, error) {
	body, err := s.user.Store.OpenBody(ctx, id)
	if err != nil {
		return "", err
	}
	defer body.Close()
	idx, err := mimeindex.Unmarshal(index)
	if err != nil {
		if idx, err = mimeindex.Parse(body); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	err = idx.Text(body, func(_ *mimeindex.Part, text string) error {
		b.WriteString(search.Fold(text))
		b.WriteByte('\n') // nothing is found across parts
		return ctx.Err()
	})
	return b.String(), err
}
