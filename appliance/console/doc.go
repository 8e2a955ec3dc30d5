// Package console is what a person sees on the box's screen and serial line:
// the first-boot questions, and after them a page that says how the box is.
//
// The package draws and asks; it knows nothing and keeps nothing. What it
// shows comes from a [Backend], what the person decides goes to it, and
// [Sockets] is the one that talks to the daemons over their sockets, with no
// way in that the web and mailctl do not have as well.
//
// Invariants:
//   - Everything fits 80 columns by 24 rows. A serial line that reports no
//     size is taken for one of that size.
//   - Nothing is written before the summary is confirmed, so that a power cut
//     during the questions leaves a box that asks them again.
//   - Answers survive going back, and an answer that is refused.
//   - What loses mail or cuts people off asks back and says what it is; Enter alone
//     is no yes.
//   - A daemon that does not answer is a line on the page, never a dead console.
//
// All text goes through a catalogue (see [Catalogue]): the English sentence
// is the key, the other languages are files in catalogues/; what daemons report
// is translated by those in reports/ (see [Catalogue.Report]).
package console
