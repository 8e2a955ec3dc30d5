package mimeindex

import "strings"

// SearchText is a header field's text to search in: the value unfolded and
// decoded, and of a field with addresses these once more in the form people
// type them, where comments or blanks are in the way (RFC 5322 section 3.2.2).
func SearchText(name string, value []byte) string {
	text := Decode(Unfold(value))
	switch strings.ToLower(name) {
	case "from", "sender", "reply-to", "to", "cc", "bcc":
	default:
		return text
	}
	var more []byte
	for _, a := range ParseAddresses(value) {
		if addr := a.Addr(); addr != "" && !strings.Contains(text, addr) {
			more = append(append(more, '\n'), addr...)
		}
	}
	return text + string(more)
}
