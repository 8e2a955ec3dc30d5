package mimeindex

import (
	"strings"

	"golang.org/x/net/html"
)

// htmlText is what a reader sees of HTML: no tags, no scripts or styles, blocks
// apart by line breaks.
func htmlText(s string) string {
	var b strings.Builder
	hidden := ""
	z := html.NewTokenizer(strings.NewReader(s))
	z.SetMaxBuf(1 << 20)
	for {
		switch z.Next() {
		case html.ErrorToken: // the end, or one tag of a megabyte
			return b.String()
		case html.TextToken:
			if hidden == "" {
				b.Write(z.Text())
			}
		case html.StartTagToken:
			raw, _ := z.TagName()
			switch name := string(raw); name {
			case "script", "style", "head", "title", "template", "noscript":
				if hidden == "" {
					hidden = name
				}
			case "p", "br", "div", "tr", "li", "table", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr", "pre", "ul", "ol":
				b.WriteByte('\n')
			case "td", "th":
				b.WriteByte(' ')
			case "body":
				hidden = ""
			}
		case html.SelfClosingTagToken:
			if raw, _ := z.TagName(); string(raw) == "br" {
				b.WriteByte('\n')
			}
		case html.EndTagToken:
			raw, _ := z.TagName()
			if string(raw) == hidden {
				hidden = ""
			}
		}
	}
}
