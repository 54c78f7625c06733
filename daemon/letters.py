"""What comes from outside on a channel, read: who says what. Everything in it is a stranger's. Pure.

A mail is parsed by the standard library's email package, which raises whatever it likes on what is none.
"""

import hashlib
import re
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import default
from email.utils import getaddresses
from html.parser import HTMLParser
from typing import Final

import msgspec

from mai.agents.body import Fields
from mai.agents.channels import Channel
from mai.daemon.request_form import UNSEEN
from mai.sandbox.errors import UsageFault

LONGEST_NAME: Final = 200  # of a person
LONGEST_SUBJECT: Final = 300
LONGEST_ID: Final = 500
MOST_PARTS: Final = 100  # of one mail
ADDRESS: Final = re.compile(r"[^@\s<>()\[\]:;,\\\"]{1,64}@[^@\s<>()\[\]:;,\\\"]{1,190}")
AUTOMATIC: Final = "it was sent by a machine, and is not answered, so that two machines do not write to each other for ever"


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it was read."""

    sender: str
    text: str
    subject: str = ""
    given: Fields = {}
    reference: str = ""


def read(channel: Channel, data: bytes, sender: str, subject: str, reference: str) -> Parsed:
    """A message of a channel. `sender`, `subject` and `reference` are who delivers it's words, "" for none. Raises UsageFault."""
    if len(data) > channel.message_bytes:
        raise UsageFault(f"it has more than {channel.message_bytes} bytes, the limit of {channel.name}")
    match channel.parse:
        case "mail":
            found = _mail(data, sender)
        case "json":
            found = _json(data, sender, subject)
        case _:
            found = Parsed(sender=sender, text=_text(data), subject=subject)
    text = found.text.strip()
    if not text:
        raise UsageFault("it is empty")
    return msgspec.structs.replace(
        found, sender=person(channel, found.sender), text=text, subject=_line(found.subject, LONGEST_SUBJECT),
        reference=_line(reference or found.reference, LONGEST_ID),
    )  # fmt: skip


def person(channel: Channel, sender: str) -> str:
    """Who it is, written always the same on this channel. Raises UsageFault."""
    if channel.parse == "mail":
        found = [address for _, address in getaddresses([sender]) if address]
        if len(found) != 1 or not ADDRESS.fullmatch(found[0]):
            raise UsageFault("it does not come from one address", "such as --from anna@example.org")
        return found[0].lower()
    name = " ".join(sender.split())
    if not name or len(name) > LONGEST_NAME or UNSEEN.search(name):
        raise UsageFault("it is not said from whom it comes", f"a name of at most {LONGEST_NAME} characters, with --from")
    return name.lower()


def ident(channel: str, sender: str, reference: str, content: str) -> str:
    """The id of a message: the same for what is delivered again. What came with an id of its own is known by that."""
    known = f"id {reference}" if reference else f"content {content}"
    return "m" + hashlib.sha256("\0".join((channel, sender, known)).encode()).hexdigest()[:31]


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageFault(f"it is not a text: byte {error.start + 1} is not UTF-8") from None
    if strange := UNSEEN.search(text):
        raise UsageFault(f"it is not a text: it holds U+{ord(strange[0]):04X}")
    return text


def _line(text: str, longest: int) -> str:
    """Something short that stands in a line."""
    return " ".join(UNSEEN.sub(" ", text).split())[:longest]


def _json(data: bytes, sender: str, subject: str) -> Parsed:
    _text(data)
    try:
        given = msgspec.json.decode(data, type=Fields)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageFault(f"it is no JSON object: {str(error)[:200]}") from None
    return Parsed(sender=sender, text=msgspec.json.encode(given).decode(), subject=subject, given=given)


# -- mail
def _mail(data: bytes, sender: str) -> Parsed:
    try:
        found = BytesParser(policy=default).parsebytes(data)
        headers = {name.lower(): _header(value) for name, value in found.raw_items()}
        text = _body(found)
    except (Exception, RecursionError) as error:
        raise UsageFault(f"it is no mail that can be read: {type(error).__name__}") from None
    if "from" not in headers:
        raise UsageFault("it is no mail: it has no From")
    if headers.get("auto-submitted", "no").strip().lower() != "no" or headers.get("return-path", "").strip() == "<>":
        raise UsageFault(AUTOMATIC)
    return Parsed(
        sender=sender or headers["from"], text=text, subject=headers.get("subject", ""), reference=headers.get("message-id", "")
    )


def _header(value: object) -> str:
    """A header as people read it; what cannot be decoded stays as it is."""
    raw = str(value)
    try:
        return UNSEEN.sub(" ", str(make_header(decode_header(raw))))
    except (ValueError, LookupError):
        return UNSEEN.sub(" ", raw)


def _body(mail: Message) -> str:
    """The text that was written; of what has only HTML, its text; of what else is in it the names."""
    plain, html, others = list[str](), list[str](), list[str]()
    for number, part in enumerate(mail.walk()):
        if number >= MOST_PARTS:
            raise ValueError("too many parts")
        if part.is_multipart() or not isinstance(part, EmailMessage):
            continue
        kind = part.get_content_type()
        if part.get_content_disposition() == "attachment" or kind not in ("text/plain", "text/html"):
            others.append(f"[attached: {_line(part.get_filename() or kind, 80)}]")
        else:
            (plain if kind == "text/plain" else html).append(str(part.get_content()))
    text = "\n".join(plain) if any(one.strip() for one in plain) else "\n".join(_stripped(one) for one in html)
    return "\n".join([UNSEEN.sub(" ", text.replace("\r\n", "\n")), *others])


class _Stripper(HTMLParser):
    """The text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")
        if tag in ("br", "p", "div", "li", "tr"):
            self.found.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= self._hidden > 0 and tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)


def _stripped(html: str) -> str:
    stripper = _Stripper()
    stripper.feed(html)
    stripper.close()
    lines = (" ".join(line.split()) for line in "".join(stripper.found).splitlines())
    return "\n".join(line for line in lines if line)
