// A full round of ImapFlow, by two connections: one with QRESYNC, compressed,
// over TLS, and one with STARTTLS that has neither. Arguments: a JSON object
// with the ports by their names, the file with the authority's certificate,
// user, password, and a file with the message "made here".
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { once } = require('node:events');
const { ImapFlow } = require('imapflow');

const [ports, ca, user, pass, eml] = process.argv.slice(2);
const port = JSON.parse(ports);
const made = fs.readFileSync(eml);

async function connect(more) {
    const client = new ImapFlow({
        host: 'localhost', port: port.imaps, secure: true, tls: { ca: fs.readFileSync(ca) },
        auth: { user, pass }, logger: false, socketTimeout: 300000, ...more
    });
    // The call under way fails as well: that is enough.
    client.on('error', () => {});
    await client.connect();
    return client;
}

// inMailbox runs what needs a mailbox to be selected.
async function inMailbox(client, path, work) {
    const lock = await client.getMailboxLock(path);
    try {
        return await work();
    } finally {
        lock.release();
    }
}

const subjects = list => list.map(m => m.envelope.subject);
const all = client => client.fetchAll('1:*', { uid: true, flags: true, envelope: true });

async function round(client) {
    // List, with counts.
    const list = await client.list({ statusQuery: { messages: true, unseen: true, highestModseq: true } });
    assert.deepEqual(list.map(m => m.path).sort(), ['Archive', 'Drafts', 'INBOX', 'Junk', 'Sent', 'Trash', 'Work']);
    assert.equal(list.find(m => m.specialUse === '\\Sent').path, 'Sent');
    assert.equal(list.find(m => m.path === 'INBOX').status.messages, 4);
    assert.equal(list.find(m => m.path === 'INBOX').status.unseen, 3);
    assert.equal((await client.mailboxCreate(['Work', 'Grüße'])).path, 'Work/Grüße');
    await client.mailboxSubscribe('Work/Grüße');
    assert.ok((await client.list()).find(m => m.path === 'Work/Grüße').subscribed);

    const started = await inMailbox(client, 'INBOX', async () => {
        // Fetch.
        const messages = await client.fetchAll('1:*', {
            uid: true, flags: true, envelope: true, bodyStructure: true, internalDate: true, size: true, source: true, threadId: true, headers: ['subject']
        });
        assert.deepEqual(subjects(messages), ['one', 'two', 'three', 'four']);
        const [one] = messages;
        assert.equal(one.source.length, one.size);
        assert.equal(one.envelope.from[0].name, 'Böb');
        assert.equal(one.bodyStructure.type, 'multipart/mixed');
        assert.equal(one.bodyStructure.childNodes.length, 2);
        assert.ok(one.emailId);
        assert.equal(one.headers.toString().trim(), 'Subject: one');
        const { meta, content } = await client.download(String(one.uid), '2', { uid: true });
        assert.equal(meta.filename, 'data.bin');
        const chunks = [];
        for await (const chunk of content) {
            chunks.push(chunk);
        }
        assert.deepEqual([...Buffer.concat(chunks)], [...Array(48).keys()]);

        // Search.
        assert.deepEqual(await client.search({ subject: 'two' }, { uid: true }), [2]);
        assert.deepEqual(await client.search({ body: 'end of three' }), [3]);
        assert.deepEqual(await client.search({ seen: false, not: { subject: 'one' } }), [2, 3]);
        assert.deepEqual(await client.search({ or: [{ subject: 'one' }, { subject: 'four' }] }), [1, 4]);
        assert.deepEqual(await client.search({ text: 'Grüße' }), [1, 2, 3, 4]);
        assert.deepEqual(await client.search({ subject: 'nothing of the kind' }), []);

        // Flag, copy, move, delete, append.
        assert.ok(await client.messageFlagsAdd('1', ['\\Seen', '\\Flagged', '$Label1']));
        assert.ok(await client.messageFlagsRemove('4', ['\\Seen'], { uid: true }));
        assert.deepEqual([...(await client.messageCopy('1', 'Work')).uidMap], [[1, 1]]);
        assert.deepEqual([...(await client.messageMove('2', 'Work/Grüße', { uid: true })).uidMap], [[2, 1]]);
        assert.ok(await client.messageDelete({ subject: 'three' }));
        const appended = await client.append('INBOX', made, ['\\Answered'], new Date('2026-03-02T11:00:00Z'));
        assert.equal(appended.uid, 5);
        const messagesNow = await all(client);
        assert.deepEqual(subjects(messagesNow), ['one', 'four', 'made here']);
        assert.deepEqual([...messagesNow[0].flags].filter(f => f !== '\\Recent').sort(), ['$Label1', '\\Flagged', '\\Seen']);
        return { uidValidity: client.mailbox.uidValidity, highestModseq: client.mailbox.highestModseq };
    });
    const status = await client.status('INBOX', { messages: true, uidNext: true, unseen: true, highestModseq: true });
    assert.equal(status.messages, 3);
    assert.equal(status.uidNext, 6);
    assert.ok(status.highestModseq >= started.highestModseq);
    const quota = await client.getQuota('INBOX');
    assert.equal(quota.storage.limit, 2 ** 30);
    return status;
}

// told lets the other client change things while this one has the mailbox
// selected and waits in IDLE.
async function told(client, other) {
    await inMailbox(client, 'INBOX', async () => {
        const idle = client.idle();
        const exists = once(client, 'exists');
        await other.append('INBOX', made, ['\\Flagged']);
        assert.equal((await exists)[0].count, 4);

        const flags = once(client, 'flags');
        await inMailbox(other, 'INBOX', () => other.messageFlagsAdd('1', ['\\Answered']));
        const [update] = await flags;
        assert.equal(update.seq, 1);
        assert.ok(update.flags.has('\\Answered'));

        const gone = once(client, 'expunge');
        await inMailbox(other, 'INBOX', () => other.messageDelete({ flagged: true, subject: 'made here' }, { uid: true }));
        const [expunged] = await gone;
        // With QRESYNC it is told of UIDs.
        assert.deepEqual([expunged.vanished, expunged.uid], [true, 6]);
        await client.noop();
        await idle;
    });
}

// resync is a client that comes back and asks what changed since it was there.
async function resync(since, other) {
    await inMailbox(other, 'INBOX', async () => {
        await other.messageFlagsAdd('5', ['\\Flagged'], { uid: true });
        await other.messageDelete('4', { uid: true });
    });
    await other.append('INBOX', made, []);
    const client = await connect({ qresync: true });
    const vanished = [], changed = [];
    client.on('expunge', e => vanished.push(e));
    client.on('flags', e => changed.push(e));
    await client.mailboxOpen('INBOX', { changedSince: since.highestModseq, uidValidity: since.uidValidity });
    assert.deepEqual(vanished.map(e => [e.uid, e.earlier]), [[4, true]]);
    assert.deepEqual(changed.map(e => e.uid), [5, 7]);
    const later = await client.fetchAll('1:*', { uid: true, envelope: true }, { uid: true, changedSince: since.highestModseq });
    assert.deepEqual(later.map(m => m.uid), [5, 7]);
    await client.logout();
}

async function main() {
    const client = await connect({ qresync: true });
    const other = await connect({ port: port.imap, secure: false, doSTARTTLS: true, disableCompression: true });
    assert.ok(client.enabled.has('QRESYNC') && !other.enabled.has('QRESYNC'));
    assert.ok(client._deflate, 'no compression');
    await round(client);
    await told(client, other);
    const { uidValidity, highestModseq } = await client.mailboxOpen('INBOX');
    await client.logout();
    await resync({ uidValidity, highestModseq }, other);
    assert.equal((await other.mailboxRename('Work/Grüße', 'Work/Renamed')).newPath, 'Work/Renamed');
    await other.logout();
    await assert.rejects(connect({ auth: { user, pass: 'guess' } }), err => err.authenticationFailed);
}

// It does not wait for the connection that was refused.
main().then(() => process.exit(0), err => {
    console.error(err);
    process.exit(1);
});
