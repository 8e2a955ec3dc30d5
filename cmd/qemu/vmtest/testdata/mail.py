"""Python's own mail modules against a box.

mail.py send PORTS    sends to ann and bob: port 25, STARTTLS, TLS
mail.py read PORTS    reads what is there by IMAP and POP3, prints a digest of each
mail.py delete PORTS  deletes bob's first message by POP3

PORTS is JSON: the box's port to the one on loopback.
"""

import hashlib
import imaplib
import json
import poplib
import smtplib
import ssl
import sys
from email.message import EmailMessage

ANN, ANN_PASSWORD = "ann@example.org", "ann-has-a-password"
BOB, BOB_PASSWORD = "bob@example.org", "bob-has-another"
HOST = "127.0.0.1"

# The box made its certificate itself.
tls = ssl.create_default_context()
tls.check_hostname = False
tls.verify_mode = ssl.CERT_NONE


def message(subject, sender, to, size=0):
    m = EmailMessage()
    m["Subject"], m["From"], m["To"] = subject, sender, to
    m.set_content("Grüße aus Python\n.\n..two dots\n")
    if size:
        data = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(size // 32))
        m.add_attachment(data, maintype="application", subtype="octet-stream", filename="größe.bin")
    return m


def send(port):
    with smtplib.SMTP(HOST, port["25"]) as s:
        s.send_message(message("py port 25", "stranger@elsewhere.example", ANN))
        try:
            s.send_message(message("py relay", "stranger@elsewhere.example", "x@far.example"))
            sys.exit("a stranger's mail to a foreign domain was taken")
        except smtplib.SMTPRecipientsRefused as e:
            assert 500 <= e.recipients["x@far.example"][0] < 600, e
    with smtplib.SMTP(HOST, port["587"]) as s:
        try:
            s.ehlo()
            s.user, s.password = ANN, ANN_PASSWORD
            assert not s.has_extn("auth"), "AUTH is offered without TLS"
            s.auth("PLAIN", s.auth_plain)
            sys.exit("a password was taken without TLS")
        except smtplib.SMTPAuthenticationError as e:
            assert e.smtp_code == 538 or e.smtp_code == 530, e
        s.starttls(context=tls)
        s.login(ANN, ANN_PASSWORD)
        s.send_message(message("py starttls", ANN, "all@example.org"))
    with smtplib.SMTP_SSL(HOST, port["465"], context=tls) as s:
        try:
            s.login(BOB, "wrong")
            sys.exit("a wrong password was taken")
        except smtplib.SMTPAuthenticationError as e:
            assert e.smtp_code == 535, e
    with smtplib.SMTP_SSL(HOST, port["465"], context=tls) as s:
        s.login(BOB, BOB_PASSWORD)
        s.send_message(message("py tls, large", BOB, ANN, 2 << 20))


def digests(raw):
    """Subject and digest of a message as it is on the wire."""
    subject = next((l[9:] for l in raw.split(b"\r\n") if l.lower().startswith(b"subject: ")), b"")
    return subject.decode(), hashlib.sha256(raw).hexdigest()


def read(port):
    for user, password in (ANN, ANN_PASSWORD), (BOB, BOB_PASSWORD):
        by_imap, by_pop = [], []
        with imaplib.IMAP4_SSL(HOST, port["993"], ssl_context=tls) as c:
            c.login(user, password)
            assert c.select("INBOX", readonly=True)[0] == "OK"
            for n in c.search(None, "ALL")[1][0].split():
                parts = c.fetch(n, "(BODY.PEEK[])")[1]
                by_imap.append(digests(parts[0][1]))
        with imaplib.IMAP4(HOST, port["143"]) as c:
            assert "LOGINDISABLED" in c.capabilities, c.capabilities
            c.starttls(tls)
            c.login(user, password)
            c.select("INBOX", readonly=True)
            found = c.search(None, "SUBJECT", "starttls")[1][0].split()
            assert found, "SEARCH does not find what is there"
        p = poplib.POP3(HOST, port["110"])
        assert "STLS" in p.capa(), p.capa()
        p.stls(tls)
        p.user(user)
        p.pass_(password)
        assert len(p.uidl()[1]) == p.stat()[0]
        p.quit()
        p = poplib.POP3_SSL(HOST, port["995"], context=tls)
        p.user(user)
        p.pass_(password)
        for n in range(1, p.stat()[0] + 1):
            lines = p.retr(n)[1]
            by_pop.append(digests(b"\r\n".join(lines) + b"\r\n"))
            assert b"" in p.top(n, 0)[1], "TOP without a header's end"
        p.quit()
        assert sorted(by_imap) == sorted(by_pop), (by_imap, by_pop)
        for subject, digest in sorted(by_imap):
            print(user, digest, subject)


def delete(port):
    p = poplib.POP3_SSL(HOST, port["995"], context=tls)
    p.user(BOB)
    p.pass_(BOB_PASSWORD)
    p.dele(1)
    p.quit()


if __name__ == "__main__":
    {"send": send, "read": read, "delete": delete}[sys.argv[1]](json.loads(sys.argv[2]))
