// Package store keeps everything of the mail side in one Badger database:
// accounts, mailboxes, messages, bodies, the outbound queue, and the small
// documents of other packages. It knows no protocol.
package store
