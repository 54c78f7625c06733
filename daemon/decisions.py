"""Which decision is meant: by its name, or by the request, the task or the process that it belongs to."""

from collections.abc import Iterator
from contextlib import closing
from typing import Final

import msgspec

from mai.agents.sealing import Sealed
from mai.daemon.reader import NotFound, Reader, chosen, listed, opened
from mai.daemon.trace import find
from mai.sandbox.bodies import REMOVED
from mai.sandbox.place import Place

ALL: Final = "mai replay --all {}"


def name_of(process: str, seq: int) -> str:
    """How a decision is named."""
    return f"{process}:{seq}"


def clients_of(place: Place) -> set[str]:
    """The clients that have ledgers here."""
    return {process.partition("/")[0] for process in place.processes() if "/" in process}


def decisions(place: Place, what: str) -> Iterator[tuple[str, Sealed, int]]:
    """Process, seal and its number of each decision that is meant: one by its name, or all of a request, a task or a process.

    Raises NotFound.
    """
    process, colon, number = what.rpartition(":")
    if colon and number.isdecimal() and process in place.processes():
        yield _named(place, process, int(number))
    elif what in place.processes() or what in clients_of(place):
        for reader in opened(place, chosen(place, what)):
            for seq, sealed in sealed_in(reader):
                yield reader.process, sealed, seq
    else:
        yield from _of_request(place, what)


def _named(place: Place, process: str, seq: int) -> tuple[str, Sealed, int]:
    with closing(Reader(place, process)) as reader:
        meant = reader.record(seq)
        request = meant.request if meant else ""
        for at, sealed in sealed_in(reader, "request = ? AND request <> '' AND seq >= ?", request, seq):
            if seq in (at, sealed.record):
                return process, sealed, at
        if gone := reader.removed(seq):
            raise NotFound(f"record {seq} of {process} {gone}", "an older backup has it, if one is kept")
    raise NotFound(f"record {seq} of {process} is no decision", f"see which there are: mai replay {process} --list")


def _of_request(place: Place, what: str) -> Iterator[tuple[str, Sealed, int]]:
    request = what.partition("/")[0]
    task = what if request != what and request not in clients_of(place) else ""
    known = find(place, request if task else what)
    for reader in opened(place, chosen(place, known.client)):
        for seq, sealed in sealed_in(reader, "request = ? AND request <> ''", known.request):
            if not task or sealed.task == task:
                yield reader.process, sealed, seq


def sealed_in(reader: Reader, where: str = "TRUE", *given: object) -> Iterator[tuple[int, Sealed]]:
    """The seals of one journal for which some SQL holds, in order, each with its number. Raises LedgerFault."""
    after = 0
    while records := reader.records(f"kind = ? AND seq > ? AND {where}", Sealed.kind, after, *given):
        for record in records:
            if record.body != REMOVED:
                yield record.seq, msgspec.json.decode(reader.body(record), type=Sealed)
        after = records[-1].seq


def one(place: Place, what: str) -> tuple[str, Sealed, int]:
    """The one decision that is meant. Raises NotFound, with the names of those that there are."""
    found = list(decisions(place, what))
    match found:
        case [only]:
            return only
        case []:
            raise NotFound(f"nothing was decided in {what!r:.80}", "its records: mai tail --request REQUEST")
    names = [f"{name_of(process, seq)} ({sealed.what})" for process, sealed, seq in found]
    raise NotFound(f"{len(found)} decisions belong to {what}", f"choose one of {listed(names)}; or all: {ALL.format(what)}")
