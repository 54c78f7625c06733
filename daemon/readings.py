"""The commands that read, as the daemon runs them for who has no right to the ledgers' files: which, and with what. Pure.

What a caller gives is parsed here, by this list alone, and written anew: long options with `=`, then `--`, then the names. So
nothing comes through that is not in the list: no other command, no option that writes, no path, no setting.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from mai.sandbox.errors import UsageFault

LONGEST: Final = 4200  # characters of a word: an id may be long
MOST_WORDS: Final = 40
NAMED: Final = re.compile(r"[^\x00-\x1f\x7f/-][^\x00-\x1f\x7f]*")  # no option, and no path from the root
VALUE: Final = re.compile(r"[^\x00-\x1f\x7f]*")


class Reading(NamedTuple):
    """One command: its options, and how many names it takes at most."""

    flags: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    names: int = 1
    told: int = 1  # of its names, those that are of clients and processes: they may stand in the watchdog's journal, no others
    follows: tuple[str, ...] = ()  # of the flags, those with which it goes on until its caller goes
    files: tuple[str, ...] = ()  # options and names of files of the caller's: the daemon opens none for others
    whole: bool = False  # shows the whole company: not for who may see some clients only
    here: tuple[str, ...] = ()  # options with which its caller runs it himself, and has the daemon read for it


SHORT: Final = {"-f": "--follow", "-n": "--lines", "-o": "--output"}
FOLLOW: Final = ("--follow",)
READINGS: Final = {
    "tail": Reading(
        ("--follow", "--json"),
        ("--lines", "--client", "--department", "--agent", "--kind", "--request", "--level"),
        follows=FOLLOW,
        files=("--cursor",),
    ),
    "export": Reading(
        ("--jsonl",), ("--kind", "--request", "--agent", "--level"), files=("--output", "--datasette"), here=("--schema",)
    ),
    "logs": Reading(("--follow",), ("--lines",), follows=FOLLOW),
    "incidents": Reading(("--follow", "--json"), ("--lines",), follows=FOLLOW),
    "trace": Reading(("--json",), told=0, here=("--svg", "--html", "--otlp", "--contents")),
    "why": Reading(("--json", "--all"), names=2, told=0),
    "budgets": Reading(("--json",)),
    "shift list": Reading(("--json",), ("--at",)),
    "sla": Reading(("--json",), ("--since",)),
    "sql": Reading(("--json", "--csv", "--live"), ("--value", "--rows", "--seconds"), names=2),
    "fallback": Reading(("--json", "--open")),
    "owed": Reading(("--json", "--late")),
    "verify": Reading(
        ("--json", "--full", "--state", "--deep", "--rest"), names=MOST_WORDS, told=MOST_WORDS, files=("--against", "--since")
    ),
    "checkpoint export": Reading(("--json",), names=0, files=("file",), whole=True),
    "metrics": Reading(("--json",), names=0, whole=True),
    "memory list": Reading(("--json",), names=2),
    "memory show": Reading(("--json",), names=2),
    "memory search": Reading(("--json",), names=MOST_WORDS),
    "client list": Reading(("--json",), names=0, whole=True),
    "effects list": Reading(("--json", "--all")),
    "effects show": Reading(("--json",), told=0),
    "quarantine list": Reading(("--json",)),
    "quarantine show": Reading(("--json",), told=0),
}


class Order(NamedTuple):
    """A reading that may be run."""

    command: tuple[str, ...]  # the words behind `mai`
    follows: bool
    whole: bool


def named(words: Sequence[str]) -> str:
    """Which of the commands a command line begins with; "" if none."""
    return next((name for name in READINGS if list(words[: name.count(" ") + 1]) == name.split()), "")


def here(words: Sequence[str]) -> bool:
    """Is it run by its caller, whoever may read the ledgers?"""
    own = READINGS[name].here if (name := named(words)) else ()
    return any(word.partition("=")[0] in own for word in words)


def order(words: Sequence[str]) -> Order:
    """The reading that a caller's words ask for. Raises UsageFault."""
    if len(words) > MOST_WORDS or any(len(word) > LONGEST for word in words):
        raise UsageFault(f"a command has at most {MOST_WORDS} words", "ask for less at once")
    name = named(words)
    if not name:
        raise UsageFault(f"{' '.join(words[:2])!r:.80} is no command that reads", f"these do: {', '.join(READINGS)}")
    reading = READINGS[name]
    options, names = _parsed(name, reading, words[name.count(" ") + 1 :])
    if len(names) > reading.names:
        raise UsageFault(f"`mai {name}` takes no {names[reading.names]!r:.80}", f"see: mai {name} --help")
    follows = any(option in options for option in reading.follows)
    return Order((*name.split(), *options, "--", *names), follows, reading.whole)


def told(words: object) -> str:
    """What is on record of a reading: the command, and whose journals. Never an id or a text, which are a client's."""
    try:
        found = order(words) if isinstance(words, list) else None
    except (UsageFault, TypeError, AttributeError):
        found = None
    if found is None:
        return ""
    name, cut = named(found.command), found.command.index("--")
    return " ".join((name, *found.command[cut + 1 :][: READINGS[name].told]))


def _parsed(name: str, reading: Reading, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options in their long form, and names."""
    options, names, rest = list[str](), list[str](), list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            names += rest
            break
        if not word.startswith("-") or word == "-":
            names.append(word)
            continue
        option, value = _split(word)
        if option in reading.flags and value is None:
            options.append(option)
        elif option in reading.flags and not word.startswith("--"):  # -fn5
            options.append(option)
            rest.insert(0, f"-{value}")
        elif option in reading.values and (value is not None or rest):
            options.append(f"{option}={_fit(VALUE, rest.pop(0) if value is None else value)}")
        elif option in reading.files:
            raise UsageFault(
                f"{option} names a file, and the daemon reads none for others", "run it as root or the daemon's user"
            )
        else:
            raise UsageFault(f"`mai {name}` takes no {option} here", f"see: mai {name} --help")
    return options, [_fit(NAMED, word) for word in names]


def _split(word: str) -> tuple[str, str | None]:
    """`--lines=5`, `-n5`: the option in its long form, and the value that stands with it."""
    if word.startswith("--"):
        option, equals, value = word.partition("=")
        return option, value if equals else None
    return SHORT.get(word[:2], word[:2]), word[2:] or None


def _fit(pattern: re.Pattern[str], word: str) -> str:
    if not pattern.fullmatch(word) or ".." in word.split("/"):
        raise UsageFault(f"{word!r:.80} is no name here", "names have no control characters, and are no paths")
    return word
