"""The sentences of an answer, and which part of its request gave each. Pure."""

import re
from typing import Final, NamedTuple

from mai.daemon.compose import answer as composed
from mai.daemon.compose import pieces, provenance
from mai.daemon.records import PartAnswer
from mai.daemon.summary import clean
from mai.sandbox.errors import UsageFault

END: Final = re.compile(r"(?<=[.!?])\s+(?=[^\s])")
WORD: Final = re.compile(r"\w+")
NAMED: Final = 6  # sentences that an error names


class Sentence(NamedTuple):
    """Some words of the answer."""

    text: str
    part: int  # its number from 1; 0: not known, or Mai's own


def sentences_of(answer: str, parts: tuple[PartAnswer, ...]) -> list[Sentence]:
    """All of them, in order, without the lines that say who answered."""
    if not parts or composed(parts) != answer:
        return [Sentence(text, 0) for text in _split(answer, parts)]
    return [
        Sentence(text, piece.part)
        for piece in pieces(parts)
        if piece.part
        for text in ([piece.text] if parts[piece.part - 1].state != "answered" else _split(piece.text, parts))
    ]


def _split(text: str, parts: tuple[PartAnswer, ...]) -> list[str]:
    sources = {f"[{provenance(part)}]" for part in parts} | {f"[{'; '.join(dict.fromkeys(map(provenance, parts)))}]"}
    lines = [line.strip() for line in text.splitlines()]
    return [one for line in lines if line and line not in sources for one in END.split(line)]


def chosen_of(sentences: list[Sentence], words: str) -> list[Sentence]:
    """Those that hold these words as they stand; else all of the words, in any order. Raises UsageFault."""
    if not words.strip():
        return sentences
    sought = _flat(words)
    if exact := [one for one in sentences if sought in _flat(one.text)]:
        return exact
    each = _each(words)
    if loose := [one for one in sentences if each and each <= _each(one.text)]:
        return loose
    listed = "; ".join(f"“{clean(one.text, 80)}”" for one in sentences[:NAMED])
    raise UsageFault(f"no sentence of the answer has {clean(words, 80)!r}", f"there are {listed}" if listed else "it is empty")


def _flat(text: str) -> str:
    return " ".join(text.lower().split())


def _each(text: str) -> set[str]:
    return set(WORD.findall(text.lower()))
