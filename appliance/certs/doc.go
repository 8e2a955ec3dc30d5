// Package certs keeps the certificate that the mail and web servers show. It
// comes from one of three sources, as an administrator chooses:
//
//   - Own: the box's own small authority, made when the box first starts, so that
//     mail is never served without TLS.
//   - Public: an authority that programs know already, by ACME (RFC 8555).
//   - Imported: a certificate and its key that somebody brought.
//
// Whatever is chosen, there is always a certificate of the own authority too. It
// is shown while the chosen source has none that is valid, and to clients that ask
// (RFC 6066 section 3) for a name that only it covers, such as the box's name on
// the local network. A change is seen by the next handshake; nothing is restarted.
//
// # The public authority
//
// One name is asked for, the box's full name, and proved by HTTP-01 (RFC 8555
// section 8.3), which needs that name in the DNS and port 80 reachable from the
// Internet. The port is open only while an order is under way. A certificate is
// renewed when a third of its life is left, with the same key. What fails is told
// as a sentence in Info and tried again, later each time and at least once a day;
// meanwhile what there is stays in use, and mail waits for nothing. How often it
// failed survives a restart: authorities count failures.
//
// The client is golang.org/x/crypto/acme: one order for one name takes some two
// hundred lines with it, and this module has it already. CertMagic does more than
// the box has use for (DNS challenges, certificates on demand, shared storage, a
// cache and timers of its own that the rules for the fallback and for a wrong
// clock would have to work against) and brings ten modules along.
//
// # On disk
//
// Files in one folder, mode 0600, each replaced whole by rename, so that a
// certificate and its key never part:
//
//	authority.pem  certificate and key of the box's own authority
//	server.pem     certificate and key of the servers by the own authority
//	public.pem     certificates, the server's first, and key by the public authority
//	account.pem    key of the box's account with public authorities
//	public.json    what was ordered last, where, and how often it failed
//	imported.pem   certificates, the server's first, and key that were imported
//
// Keys made here are ECDSA P-256. The server's key stays when its certificate is
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
// wrongly once the clock is right is made anew. While the clock is plainly wrong
// nothing is ordered, and no certificate is held to have ended.
package certs
