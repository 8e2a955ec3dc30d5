// Package wire is the one way in to the box's programs: HTTP with JSON bodies
// over a unix socket. It holds what the administration APIs share, so that
// they differ in their types alone: the error that travels, a client that
// dials a socket, strict decoding of requests, and a server with time limits.
//
// A request that fails is answered with a 4xx or 5xx status and the body
//
//	{"error":{"code":"invalid","field":"hostname","message":"..."}}
//
// which the client turns back into an *Error. The message is a sentence meant
// for a person; Code is for programs and does not change between versions.
//
// The package has no knowledge of any API and decides nothing about who may
// call: the mode and owner of the socket file do.
package wire
