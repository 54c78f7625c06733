"""Messages about the client's memory, which Mai keeps. Pure."""

from typing import Any

from mai.agents.body import Body, Fields


class Recall(Body, frozen=True, tag="recall"):
    """A department reads the client's memory, which Mai keeps."""

    id: str
    agent: str
    key: str
    version: int = 0  # 0: the newest


class Remember(Body, frozen=True, tag="remember"):
    """A department writes the client's memory."""

    id: str
    agent: str
    key: str
    value: Any
    expires_ms: int = 0  # on the wall clock; 0: never


class Forget(Body, frozen=True, tag="forget"):
    """A department has a key of the client's memory forgotten."""

    id: str
    agent: str
    key: str


class Browse(Body, frozen=True, tag="browse"):
    """A department looks through the client's memory."""

    id: str
    agent: str
    call: str  # recall_all, search, versions
    given: Fields  # {"prefix", "after", "limit"}, {"text", "limit"}, {"key"}


class Recalled(Body, frozen=True, tag="recalled"):
    """Mai's answer to Recall, Remember, Forget and Browse."""

    id: str
    found: bool
    value: Any
    refused: str = ""
    n: int = 0  # the version that was read or written
