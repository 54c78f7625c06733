"""A question to a server of ours over HTTP, whose answer is polled for: a loop that has heartbeats to give cannot wait."""

import select
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

ANSWER_S: Final = 1.0  # once it has begun; a whole answer of that size comes in one piece
OK: Final = 200


class Glance:
    """One GET at a time. Whoever does not answer is not asked again, and so is not heard."""

    def __init__(self, address: str, path: str, key: str, poll: "select.poll") -> None:
        self._host, self._path, self._poll = urlsplit(address).netloc, path, poll
        self._headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
        self._open: HTTPConnection | None = None

    def ask(self) -> None:
        """Ask, unless the last answer is still to come."""
        if self._open is not None:
            return
        connection = HTTPConnection(self._host, timeout=ANSWER_S)
        try:
            connection.request("GET", self._path, headers=self._headers)
        except OSError:
            connection.close()  # again at the next beat
            return
        self._open = connection
        self._poll.register(connection.sock, select.POLLIN)

    def answer(self, ready: set[int]) -> bytes | None:
        """The answer, if it is among what the poll found; None as well if it is not a good one."""
        connection = self._open
        if connection is None or connection.sock.fileno() not in ready:
            return None
        self._poll.unregister(connection.sock)
        self._open = None
        try:
            response = connection.getresponse()
            body = response.read()
            return body if response.status == OK else None
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
