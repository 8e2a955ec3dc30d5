package mimeindex

import "pillarbox/appliance/store/store"

// Facts are what the store keeps ready of the message.
func (x *Index) Facts() (store.Facts, error) {
	raw, err := x.MarshalBinary()
	if err != nil {
		return store.Facts{}, err
	}
	e := x.Envelope()
	f := store.Facts{
		Size: x.Size, References: x.References, Subject: BaseSubject(e.Subject), Sent: e.Sent(),
		Preview: x.Preview, Index: raw, Header: x.Header,
	}
	if ids := messageIDs(e.MessageID); len(ids) > 0 {
		f.MessageID = ids[0]
	}
	return f, nil
}

// Indexer is a Parser whose result is the facts: what a delivery writes the
// message to while it is spooled.
type Indexer struct{ *Parser }

// NewIndexer makes an indexer for one message.
func NewIndexer() Indexer { return Indexer{NewParser()} }

// Facts ends the message.
func (x Indexer) Facts() (store.Facts, error) {
	index, err := x.Finish()
	if err != nil {
		return store.Facts{}, err
	}
	return index.Facts()
}
