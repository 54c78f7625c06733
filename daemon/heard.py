"""HTTP/1.1 as far as a small server on loopback needs it: a request read whole, and the head of an answer."""

import asyncio
from http import HTTPStatus
from typing import Final

import msgspec

HEAD_BYTES: Final = 1 << 16  # the reader's own limit
BODY_BYTES: Final = 32 << 20
CLOSED: Final = (ConnectionError, asyncio.IncompleteReadError)  # the caller went away


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `again`: the connection may bring another."""

    method: str
    path: str  # without the query
    headers: dict[str, str]  # names in small letters
    body: bytes
    again: bool


class TooMuch(Exception):
    """No request, or a larger one than is taken; `status` says which."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Heard | None:
    """The next request of a connection; None at its end. Raises TooMuch, and what CLOSED names."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    except asyncio.LimitOverrunError:
        raise TooMuch(431) from None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    parts, headers = first.split(" "), _headers(lines)
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise TooMuch(400)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    again = parts[2] == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    body = await _body(reader, headers)
    return Heard(method=parts[0], path=parts[1].partition("?")[0], headers=headers, body=body, again=again)


def _headers(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise TooMuch(400)
        headers[name.lower()] = value.strip()
    return headers


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunked(reader)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or "transfer-encoding" in headers:
        raise TooMuch(400)
    if int(length[:12]) > BODY_BYTES:
        raise TooMuch(413)
    return await reader.readexactly(int(length))


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        try:
            length = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        except (ValueError, asyncio.LimitOverrunError):
            raise TooMuch(400) from None
        if not 0 <= length <= BODY_BYTES - len(body):
            raise TooMuch(413)
        body += (await reader.readexactly(length + 2))[:-2]
        if not length:
            return bytes(body)


def listed(status: int, headers: dict[str, str]) -> bytes:
    """The head of an answer."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
