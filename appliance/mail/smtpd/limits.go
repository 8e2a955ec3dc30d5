package smtpd

import "time"

// What a client may take of time and room. RFC 5321 section 4.5.3 has the
// least that has to be given.
const (
	// commandWait is how long a client may take for a command, from the end of
	// the one before to its line end (section 4.5.3.2.7 asks for 5 minutes).
	// It is for the whole line: a byte now and then does not extend it.
	commandWait = 5 * time.Minute
	// writeWait is how long a client may take to read a reply.
	writeWait = 2 * time.Minute
	// handshakeWait is how long a client may take for the TLS handshake after STARTTLS.
	handshakeWait = 20 * time.Second
	// bodyIdle is how long a client may send nothing within a message
	// (section 4.5.3.2.5 gives it 3 minutes for a block).
	bodyIdle = 3 * time.Minute
	// bodyRate in bytes a second and bodyGrace bound the whole transfer: after
	// the grace a client has to have kept up the rate on average. A modem
	// does; who sends a byte a minute to hold a connection does not. The grace
	// is no shorter than bodyIdle, which it would cut short.
	bodyRate  = 1 << 10
	bodyGrace = bodyIdle
	// bodyMax ends a transfer whatever its rate: 50 MiB in two hours is 7 KiB a second.
	bodyMax = 2 * time.Hour

	// maxCommand is the longest command line in bytes with its line end:
	// section 4.5.3.1.4 asks for 512, RFC 6531 and the other extensions in use
	// add some 700 for MAIL and RCPT.
	maxCommand = 2 << 10
	// maxAuthLine is the longest line of an AUTH exchange (RFC 4954 section 4).
	maxAuthLine = 12 << 10
	// maxSkipped is how much of an over-long command is read over before the
	// client is taken for something that does not speak SMTP.
	maxSkipped = 256 << 10
	// maxBodyLine is the longest line of a message, in bytes without its line
	// end. Section 4.5.3.1.6 gives senders 1000; newsletters in one line of
	// some hundred KiB are real, and are stored as they are.
	maxBodyLine = 1 << 20
	// maxDrained is how much of a message is read and thrown away after it was
	// refused, so that the client gets to see the reply.
	maxDrained = 64 << 20

	// softErrors and hardErrors are the errors a client may make without
	// delivering a message: beyond the first each error reply is held back for
	// tarpit, after the second the client is disconnected. Guessing addresses
	// and passwords becomes slow, a list with a few dead members does not
	// notice.
	softErrors = 10
	hardErrors = 20
	tarpit     = time.Second
	// maxIdleCommands are the commands that do nothing (NOOP, RSET, VRFY,
	// HELP, repeated EHLO) a client may send without delivering a message;
	// each one beyond counts as an error.
	maxIdleCommands = 100

	// inputBuffer holds the longest line of an AUTH exchange, and a TLS record
	// at a time of a message.
	inputBuffer = 16 << 10
)
