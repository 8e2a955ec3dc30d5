package search

import "slices"

// Batch gathers documents for Index.Apply. It is not for concurrent use.
type Batch struct {
	docs  []document
	words map[string][]posting
	size  int
	text  int // folded bytes of the present document
}

const (
	// maxText is how much folded text of one message is indexed, bytes. More
	// is a log or a dump: it stays searchable by reading it.
	maxText = 4 << 20
	// fullBatch is the memory, bytes, at which a batch should be applied.
	fullBatch = 32 << 20
	// postingCost and wordCost estimate what an entry takes in memory.
	postingCost = 8
	wordCost    = 64
)

// NewBatch makes an empty batch.
func NewBatch() *Batch { return &Batch{words: map[string][]posting{}} }

// Len is the number of documents.
func (b *Batch) Len() int { return len(b.docs) }

// Full tells that the batch should be applied before it grows further.
func (b *Batch) Full() bool { return b.size >= fullBatch }

// Begin starts a document. Ids must ascend.
func (b *Batch) Begin(id uint64) {
	b.docs = append(b.docs, document{id: id})
	b.text = 0
}

// Incomplete marks the present document as one that has text the index was
// not given, as when a part could not be decoded.
func (b *Batch) Incomplete() { b.docs[len(b.docs)-1].incomplete = true }

// Add gives text of the present document. A word does not reach over the end
// of one call.
func (b *Batch) Add(field Fields, text string) {
	if b.text >= maxText {
		b.Incomplete()
		return
	}
	text = Fold(text)
	if b.text+len(text) > maxText {
		text = text[:boundary(text, maxText-b.text)]
		b.Incomplete()
	}
	b.text += len(text)
	doc := uint32(len(b.docs) - 1)
	words(text, func(w string) {
		list, known := b.words[w]
		if n := len(list); n > 0 && list[n-1].doc == doc {
			list[n-1].fields |= field
			return
		}
		if !known {
			// A copy: the word must not hold the whole text in memory.
			w = string(append([]byte(nil), w...))
			b.size += wordCost + len(w)
		}
		b.words[w] = append(slices.Grow(list, 1), posting{doc, field})
		b.size += postingCost
	})
}
