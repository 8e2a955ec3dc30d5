// Package appliance is the library behind Pillarbox's programs. It holds no
// code of its own; its rooms are the packages below it:
//
//	mail     how mail moves: protocols in, delivery, queue, routes out
//	store    what is kept: Badger, bodies, search, backup, import and export
//	box      the machine: services, disks, network, clock, power, health
//	api      the administration APIs: types, server glue, clients; no logic
//	web      webmail and administration pages
//	console  the screens of the setup console
//	config   typed settings and the provisioning file
//	certs    certificates: by the box's own authority, by public ones (ACME), imported
//
// Imports go one way: mail imports store; web and console import api; nobody
// imports mail but cmd/maild and the server side of web; box and mail never
// import each other; store imports no protocol. The test in this package
// holds the code to it.
package appliance
