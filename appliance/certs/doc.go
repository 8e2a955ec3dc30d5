// Package certs keeps the certificate that the mail and web servers show: at
// first one of the box's own small authority, made when the box first starts,
// so that mail is never served without TLS.
//
// # On disk
//
// Two files in one folder, mode 0600, each replaced whole by rename, so that a
// certificate and its key never part:
//
//	authority.pem  certificate and key of the box's own authority
//	server.pem     certificate and key of the servers
//
// All keys are ECDSA P-256. The server's key stays when its certificate is
// made anew, so that what clients or DNS pinned (RFC 6698, selector 1) holds.
// A file that is damaged is moved to NAME.bad and replaced: mail goes on with
// a warning to people rather than not at all.
//
// # Time
//
// The authority lives ten years, the certificate some thirteen months, which
// is what the strictest clients take, and is made anew thirty days before its
// end. The clock of a box may be wrong when it first starts. So nothing is
// dated before Config.Floor, which no right clock shows, validity begins well
// before the moment of signing, and a certificate that turns out to be dated
// wrongly once the clock is right is made anew.
package certs
