package mimeindex

import (
	"fmt"
	"io"
)

// maxText is how much of one part is searched, bytes.
const maxText = 8 << 20

// Text gives the text of each part that people read, decoded to UTF-8, HTML
// without its tags, and the names of attachments. r holds the message. It
// stops with the first error of r or of emit.
func (x *Index) Text(r io.ReaderAt, emit func(p *Part, text string) error) error {
	for _, p := range x.Root.All() {
		if name := p.Filename(); name != "" {
			if err := emit(p, name); err != nil {
				return err
			}
		}
		if !p.Is("text", "") || p.BodySize == 0 {
			continue
		}
		raw := make([]byte, min(p.BodySize, maxText))
		n, err := r.ReadAt(raw, p.BodyOffset)
		if err != nil && err != io.EOF {
			return fmt.Errorf("mimeindex: text: %w", err)
		}
		if err := emit(p, partText(p, raw[:n])); err != nil {
			return err
		}
	}
	return nil
}
