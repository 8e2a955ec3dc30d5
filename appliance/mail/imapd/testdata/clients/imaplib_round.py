"""A full round of Python's imaplib. Arguments: port, user, password."""
import imaplib
import sys

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


def login():
    m = imaplib.IMAP4("127.0.0.1", port)
    ok(m.login(user, password))
    return m


m, other = login(), login()
assert any(b"INBOX" in line for line in ok(m.list()))
ok(m.create("Round"))
for i in range(5):
    text = "From: a%d@example.org\r\nSubject: round %d\r\n\r\nbody number %d\r\n" % (i, i, i)
    ok(m.append("Round", r"(\Seen)" if i % 2 else None, None, text.encode()))
assert ok(m.select("Round")) == [b"5"]
ok(other.select("Round"))
assert ok(m.search(None, "UNSEEN")) == [b"1 3 5"]
assert ok(m.search(None, "BODY", '"number 3"')) == [b"4"]
assert ok(m.sort("(REVERSE SUBJECT)", "UTF-8", "ALL")) == [b"5 4 3 2 1"]
assert len(ok(m.thread("REFERENCES", "UTF-8", "ALL"))[0]) > 0
got = ok(m.fetch("2", "(FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])"))
assert b"body number 1" in got[0][1], got
ok(m.store("1:2", "+FLAGS", r"(\Flagged $Keyword)"))
ok(other.noop())
assert len(other.untagged_responses.get("FETCH", [])) == 2, other.untagged_responses
ok(m.copy("1", "INBOX"))
ok(m.uid("MOVE", "2", "Trash"))
ok(m.store("1", "+FLAGS", r"\Deleted"))
assert ok(m.expunge())[-1] == b"1"
ok(other.noop())
assert other.untagged_responses.get("EXPUNGE") == [b"2", b"1"], other.untagged_responses
ok(m.close())
assert ok(m.status("Round", "(MESSAGES)")) == [b"Round (MESSAGES 3)"]
ok(other.unselect())
ok(m.rename("Round", "Renamed"))
ok(m.subscribe("Renamed"))
assert any(b"Renamed" in line for line in ok(m.lsub()))
ok(m.delete("Renamed"))
assert m.select("Renamed")[0] == "NO"
m.logout()
other.logout()
