"""The reference organisation, and a daemon in a temporary place to try it in: for `mai demo` and `mai bench`."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mai.daemon.up import Start
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place

CLIENT = "acme"


def company() -> Path:
    """The file of the reference organisation: of this checkout, or as it was installed."""
    for directory in (Path(__file__).parent.parent / "etc", Path(sys.prefix) / "share" / "mai"):
        if (directory / "company.toml").exists():
            return directory / "company.toml"
    raise UsageFault("the reference organisation is not installed", "name an organisation file of your own")


@contextlib.contextmanager
def daemon(file: Path) -> Iterator[tuple[Place, Start]]:
    """A daemon in a temporary state directory; ended and removed afterwards, whatever happens."""
    directory = Path(tempfile.mkdtemp(prefix="mai-"))
    try:
        place = Place(directory / "state")
        start = Start(place, file, detach=False)
        try:
            yield place, start
        finally:
            start.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
