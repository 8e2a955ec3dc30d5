"""A full round of Python's imaplib, poplib and smtplib.

Arguments: a JSON object with the ports by their names, the file with the
authority's certificate, a user, the password, and a file with the message
"made here". The mailbox Round is the script's own.
"""
import imaplib
import json
import poplib
import smtplib
import ssl
import sys

port, ca, user, password, eml = json.loads(sys.argv[1]), *sys.argv[2:]
trust = ssl.create_default_context(cafile=ca)
message = open(eml, "rb").read()


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


def numbers(answer):
    return [int(n) for n in ok(answer)[0].split()]


def imap(starttls):
    if starttls:
        m = imaplib.IMAP4("localhost", port["imap"], timeout=300)
        assert "LOGINDISABLED" in m.capabilities, m.capabilities
        ok(m.starttls(trust))
        ok(m.authenticate("PLAIN", lambda _: b"\0%s\0%s" % (user.encode(), password.encode())))
    else:
        m = imaplib.IMAP4_SSL("localhost", port["imaps"], ssl_context=trust, timeout=300)
        ok(m.login(user, password))
    return m


def by_imap():
    m, other = imap(False), imap(True)
    assert any(b"INBOX" in line for line in ok(m.list()))
    ok(m.create("Round"))
    for i in range(5):
        text = "From: a%d@example.org\r\nSubject: round %d\r\n\r\nbody number %d\r\n" % (i, i, i)
        ok(m.append("Round", r"(\Seen)" if i % 2 else None, None, text.encode()))
    assert ok(m.select("Round")) == [b"5"]
    ok(other.select("Round"))
    assert numbers(m.search(None, "UNSEEN")) == [1, 3, 5]
    assert numbers(m.search(None, "BODY", '"number 3"')) == [4]
    assert numbers(m.sort("(REVERSE SUBJECT)", "UTF-8", "ALL")) == [5, 4, 3, 2, 1]
    assert len(ok(m.thread("REFERENCES", "UTF-8", "ALL"))[0]) > 0
    got = ok(m.fetch("2", "(FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])"))
    assert b"body number 1" in got[0][1], got

    # What one does, the other is told.
    ok(m.store("1:2", "+FLAGS", r"(\Flagged $Keyword)"))
    ok(other.noop())
    assert len(other.response("FETCH")[1]) == 2
    ok(m.copy("1", "INBOX"))
    ok(m.uid("MOVE", "2", "Trash"))
    ok(m.store("1", "+FLAGS", r"\Deleted"))
    assert ok(m.expunge())[-1] == b"1"
    ok(other.noop())
    assert other.response("EXPUNGE")[1] == [b"2", b"1"]
    ok(other.store("1", "+FLAGS", r"\Answered"))
    ok(other.append("Round", None, None, message))
    ok(m.noop())
    assert m.response("FETCH")[1] == [rb"1 (FLAGS (\Answered))"]
    assert numbers(m.search(None, "ANSWERED")) == [1]
    got = ok(m.fetch("4", "(BODY.PEEK[])"))
    assert got[0][1] == message, got
    ok(m.close())
    assert ok(m.status("Round", "(MESSAGES)")) == [b"Round (MESSAGES 4)"]

    # In UTF-8, once both sides have agreed on it.
    ok(m.enable("UTF8=ACCEPT"))
    ok(m.create('"Grüße"'))
    assert any("Grüße".encode() in line for line in ok(m.list()))
    ok(m.append('"Grüße"', None, None, message))
    ok(m.select('"Grüße"'))
    assert numbers(m.search(None, 'TEXT "Grüße"')) == [1]
    ok(m.close())
    ok(m.delete('"Grüße"'))

    ok(other.unselect())
    ok(m.rename("Round", "Renamed"))
    ok(m.subscribe("Renamed"))
    assert any(b"Renamed" in line for line in ok(m.lsub()))
    assert m.select("Round")[0] == "NO"
    m.logout()
    other.logout()
    try:
        imaplib.IMAP4_SSL("localhost", port["imaps"], ssl_context=trust, timeout=300).login(user, "guess")
        sys.exit("a wrong password was taken")
    except imaplib.IMAP4.error as e:
        assert "AUTHENTICATIONFAILED" in str(e), e


def by_smtp():
    with smtplib.SMTP("localhost", port["submission"], timeout=300) as s:
        s.starttls(context=trust)
        s.login(user, password)
        assert s.sendmail(user, [user], message) == {}
    with smtplib.SMTP_SSL("localhost", port["submissions"], context=trust, timeout=300) as s:
        s.login(user, password)
        assert s.sendmail(user, [user], message) == {}


def by_pop3():
    p = poplib.POP3("localhost", port["pop3"], timeout=300)
    capabilities = p.capa()
    assert "STLS" in capabilities and "USER" not in capabilities, capabilities
    p.stls(trust)
    p.user(user)
    p.pass_(password)
    count, size = p.stat()
    assert count == 3, count
    assert size == sum(int(line.split()[1]) for line in p.list()[1])
    uids = [line.split()[1] for line in p.uidl()[1]]
    assert len(set(uids)) == 3, uids
    assert p.retr(1)[1][-1] == b"body number 0", p.retr(1)
    assert b"\r\n".join(p.retr(3)[1]).endswith(message.rstrip(b"\r\n"))
    assert p.top(3, 0)[1][-1] == b""
    p.dele(1)
    p.dele(2)
    p.rset()
    p.dele(3)
    p.close()  # without QUIT nothing is deleted

    p = poplib.POP3_SSL("localhost", port["pop3s"], context=trust, timeout=300)
    p.utf8()
    p.user(user)
    p.pass_(password)
    assert [line.split()[1] for line in p.uidl()[1]] == uids
    p.dele(2)
    p.quit()


by_imap()
by_smtp()
by_pop3()
