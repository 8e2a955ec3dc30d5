// Package blob turns a message body into rows and back: it cuts, compresses,
// checks and reads. It knows nothing of a database; the store gives it a
// function that keeps a row and one that fetches it.
//
// # Layout
//
// A body of n bytes is cut into chunks, each compressed by itself:
//
//	chunk 0     the header block with its blank line, at most HeadMax bytes;
//	            absent where the body begins with its blank line
//	chunk 1..   what follows, ChunkSize bytes each, the last one shorter
//
// The header block stands alone so that a message's header can be read (and
// is kept) without the rest. Where a chunk begins follows from the body's
// Meta, so that any range can be read by fetching the chunks it touches.
//
// A chunk row is
//
//	version (1) | method (1: 0 as is, 1 zstd) | xxHash64 of the bytes as written (8) | data
//
// and the Meta row is
//
//	version (1) | method-independent size, head, chunk size (uvarint each) | SHA-256 (32)
//
// # Integrity
//
// Every read compares the chunk's hash, so that a range read is checked as
// well as a whole one; a reader that goes from the first byte to the last
// also compares the SHA-256 of the whole. What does not compare is ErrDamaged
// and stays the matter of that one chunk: the others read as before.
package blob
