// Package account is the directory of the box: its domains, people, aliases
// and groups, the administrator's credential and the settings of the mail
// service. It answers the questions of the mail path (whose is this address,
// is this the password, may this person send as that) and implements the part
// of the administration API that changes any of it.
//
// # Invariants
//
//   - An address is one thing: a person, an alias or a group.
//   - Every address that is not elsewhere lies in a hosted domain.
//   - Once the box is set up there is at least one person who receives the mail
//     for postmaster (RFC 5321 section 4.5.1).
//   - A change is durable before a method returns nil, and visible to every
//     question asked after that.
//   - A person whose password was changed, of whom an app password was
//     removed, who was disabled or removed has
//     User.Revoked closed: servers end such sessions.
//
// # On disk
//
// Documents in the store, each a version byte (1) and JSON:
//
//	store.TableDomain   name in ASCII form    domainRecord
//	store.TableUser     address.Address.Key   userRecord
//	store.TableAlias    address.Address.Key   aliasRecord
//	store.TableGroup    address.Address.Key   groupRecord
//	store.TableSetting  "mail"                Settings
//	store.TableSetting  "admin"               adminRecord
//
// The whole directory is kept in memory as well, built when it is opened and
// changed after each commit, so that checking a recipient reads no disk. Ten
// thousand people take some ten megabytes.
//
// # Failure
//
// When a commit fails the memory is read anew from the store, which alone
// knows what is. Changes ignore the caller's cancellation: they take
// milliseconds, and a change that was cut short is harder to explain than one
// that was made.
//
// # Passwords
//
// A password is kept as an argon2id hash (package password) and, for
// SCRAM-SHA-256 (RFC 7677), as StoredKey and ServerKey. See credential.go for
// how many are hashed at once, and cache.go for what spares a client that logs
// in every few seconds the price of it. A person may have app passwords beside
// it, see apps.go.
package account
