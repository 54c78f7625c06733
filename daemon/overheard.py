"""What goes over the wire in one attempt, byte for byte: what has to leave, and what came back as far as it came."""

from contextvars import ContextVar


class Overheard:
    """One attempt."""

    def __init__(self, body: bytes) -> None:
        self.body = body  # what is on record, and nothing else may leave
        self.status = 0  # of HTTP; 0: no answer began
        self.pieces: list[bytes] = []  # of the answer's body


OVERHEARD: ContextVar[Overheard] = ContextVar("overheard")  # each attempt is a task of its own, and has one
