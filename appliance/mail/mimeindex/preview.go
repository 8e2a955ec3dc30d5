package mimeindex

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How much of a body is looked at for the preview, bytes: enough for 200
// characters after what is quoted, and in HTML, after the styles.
const (
	previewRaw  = 16 << 10
	previewHTML = 64 << 10
	// previewTry is how much of that is tried first, for it mostly does, and
	// previewMore times as much then.
	previewTry  = 2 << 10
	previewMore = 4
)

// previewer makes the preview (RFC 8970) of the first text part that shows
// anything.
type previewer struct {
	text string
	part *Part
	raw  []byte
	most int // of raw
}

func (p *previewer) begin(part *Part) {
	p.part, p.raw = nil, p.raw[:0]
	if p.text == "" && part.Is("text", "") && !part.IsAttachment() {
		p.part, p.most = part, previewRaw
		if part.Is("text", "html") {
			p.most = previewHTML
		}
	}
}

func (p *previewer) write(b []byte) {
	if p.part != nil {
		p.raw = append(p.raw, b[:min(len(b), p.most-len(p.raw))]...)
	}
}

func (p *previewer) end() {
	if p.part == nil {
		return
	}
	defer func() { p.part = nil }()
	for n := previewTry; n < len(p.raw); n *= previewMore {
		whole := bytes.LastIndexByte(p.raw[:n], '\n') + 1 // lines
		if s := oneLine(partText(p.part, p.raw[:whole]), false); utf8.RuneCountInString(s) == maxPreview {
			p.text = s
			return
		}
	}
	p.text = shorten(partText(p.part, p.raw))
}

// partText is the text of a part's raw body.
func partText(part *Part, raw []byte) string {
	text := toUTF8(part.Charset(), string(decodeTransfer(part.Encoding, raw)))
	if part.Is("text", "html") {
		text = htmlText(text)
	}
	return text
}

// shorten makes one line of at most maxPreview characters. Quoted lines do not
// tell messages apart and go, unless there are no others.
func shorten(text string) string {
	if s := oneLine(text, false); s != "" {
		return s
	}
	return oneLine(text, true)
}

func oneLine(text string, quotes bool) string {
	var b strings.Builder
	n, space := 0, false
	for _, line := range strings.Split(text, "\n") {
		if !quotes && strings.HasPrefix(line, ">") {
			continue
		}
		for _, r := range line {
			if unicode.IsSpace(r) || unicode.IsControl(r) || !unicode.IsGraphic(r) {
				space = n > 0
				continue
			}
			if space {
				b.WriteByte(' ')
				space = false
				if n++; n == maxPreview {
					return strings.TrimRight(b.String(), " ")
				}
			}
			b.WriteRune(r)
			if n++; n == maxPreview {
				return b.String()
			}
		}
		space = n > 0
	}
	return b.String()
}
