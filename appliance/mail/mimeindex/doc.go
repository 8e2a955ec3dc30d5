// Package mimeindex reads a message once and keeps what mail clients ask for
// again and again: its envelope, its tree of MIME parts with byte offsets, the
// facts for threading and sorting, and a preview. It also turns parts into
// searchable text.
//
// The reader is lenient. Content is never an error: whatever bytes arrive, the
// result is a tree that can be served. Strict parsers make one bad message
// hide its header, its structure or a whole mailbox; this one skips what it
// cannot read and goes on.
//
// Invariants of an Index made by Parse or Finish:
//   - Offsets count from the first byte of the message. The header of a part
//     is [HeaderOffset, BodyOffset), with the empty line that ends it; its body
//     is [BodyOffset, BodyOffset+BodySize), without the line break before a
//     boundary. A part lies within the body of the part that holds it, and
//     parts do not overlap.
//   - A part has Children if and only if its type is multipart, and an Embedded
//     message if and only if its type is message/rfc822 or message/global. A
//     multipart without a boundary or without parts is turned into text/plain,
//     so that its text is seen; what lies deeper than maxDepth, or comes after
//     maxParts, is application/octet-stream or left in the part around it.
//   - The root and every Embedded message have an Envelope, other parts have
//     none.
//   - The result does not depend on how the message was cut into writes.
//
// A header goes on to the first empty line, or to a boundary of a multipart
// around it. Lines in it that are no fields are skipped. Where no line at all
// is a field, there is no header and the body begins at once; where a message
// ends in such lines without an empty line, they are its body.
//
// Lines end in LF; a CR before it belongs to the line break. A CR alone is an
// ordinary byte. Memory is bounded by the constants of this package and does
// not grow with the size of bodies, lines or the number of parts.
//
// # The stored form
//
// MarshalBinary writes, all numbers being unsigned LEB128:
//
//	version     1 byte, 1
//	size        bytes of the message
//	lines       line feeds of the message
//	length      bytes of the envelope that follows
//	envelope    of the root
//	part        the root
//
// An envelope is Date, Subject, In-Reply-To and Message-ID as strings, then for
// each of From, Sender, Reply-To, To, Cc, Bcc the number of addresses; then the
// addresses in that order. An address is a byte with its kind (bits 0-1) and
// which of Name (bit 2) and Route (bit 3) follow, then Mailbox and Host where
// its kind has them, Name, Route.
//
// A part is a number with bits for the fields that follow, then the distance
// of its header from the end of the part before it (or from the beginning of
// the body around it), the sizes of header and body, the lines of the body,
// then the fields. Children follow their number; an embedded message is its
// envelope and its part.
//
// A string is its length times two, and its bytes; or one more than twice its
// place in the dictionary of common strings, which may grow at its end only.
package mimeindex
