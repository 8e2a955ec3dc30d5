// Package search is the full-text index of an account's mail.
//
// IMAP asks for substrings, not words (RFC 9051 section 6.4.4). The index
// knows which words occur in which messages, and a substring without a
// separator in it can only lie inside a word: so the words that contain it
// give exactly the messages that contain it, and no text is read. A substring
// over several words is narrowed to the messages that have all of them, and
// the text decides. [Hits] keeps the two apart.
//
// # What is a word
//
// Text is folded first (see [Fold]): compatibility decomposition and case
// folding, so that "STRASSE" finds "Straße" and half-width kana full-width
// ones. A word is then a run of letters, digits and marks. In scripts written
// without spaces, overlapping pairs of characters stand for words.
// Words longer than maxWord are cut into overlapping pieces.
//
// # What is not yet indexed
//
// Messages are indexed in the background, in the order of their ids. All up
// to the watermark are in the index; a query answers those after it as
// undecided, so that a search is exact at any moment and only slower for the
// newest mail. A message with more text than maxText is indexed as far as
// that and stays undecided where the index does not find it.
//
// # Layout
//
// The index of an account is a list of segments, each made once and never
// changed, and a manifest that names them. Small segments are merged into
// larger ones, eight at a time; messages that are gone drop out then. Until
// then their ids are answered too: the caller asks only for messages it has.
//
//	segment | 0           meta: documents, blocks
//	segment | 1           document ids, ascending, with a mark for incomplete ones
//	segment | 2 | block   words, sorted, each sharing a beginning with the one before,
//	                      with the length of its postings
//	segment | 3 | block   postings of the block's words: document numbers within the
//	                      segment as differences, with the fields where not body alone
//	0xffffffff            manifest: version, next segment, watermark, segments
//
// Every row begins with a version byte and a compression byte. The index
// holds nothing that could not be made anew from the mail: a damaged one is
// dropped and rebuilt.
package search
