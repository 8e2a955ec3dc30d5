package indexer

import (
	"strings"

	"pillarbox/appliance/store/search"
)

// FieldOf is where the text of a header field is in the index.
func FieldOf(name string) search.Fields {
	switch strings.ToLower(name) {
	case "subject":
		return search.Subject
	case "from":
		return search.From
	case "to":
		return search.To
	case "cc":
		return search.Cc
	case "bcc":
		return search.Bcc
	}
	return search.Header
}
