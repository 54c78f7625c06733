"""What comes on channels, read: mails, texts and forms as people and machines send them, and what is none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.channels import Channel
from mai.agents.check import load
from mai.agents.faults import Faulty
from mai.daemon.letters import Parsed, ident, read
from mai.sandbox.errors import MaiError, UsageFault

MAIL = Channel(name="mail", department="support", parse="mail")
TEXT = Channel(name="note", department="support")
FORM = Channel(name="form", department="support", parse="json")
LETTER = """From: {who}
Subject: {subject}
Message-ID: <1@example.org>
{more}
{body}
"""


def mail(who: str = "Anna <Anna@Example.ORG>", subject: str = "Order", more: str = "", body: str = "Where is it?") -> Parsed:
    """A mail, read."""
    return read(MAIL, LETTER.format(who=who, subject=subject, more=more, body=body).encode(), "", "", "")


def why(channel: Channel, data: bytes, sender: str = "") -> str:
    """Why it is not taken."""
    with pytest.raises(UsageFault) as fault:
        read(channel, data, sender, "", "")
    return fault.value.sentence


def test_a_mail_says_who_writes_what() -> None:
    """Sender in one way of writing, subject and text decoded, the id that it came with."""
    found = mail(subject="=?utf-8?q?Wo_ist_Auftrag_=E2=84=965=3F?=")
    assert (found.sender, found.subject, found.text) == ("anna@example.org", "Wo ist Auftrag №5?", "Where is it?")
    assert found.reference == "<1@example.org>"


def test_a_mail_in_parts_gives_its_text_and_the_names_of_what_is_attached() -> None:
    """Plain text before HTML; of HTML alone the text; of others the name."""
    more = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"\n'
    html = "--b\nContent-Type: text/html\n\n<p>Hello <b>you</b></p><script>evil()</script>\n"
    plain = "--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n"
    file = '--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename="a.pdf"\n\nx\n--b--\n'
    assert mail(more=more, body=html + plain + file).text == "Grüße\n[attached: a.pdf]"
    assert mail(more=more, body=html + "--b--\n").text == "Hello you"


@pytest.mark.parametrize(
    ("more", "body", "who", "said"),
    [
        ("Auto-Submitted: auto-replied\n", "I am away", "a@b.c", "machine"),
        ("Return-Path: <>\n", "undeliverable", "a@b.c", "machine"),
        ("", "   ", "a@b.c", "empty"),
        ("", "hello", "a@b.c, d@e.f", "one address"),
        ("", "hello", "nobody", "one address"),
    ],
)
def test_what_is_no_mail_of_a_person_is_refused_with_its_reason(more: str, body: str, who: str, said: str) -> None:
    """Machines that answer by themselves, nobody, several, and what cannot be decoded."""
    assert said in why(MAIL, LETTER.format(who=who, subject="s", more=more, body=body).encode())


def test_what_is_no_text_is_refused() -> None:
    """Bytes that are no UTF-8, control characters, too much, nothing, and nobody."""
    assert "UTF-8" in why(TEXT, b"\xff\xfe", "anna") and "U+0000" in why(TEXT, b"a\0b", "anna")
    assert "limit" in why(TEXT, b"x" * ((256 << 10) + 1), "anna") and "empty" in why(TEXT, b" \n", "anna")
    assert "from whom" in why(TEXT, b"hello")
    assert "JSON object" in why(FORM, b"[1]", "anna") and "JSON object" in why(FORM, b"{" * 5000, "anna")


def test_a_person_is_the_same_however_he_is_written() -> None:
    """Capitals and blanks make no other person; the mail of another does."""
    assert read(TEXT, b"hi", "  Anna   Smith ", "", "").sender == "anna smith"
    assert mail(who="ANNA@example.org").sender == mail().sender != mail(who="bert@example.org").sender


def test_a_message_is_known_by_its_own_id_or_by_its_content() -> None:
    """The same id, sender and channel are the same message; without an id the same content is."""
    assert ident("mail", "a", "<1>", "x") == ident("mail", "a", "<1>", "y") != ident("mail", "b", "<1>", "x")
    assert ident("mail", "a", "", "x") == ident("mail", "a", "", "x") != ident("mail", "a", "", "y")
    assert ident("mail", "a", "x", "") != ident("mail", "a", "", "x")


@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: f"From: a@b.c\n{text}".encode(errors="replace")))
)
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    """No bytes raise anything but a refusal."""
    for channel in (MAIL, TEXT, FORM):
        try:
            found = read(channel, data, "a@b.c", "", "")
        except MaiError:
            continue
        assert found.text.strip() and found.sender == "a@b.c"


# -- the organisation file
CODE = """
async def desk(ctx, task): return "ok"
def post(files, to, text): pass
def short(files, text): pass
"""
FILE = """
[organisation]
clients = ["acme"]
[[channels]]
name = "mail"
department = "support"
{channel}
[[policies]]
name = "all"
verdict = "allow"
tools = ["*"]
[departments.support]
charter = "Helps."
[[departments.support.agents]]
name = "desk"
rank = "operator"
charter = "Answers."
handler = "c.py:desk"
[[departments.support.tools]]
name = "post"
about = "Writes"
handler = "c.py:{post}"
effect = "{effect}"
"""


@pytest.mark.parametrize(
    ("channel", "post", "effect", "said"),
    [
        ('tool = "pots"', "post", "idempotent", "answers by 'pots', no tool of support"),
        ('tool = "post"', "post", "none", "says that it changes nothing"),
        ('tool = "post"', "short", "idempotent", "takes no to"),
        ('desk = ["lead"]', "post", "idempotent", "goes to 'lead', no worker"),
        ('contract = "status"', "post", "idempotent", "asks for 'status', no contract"),
        ('department = "sale"\n', "post", "idempotent", ""),
        ('parse = "fax"', "post", "idempotent", "expected one of json, mail, text"),
        ('users = ["a:b"]', "post", "idempotent", "no name of a user"),
    ],
)
def test_a_channel_that_leads_nowhere_is_a_fault_of_the_file(
    tmp_path: Path, channel: str, post: str, effect: str, said: str
) -> None:
    """Each with its line and a hint."""
    (tmp_path / "c.py").write_text(CODE)
    text = FILE.format(channel=channel, post=post, effect=effect)
    if channel.startswith("department"):
        text, said = FILE.format(channel="", post=post, effect=effect).replace('department = "support"', channel), "no department"
    (tmp_path / "o.toml").write_text(text)
    with pytest.raises(Faulty) as fault:
        load(tmp_path / "o.toml")
    (one,) = fault.value.faults
    assert said in str(one) and one.line > 0 and (one.hint or channel.startswith("parse"))


def test_a_channel_with_a_tool_has_a_carrier(tmp_path: Path) -> None:
    """Its department has the built-in operator, and the contract under which it carries out."""
    (tmp_path / "c.py").write_text(CODE)
    (tmp_path / "o.toml").write_text(FILE.format(channel='tool = "post"', post="post", effect="idempotent"))
    support = load(tmp_path / "o.toml").department("support")
    assert support is not None
    carrier, contract = support.agent("carrier"), support.contract("carry_mail")
    assert carrier and contract and (carrier.tools, carrier.rank, contract.served_by) == (("post",), "operator", "carrier")
