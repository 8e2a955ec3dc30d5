// Package config reads the provisioning file and checks the values that
// people give the box, wherever they give them: in the file, on the console,
// over the API. One rule for a hostname, an address or a password holds in all
// three places because it is written here.
//
// The checks return the value in its normal form, or an error whose text ends
// a sentence that begins with the field's name ("must be a name such as ...")
// and says what would be right.
//
// The provisioning file is TOML. It sets up a box without a person at it:
//
//	[box]
//	hostname = "mail.example.org"
//	timezone = "Europe/Berlin"
//	language = "de"                 # of the console: en, de, fr, es
//	keyboard = "de"                 # at its screen: us, uk, de, fr, es, ch
//	admin_password = "..."          # or admin_password_hash, see package password
//	[network]
//	mode = "dhcp"                   # or "static" with address, gateway, dns
//	[mail]
//	smart_host = ""                 # "host:port", smart_host_user, smart_host_password
//	allow_plaintext_login = false   # true only for tests
//	max_message_size = "50MiB"
//	undelete_days = 14              # for so long deleted mail can be brought back; 0: not at all
//	encrypt_store = true            # of a new box: mail on the data disk is unreadable without the state volume
//	[[domain]]
//	name = "example.org"
//	[[user]]
//	address = "ann@example.org"
//	name = "Ann Example"
//	password = "..."                # or password_hash
//	quota = "5GiB"                  # none: no limit
//	admin = false                   # true: receives postmaster mail
//	aliases = ["info@example.org"]
//	[[group]]
//	address = "all@example.org"
//	members = ["ann@example.org"]   # people, groups, addresses elsewhere
//
// An unknown key and a value that is not right are errors that name the line.
// A file is accepted whole or refused whole: ParseProvision reports all that is
// wrong with it at once, so that one correction is enough.
//
// The package reads no state and changes nothing.
package config
