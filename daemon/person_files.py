"""What lies beside the ledgers and may hold a person's values: what processes printed, files of deaths, messages in spools.

Of a line that was printed all goes if a given word stands in it: the line is overwritten where it lies, for the supervisor goes
on writing into the same file. Of a death that a concerned task died in, or in which such a word stands, go the last output and
the traceback. What departments keep in files of their own is theirs, of whatever form: it is only looked through.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.agents.markers import marker
from mai.agents.reaching import first
from mai.daemon.belongings import files
from mai.sandbox.durable import GONE, destroy, rewrite
from mai.sandbox.place import Place

BLOCK_BYTES: Final = 1 << 20
LAST: Final = ("output", "traceback", "why")  # of a death: what may say anything
SEARCHED_BYTES: Final = 64 << 20  # of one file of a department: more is not looked through


class Words:
    """Words that are looked for letter by letter, upper and lower case alike."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = [word.casefold() for word in words if word]

    def stand_in(self, data: bytes) -> bool:
        """Does one of them stand in these bytes, be it as JSON writes it?"""
        text = data.decode(errors="replace").casefold()
        return any(word in text or json.dumps(word)[1:-1] in text for word in self._words)


def logs(place: Place, client: str) -> list[Path]:
    """What the client's processes printed, with what was rotated away."""
    return sorted(path for path in place.logs.glob(f"{client}.*") if path.is_file() and not path.is_symlink())


def overwrite_lines(path: Path, words: Words, left: str) -> int:
    """Overwrite each line in which a word stands. The file keeps its length, for somebody writes on.

    Returns how many lines are overwritten now: with those of who began it, and died.
    """
    count, at, rest = 0, 0, b""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while True:
            block = os.pread(descriptor, BLOCK_BYTES, at + len(rest))
            *lines, rest = (rest + block).split(b"\n")
            if not block:
                lines, rest = [rest], b""
            for line in lines:
                if words.stand_in(line):
                    os.pwrite(descriptor, left.encode()[: len(line)].ljust(len(line)), at)
                    count += 1
                elif line.rstrip() == left.encode():
                    count += 1
                at += len(line) + 1
            if not block:
                break
        if count:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return count


def clear_deaths(place: Place, client: str, words: Words, requests: frozenset[str], erasure: str) -> int:
    """Take the last words out of the files of deaths that are concerned; returns of how many they are out now. Raises OSError."""
    count, deaths = 0, place.state / "deaths"
    for path in deaths.glob(f"{client}.*/*{GONE}"):
        destroy(path)  # of a life that died at it
    for path in sorted(deaths.glob(f"{client}.*/*.json")):
        data = path.read_bytes()
        said = _death(data)
        tasks = [said.get("task", ""), *(one.get("task") or one.get("request", "") for one in said.get("tasks", ()))]
        out = any(said.get(name) == marker(erasure) for name in LAST)
        if not out and not words.stand_in(data) and not any(first(task) in requests for task in tasks):
            continue
        for name in LAST:
            said[name] = marker(erasure) if said.get(name) else said.get(name, "")
        rewrite(path, json.dumps(said, indent=1, ensure_ascii=False).encode())
        count += 1
    return count


def _death(data: bytes) -> dict[str, Any]:
    """What a file of a death says; what cannot be read says nothing but that there was one."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {"why": "(unreadable)"}


def files_with(place: Place, processes: Iterable[str], words: Words) -> Iterator[str]:
    """Files of departments in which a word stands, or that are too large to be looked through: `acme/sales: files/a.txt`."""
    for process in processes:
        home = place.home(process) / "files"
        for path in files(home) if home.is_dir() else ():
            if path.is_symlink() or not path.is_file():
                continue
            large = path.stat().st_size > SEARCHED_BYTES
            if large or words.stand_in(path.read_bytes()):
                yield f"{process}: {path.relative_to(home.parent)}{' (not looked through: it is large)' * large}"
