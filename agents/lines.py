"""On which line of a TOML text each key stands; tomllib tells the values and forgets the places. Pure.

The text is one that tomllib accepts: this scanner knows just enough of TOML 1.0 to find where keys and values begin
and end. In any other text it stops at what it does not understand, and returns what it found so far.
"""

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress
from typing import Final

KeyPath = tuple[str | int, ...]  # ("departments", "support", "agents", 0, "rank")

BLANK: Final = re.compile(r"[ \t]*")
NOTHING: Final = re.compile(r"[ \t\r\n]*(?:#[^\n]*[ \t\r\n]*)*")  # blanks, line ends and comments
BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
BASIC: Final = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"')
LITERAL: Final = re.compile(r"'[^'\n]*'")
LONG_BASIC: Final = re.compile(r'"""[^"\\]*(?:(?:\\.|"{1,2}(?!"))[^"\\]*)*"{3,5}', re.DOTALL)
LONG_LITERAL: Final = re.compile(r"'''[^']*(?:'{1,2}(?!')[^']*)*'{3,5}")
SCALAR: Final = re.compile(r"[^,\]}#\r\n]+")  # numbers, booleans, and dates with a blank in them
# Unrolled loops, not possessive groups, which CPython 3.11 before 3.11.5 compiles wrongly (python/cpython#101955).
QUOTED: Final = (LONG_BASIC, LONG_LITERAL, BASIC, LITERAL)  # the long ones first: "" begins them, too


class _Lost(Exception):
    """The text is not TOML from here on."""


def line_map(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of every table, key and list element. A table named only in passing has its first mention's."""
    scanner = _Scanner(text)
    with suppress(_Lost, RecursionError):
        scanner.document()
    return scanner.lines


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """The line of a path, or of the nearest table around it that the text names; 1 when there is none."""
    for end in range(len(path), 0, -1):
        if (line := lines.get(path[:end])) is not None:
            return line
    return 1


class _Scanner:
    """One pass over a text; each method starts at `self.at` and leaves it behind what it has read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.ends = [found.start() for found in re.finditer("\n", text)]
        self.lines: dict[KeyPath, int] = {}
        self.lengths: dict[KeyPath, int] = {}  # of the lists of tables, `[[…]]`

    def document(self) -> None:
        """Headers and keys, until the end."""
        table: KeyPath = ()
        while self.skip(NOTHING) < len(self.text):
            if self.text.startswith("[", self.at):
                table = self.header()
            else:
                self.pair(table)

    def header(self) -> KeyPath:
        """`[a.b]` or `[[a.b]]`: the path of the table that follows."""
        line = self.line()
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        *outer, last = self.key()
        self.expect("]]" if many else "]")
        path: KeyPath = ()
        for part in outer:
            path = self.inside((*path, part))
            self.lines.setdefault(path, line)
        path = (*path, last)
        if many:
            self.lines.setdefault(path, line)
            path = (*path, self.lengths.get(path, 0))
            self.lengths[path[:-1]] = self.lengths.get(path[:-1], 0) + 1
        self.lines[path] = line
        return path

    def inside(self, path: KeyPath) -> KeyPath:
        """A list of tables stands, in a header, for the last table in it."""
        self.lines.setdefault(path, self.line())
        return (*path, self.lengths[path] - 1) if path in self.lengths else path

    def pair(self, table: KeyPath) -> None:
        """`key = value`, in a table that stands alone or on one line."""
        line = self.line()
        for part in self.key():
            table = (*table, part)
            self.lines.setdefault(table, line)
        self.expect("=")
        self.value(table)

    def key(self) -> tuple[str, ...]:
        """The parts of a key: bare, quoted, or several with dots between them."""
        parts = [self.key_part()]
        while self.text.startswith(".", self.skip(BLANK)):
            self.at += 1
            parts.append(self.key_part())
        return tuple(parts)

    def key_part(self) -> str:
        """One part of a key, without its quotes and escapes."""
        start = self.skip(BLANK)
        for pattern in (BARE_KEY, LITERAL, BASIC):
            if found := pattern.match(self.text, start):
                self.at = found.end()
                return found.group() if pattern is BARE_KEY else _unquoted(found.group())
        raise _Lost

    def value(self, path: KeyPath) -> None:
        """Any value; the elements of lists and the keys of tables in it get their lines."""
        start = self.skip(BLANK)
        if self.text.startswith("[", start):
            self.array(path)
        elif self.text.startswith("{", start):
            self.table(path)
        else:
            patterns = QUOTED if self.text.startswith(('"', "'"), start) else (SCALAR,)
            found = next((m for pattern in patterns if (m := pattern.match(self.text, start))), None)
            if found is None:
                raise _Lost
            self.at = found.end()

    def array(self, path: KeyPath) -> None:
        """`[1, 2]`, over any number of lines."""
        self.at += 1
        index = 0
        while not self.text.startswith("]", self.skip(NOTHING)):
            self.lines[(*path, index)] = self.line()
            self.value((*path, index))
            self.comma("]")
            index += 1
        self.at += 1

    def table(self, path: KeyPath) -> None:
        """`{ a = 1, b.c = 2 }`."""
        self.at += 1
        while not self.text.startswith("}", self.skip(NOTHING)):
            self.pair(path)
            self.comma("}")
        self.at += 1

    def comma(self, closing: str) -> None:
        """A comma, or nothing before the closing bracket."""
        if self.text.startswith(",", self.skip(NOTHING)):
            self.at += 1
        elif not self.text.startswith(closing, self.at):
            raise _Lost

    def expect(self, sign: str) -> None:
        """Blanks and a sign."""
        if not self.text.startswith(sign, self.skip(BLANK)):
            raise _Lost
        self.at += len(sign)

    def skip(self, pattern: re.Pattern[str]) -> int:
        """Pass over what may stand here and means nothing; the new place."""
        found = pattern.match(self.text, self.at)
        assert found is not None  # both patterns match the empty text
        self.at = found.end()
        return self.at

    def line(self) -> int:
        """The line of the present place."""
        return bisect_right(self.ends, self.at - 1) + 1


def _unquoted(key: str) -> str:
    """A quoted key as tomllib reads it, so that the two never differ."""
    if "\\" not in key:
        return key[1:-1]
    try:
        return next(iter(tomllib.loads(f"{key} = 0")))
    except tomllib.TOMLDecodeError:
        raise _Lost from None
