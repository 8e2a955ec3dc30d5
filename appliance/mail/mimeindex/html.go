package mimeindex

import (
	"strings"

	"golang.org/x/net/html"
)

// htmlText is what a reader sees of HTML: no tags, no scripts or styles, blocks
// apart by line breaks, what images show in words.
func htmlText(s string) string {
	var b strings.Builder
	hidden := "" // the element whose text is not shown
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		switch z.Next() {
		case html.ErrorToken: // the end
			return b.String()
		case html.TextToken:
			if hidden == "" {
				b.Write(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			raw, attributes := z.TagName()
			name := string(raw)
			if name == "body" || hidden == "head" && !inHead(name) {
				hidden = "" // the head's end was left out, as may be (HTML section 13.1.2.4)
			}
			switch name {
			case "script", "style", "head", "title", "template", "noscript":
				if hidden == "" {
					hidden = name
				}
			case "p", "br", "div", "tr", "li", "table", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr", "pre", "ul", "ol":
				b.WriteByte('\n')
			case "td", "th":
				b.WriteByte(' ')
			case "img":
				for attributes && hidden == "" {
					var key, value []byte
					if key, value, attributes = z.TagAttr(); string(key) == "alt" && len(value) > 0 {
						b.WriteByte(' ')
						b.Write(value)
						b.WriteByte(' ')
					}
				}
			}
		case html.EndTagToken:
			raw, _ := z.TagName()
			if string(raw) == hidden {
				hidden = ""
			}
		}
	}
}

// inHead reports whether an element belongs into a head; any other ends it.
func inHead(name string) bool {
	switch name {
	case "base", "basefont", "bgsound", "link", "meta", "noscript", "object", "script", "style", "template", "title", "xml":
		return true
	}
	return strings.Contains(name, ":") // o:p and the like of office programs
}
