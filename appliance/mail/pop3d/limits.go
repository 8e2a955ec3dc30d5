package pop3d

import "time"

// What a client may take of time and room.
const (
	// loginWait is the time from the connection to a login. A person who types
	// it by hand manages; who only holds a connection has to come again.
	loginWait = 2 * time.Minute
	// idleWait is the autologout timer after login, for the whole of a command
	// line; RFC 1939 section 3 asks for 10 minutes at least.
	idleWait = 10 * time.Minute
	// writeWait is how long a client may take for outputBuffer bytes of an answer.
	writeWait = 2 * time.Minute
	// handshakeWait is how long a client may take for the TLS handshake after STLS.
	handshakeWait = 20 * time.Second

	// maxLine is the longest line in bytes. Commands are 255 at most (RFC 2449
	// section 4); a response of AUTH PLAIN may have three long strings in base64.
	maxLine = 4 << 10
	// maxSkipped is how much of an over-long line is read over before the
	// client is taken for something that does not speak POP3.
	maxSkipped = 64 << 10
	// maxArgument is the longest login or password.
	maxArgument = 1 << 10

	// failureDelay holds back the answer to a wrong login, on top of the
	// waits of guard.Logins, and maxFailures ends the connection.
	failureDelay = 2 * time.Second
	maxFailures  = 3
	// softErrors and hardErrors are the commands a client may get wrong, after
	// the login in a row, since some ask for messages that they have deleted:
	// beyond the first each answer is held back for errorDelay, after the
	// second the client is disconnected.
	softErrors = 10
	hardErrors = 20
	errorDelay = time.Second

	// maxSessions are the sessions of one account at a time: some devices that
	// poll at the same moment, but not a snapshot of a large INBOX for each
	// connection an address may open.
	maxSessions = 10

	inputBuffer  = maxLine
	outputBuffer = 16 << 10
	// headBuffer is how much of a message is looked at for its header before
	// it is sent; longer headers are sent as they are.
	headBuffer = 64 << 10
)
