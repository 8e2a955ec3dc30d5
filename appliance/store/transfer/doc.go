// Package transfer brings mail in from the formats other programs keep it in,
// and takes it out into them: mbox files (Thunderbird's trees of them
// included), Maildir and Maildir++, and folders of EML files.
//
// Import streams: a message in work is the most that is in memory, plus a
// digest a message already there. Dates, flags, keywords and folders are kept;
// folders known by another name elsewhere (Sent Items, Gesendet, Papierkorb)
// go to the mailbox with that special use. A message whose very bytes are in
// the target mailbox already is skipped, so that a run cut short is simply
// started again, and a second run adds what is new.
//
// What an import cannot read it names and passes over, mail of another format
// among the rest too: one broken file never ends a run of thousands. Line ends
// become CRLF, as mail has them on the wire.
//
// An mbox is a mailbox, also one with a single message: so are those of mail
// programs, and of an export. But programs that save messages one by one write
// files of this form as well, and a mailbox for each of a thousand would be of no
// use. So where a folder has at least looseFiles of them, each with one message
// and none that is empty, of an export or beside an index of Thunderbird's, they
// are the folder's messages, as EML files are.
//
// Export writes what import reads back: a mailbox as mboxrd, as Maildir++ or
// as EML files with their dates.
package transfer
