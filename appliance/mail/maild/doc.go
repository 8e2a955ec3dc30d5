// Package maild puts the mail service together: the store, the directory of
// people, the delivery pipeline, the queue, the protocol servers and the
// administration API, in one process.
//
// Invariants:
//   - A port is open only while everything behind it works; Serving is said
//     once all of them are.
//   - Things start in the order they need each other and stop in the reverse
//     one: first no new connections, then goodbyes to clients, while mail on its
//     way out comes to its end, then the API, and the store at last. What was
//     answered with 250 or OK before is durable by then.
//   - No certificate of any source holds up mail: the box's own authority stands in.
//   - The provisioning file is removed once all of it is applied, and applied
//     again from its beginning where that was cut short.
//
// On disk: DATA/store is the store; STATE/certs the certificates; STATE/store.key
// the key of an encrypted store.
package maild
