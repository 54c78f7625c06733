"""One call of a tool that needs the network, in a process that ends with it: `Given` on its standard input, `Result` out.

What the tool prints goes to the log.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.agents.organisation import Tool

CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # of our environment; a proxy would lead around the list of hosts


class Given(msgspec.Struct, frozen=True):
    """What the process is told."""

    base: str
    files: str
    tool: Tool
    input: dict[str, Any]
    key: str
    limit_bytes: int
    asks: bool = False  # only whether it happened


class Result(msgspec.Struct, frozen=True):
    """What came of it."""

    value: Any = None
    refused: str = ""
    late: bool = False  # it was stopped, done or not


def call(given: Given) -> Result:
    """Check the input, wall the process off, call the function."""
    from mai.agents.handlers import Handlers
    from mai.daemon import net_guard
    from mai.sandbox.errors import MaiError

    net_guard.install(given.tool.name, given.tool.hosts)
    files = Path(given.files)
    handlers = Handlers(Path(given.base), files, given.tool.timeout_s, given.limit_bytes)
    if given.asks:
        return Result(*handlers.ask(given.tool, given.key)[:3])
    try:
        fitting = handlers.fit(given.tool, given.input)
    except MaiError as fault:
        return Result(refused=fault.sentence)
    used = handlers.use(given.tool, fitting, given.key)
    return Result(*used[:3])


def main() -> int:
    """The process."""
    output = os.dup(1)
    os.dup2(2, 1)
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Given)
    data = memoryview(msgspec.json.encode(call(given)))
    while data:
        data = data[os.write(output, data) :]
    return 0


if __name__ == "__main__":
    sys.exit(main())
