"""The cells of a department's programs: command agents, command tools, tool servers; each has a directory of its own.

files/                  the department's own data: its Python code's; a program's only if the organisation says so
work/agents/porter/     where the program of the agent porter works; nobody else sees it
work/tools/percent/     likewise of a tool, work/servers/NAME/ of a server
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

import mai.agents
import mai.sandbox
from mai.agents.parts import Access
from mai.sandbox import cell
from mai.sandbox.cell import Cell
from mai.sandbox.points import SETTING

Kind = Literal["agents", "tools", "servers"]
FILES: Final = "MAI_FILES"  # of a program's environment: where the department's data lies, if it may see it
LOOK: Final = "mai doctor says what can be done"


class Cells:
    """Where the programs of one department work."""

    def __init__(self, home: Path, base: Path, secret: Iterable[Path] = ()) -> None:
        """`home`: the department's; `base`: the organisation's, which programs may read; `secret`: but not these."""
        self.home, self.base = home, base
        self.secret = (home, *secret)

    @property
    def files(self) -> Path:
        """The department's own data."""
        return self.home / "files"

    def cell(self, kind: Kind, name: str = "", files: Access = "", command: Sequence[str] = (), more: Iterable[str] = ()) -> Cell:
        """For one start of a program: this `command`, as `located` gives it. Raises OSError.

        `files`: what it may do with the department's data; `more`: what it may read and run besides.
        """
        shown = [word for word in named(command) if not any(Path(word).is_relative_to(one) for one in self.secret)]
        made = Cell(
            self.home / "work" / kind / name, runs=(self.base, *shown, *more), hidden=self.secret,
            reads=[self.files] if files == "read" else [], writes=[*([self.files] if files == "write" else []), *_points()],
        )  # fmt: skip
        if files:
            made.environment[FILES] = str(self.files)
        return made


def _points() -> list[str]:
    """Where tests strike processes, and have what stands outside."""
    return [directory] if (directory := os.environ.get(SETTING)) else []


def named(command: Sequence[str]) -> list[str]:
    """The directories of a program and of the files that its command names, with those that links lead to."""
    program = shutil.which(command[0]) if command else None
    words = [word for word in (program, *command[1:]) if word and os.path.isabs(word) and os.path.isfile(word)]
    found = dict.fromkeys(os.path.dirname(path) for word in words for path in (word, os.path.realpath(word)))
    return [path for path in found if path != "/"]


def ours() -> list[str]:
    """Where our own packages lie, for a program that is our own; to find them there Python lists that directory."""
    return sorted({os.path.dirname(path) for package in (mai.agents, mai.sandbox) for path in package.__path__})


def lacking() -> str:
    """What this host does not hold programs back from, as a sentence; "" if there is nothing."""
    open_ = cell.lacking()
    return f"programs of agents and tools are not held back from: {'; '.join(open_)}; {LOOK}" if open_ else ""
