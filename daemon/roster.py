"""Who is on now in each department, and who is next, for `mai shift`: from the mandates and the departments' ledgers."""

import msgspec

from mai.agents import shifts
from mai.agents.duty import off, word
from mai.agents.loop import read_mandate
from mai.agents.organisation import SERVICES, Department
from mai.agents.state import Duty, Parked, State, Work
from mai.daemon.reader import Reader, chosen, opened
from mai.sandbox.place import Place

ROWS = "SELECT key, value FROM state WHERE noun = ? ORDER BY key"


class Standing(msgspec.Struct):
    """How one agent stands at a time."""

    agent: str  # its address
    on: bool
    shift: str  # in which he is on, or is next; "" for none
    until_ms: int  # when that ends; of who is not on 0
    next_ms: int  # when he is on again; 0: nobody knows, or he is
    open: int  # tasks that he has
    why: str  # what a person has said, or ""


class Roster(msgspec.Struct):
    """One department at a time."""

    department: str
    at_ms: int
    agents: list[Standing]
    waiting: int  # tasks that wait for a shift


def rosters(place: Place, what: str | None, at_ms: int) -> list[Roster]:
    """Of the departments that have shifts, or of whose agents a person has said something. Raises NotFound, LedgerFault."""
    names = [one for one in chosen(place, what) if one.partition("/")[2] not in ("", "mai", *SERVICES)]
    found: list[Roster] = []
    for reader in opened(place, names):
        own = read_mandate(place.home(reader.process)).organisation.department(reader.process.partition("/")[2])
        if own and (roster := _roster(reader, own, at_ms)).agents:
            found.append(roster)
    return found


def _roster(reader: Reader, own: Department, at_ms: int) -> Roster:
    state = State()
    state.duty = {row["key"]: msgspec.json.decode(row["value"], type=Duty) for row in reader.select(ROWS, "duty")}
    works = [msgspec.json.decode(row["value"], type=Work) for row in reader.select(ROWS, "task")]
    parked = [msgspec.json.decode(row["value"], type=Parked) for row in reader.select(ROWS, "parked")]
    names = dict.fromkeys((*(name for one in own.shifts for name in one.operators), *state.duty))
    standings = [_standing(reader.process, own, state, name, at_ms) for name in names]
    for one in standings:
        one.open = sum(f"{reader.process}/{work.agent}" == one.agent for work in works)
    return Roster(reader.process, at_ms, standings, len(parked))


def _standing(process: str, own: Department, state: State, name: str, at_ms: int) -> Standing:
    why, said = off(state, own.shifts, name, at_ms), word(state, name, at_ms)
    held, ends_ms = shifts.on(own.shifts, name, at_ms)
    if not why:
        until_ms = said.until_ms if said else ends_ms
        return Standing(f"{process}/{name}", True, held, until_ms, 0, 0, f"on by {said.by}" if said else "")
    next_ms = shifts.begins_ms(own.shifts, [name], at_ms)
    if said:
        next_ms = said.until_ms if not said.until_ms or shifts.on(own.shifts, name, said.until_ms)[0] else next_ms
    return Standing(f"{process}/{name}", False, "", 0, next_ms, 0, why if said else "")
