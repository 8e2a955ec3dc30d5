// Fetches all of the INBOX with all that ImapFlow parses, each message into a
// file of a folder. Arguments: the port of IMAPS, the file with the authority's
// certificate, user, password, the folder.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { ImapFlow } = require('imapflow');

const [port, ca, user, pass, folder] = process.argv.slice(2);

async function main() {
    const client = new ImapFlow({
        host: 'localhost', port, secure: true, tls: { ca: fs.readFileSync(ca) }, auth: { user, pass }, logger: false, socketTimeout: 300000
    });
    await client.connect();
    await client.mailboxOpen('INBOX');
    const query = { uid: true, flags: true, envelope: true, bodyStructure: true, internalDate: true, size: true, source: true, headers: true };
    for await (const m of client.fetch('1:*', query)) {
        if (!m.envelope || !m.bodyStructure || m.source.length !== m.size) {
            throw new Error(`message ${m.uid}: ${JSON.stringify(m.bodyStructure)}, ${m.source.length} bytes of ${m.size}`);
        }
        fs.writeFileSync(path.join(folder, String(m.uid)), m.source);
    }
    await client.logout();
}

main().catch(err => {
    console.error(err);
    process.exit(1);
});
